"""Files that are written whole or not at all, in folders tried before."""
import os
import tempfile
from contextlib import contextmanager

from .errors import FolderError

ENOUGH = 2 ** 20  # bytes: more than the figures of any section


def check_folder(folder):
    """Make `folder`, and see that a megabyte can be written into it.

    To be called before the work whose results go there. Raises
    `FolderError`.
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
    """A path beside `path` to write to; it is `path` once that succeeded.

    Several processes may do so at once: the last one's file stays. A device
    or a pipe is written to directly. Raises `OSError` that names `path`.
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
