"""Chapter 4 of Dive into Deep Learning in MXNet Gluon.

Each section has a module of its own, under the book's file name; `sections`
lists them. `d2l` holds what the book's own package gives the chapter. `run`
holds what a script needs to run, and `experiment` what it is running.
`machine` is about MXNet on this machine. The commands are `compare`,
`exercises`, `bench` and `doctor`.
"""
import sys
import warnings
from pathlib import Path

from .machine import compat

__version__ = '0.1.0'

try:
    compat.prepare()
except compat.SettingError as error:  # MXNet would abort the process
    called = [Path(sys.argv[0]).name, *sys.argv[1:2]]
    if called not in (['-m', 'doctor'], ['gluon-mlp', 'doctor']):
        sys.exit(f'error: {error}')
except ImportError as error:  # so MXNet's fails, too; the doctor has to run
    warnings.warn(str(error), stacklevel=2)
