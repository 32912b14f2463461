"""Chapter 4 of Dive into Deep Learning in MXNet Gluon.

One module a section, under the book's file name; the tools beside them are
`data`, `training`, `plot`, `diagram`, `command_line` and `doctor`.
"""
import warnings

from . import compat

try:
    compat.prepare()
except ImportError as error:  # MXNet's import fails; `doctor` has to run
    warnings.warn(str(error), stacklevel=2)
