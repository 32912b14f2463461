"""Chapter 4 of Dive into Deep Learning in MXNet Gluon.

One module a section, under the book's file name; the tools beside them are
`data`, `training`, `plot`, `diagram` and `command_line`.
"""
from . import compat

compat.prepare()
