"""Chapter 4 of Dive into Deep Learning in MXNet Gluon.

One module a section, under the book's file name. The tools beside them:
`data`, `fashion_mnist`, `training`, `checkpoint`, `workers`, `plot`,
`diagram`, `graph`, `files`, `device`, `run.options`; and the commands
`compare`, `exercises`, `doctor`, `bench`, `launch`.
"""
import warnings

from .machine import compat

try:
    compat.prepare()
except ImportError as error:  # MXNet's import fails; `doctor` has to run
    warnings.warn(str(error), stacklevel=2)
