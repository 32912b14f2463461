"""Folders that are tried first, and files that are written whole."""
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .errors import DataError, FolderError

ENOUGH = 2 ** 20  # bytes: more than the figures of any section


def cache_root():
    """The folder of all data sets, below `$MXNET_HOME` or ~/.mxnet.

    Raises `DataError` if there is no home directory.
    """
    home = Path(os.environ.get('MXNET_HOME') or '~/.mxnet')
    try:
        return home.expanduser() / 'datasets'
    except RuntimeError as error:
        raise DataError('there is no home directory to keep the data in: '
                        'set MXNET_HOME to a folder') from error


def check_folder(folder):
    """Make `folder`, and check that a megabyte can be written into it.

    Call this before the work whose results go there. Raises `FolderError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ENOUGH))
    except OSError as error:
        raise FolderError(f'cannot write into {folder} ({error.strerror}): '
                          'name another folder, or make room') from error


@contextmanager
def written_whole(path):
    """A path beside `path` to write to. It becomes `path` in the end.

    If the writing fails, `path` stays as it was. If several processes write
    at once, the last one's file stays. A device or a pipe is written to
    directly. Raises an `OSError` that names `path`.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path  # or else /dev/null would become a file
        return
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
