"""Folders tried first, files written whole, and what is downloaded."""
import contextlib
import os
import secrets
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from .errors import DataError, FolderError

ENOUGH = 2 ** 20  # bytes: more than the figures of any section
TIMEOUT = (5, 20)  # seconds: to connect, and without a byte
SLOWEST = 10_000  # bytes a second, over a download's time but the first
LEFT = 3600  # seconds; nobody writes to a file for so long


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


def mirror(data_set):
    """The URL of the files of `data_set` on the user's mirror, or None.

    The variable is MXNet's own, and so is the layout below it.
    """
    url = os.environ.get('MXNET_GLUON_REPO')
    return f'{url.rstrip("/")}/gluon/dataset/{data_set}/' if url else None


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


def check_file(path):
    """Check that the file `path` can be written, and leave it as it is.

    Call this before the work whose results go there. Raises `FolderError`.
    """
    if _is_device(path):
        return
    check_folder(path.parent)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f'cannot write {path} ({error.strerror}): name '
                          'another file') from error
    if is_folder:
        raise FolderError(f'{path} is a folder: name a file')


def _is_device(path):
    """Whether `path` is a device or a pipe, such as bash's `>(gzip)`."""
    return os.path.exists(path) and not (os.path.isfile(path)
                                         or os.path.isdir(path))


@contextmanager
def written_whole(path, durable=False):
    """A path beside `path` to write to. It becomes `path` in the end.

    If the writing fails, `path` stays as it was. If several processes write
    at once, the last one's file stays. A device or a pipe is written to
    directly. With `durable`, a power failure after this returns loses
    nothing: the disk has the new file before it becomes `path`, then its name
    and the folders on the way to it, those that can be read. Raises an
    `OSError` that names `path`.
    """
    if _is_device(path):
        yield path  # or else /dev/null would become a file
        return
    start = f'.{path.name[:50]}.'  # with all of a long name it would not fit
    partial = path.parent / f'{start}{secrets.token_hex(8)}'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, start)
        partial.touch(exist_ok=False)  # it follows no link
        yield partial
        if durable:
            _wait_for_disk(partial)
        partial.replace(path)
        if durable:
            _wait_for_disk(path.parent)
            for folder in path.absolute().parents[1:]:
                with contextlib.suppress(OSError):  # such as another's /home
                    _wait_for_disk(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path, text):
    """Write `text` to `path`, never half of it; `path`."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding='utf-8')
    return path


def _wait_for_disk(path):
    """Wait until the disk has what is in a file, or the names in a folder.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sweep(folder, start):
    """Remove files of this `start` that runs left when they were killed."""
    for path in folder.iterdir():
        if path.name.startswith(start):
            with contextlib.suppress(OSError):  # of another user, or gone
                if time.time() - path.stat().st_mtime > LEFT:
                    path.unlink()


def download(url, most):
    """The content of `url`, with a progress bar.

    Raises `DataError` if it cannot be had, if there are more bytes than
    `most`, or if they come in more slowly than `SLOWEST`.
    """
    import requests
    import urllib3
    content, start = bytearray(), time.monotonic()
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT, headers={
                'Accept-Encoding': 'identity'}) as response, tqdm(
                    unit='B', unit_scale=True, leave=False, disable=None,
                    total=response.raw.length_remaining) as bar:
            response.raise_for_status()
            while chunk := response.raw.read1(2 ** 16, decode_content=False):
                content += chunk
                bar.update(len(chunk))
                _check_download(len(content), most, time.monotonic() - start)
    except (OSError, ValueError,  # no certificates, a redirect to no URL
            urllib3.exceptions.HTTPError) as error:
        raise DataError(_reason(error)) from error
    return bytes(content)


def _check_download(size, most, seconds):
    """Raise `DataError` for too many bytes, or too few after so long."""
    if size > most:
        raise DataError(f'it sends more than {most} bytes')
    if size < SLOWEST * (seconds - TIMEOUT[1]):
        raise DataError(f'it sent {size} bytes in {seconds:.0f} s')


def _reason(error):
    """A network error in a few words: the server's answer or the cause."""
    response = getattr(error, 'response', None)
    if response is not None:
        return f'{response.status_code} {response.reason}'
    cause = error
    while isinstance(cause, Exception):
        error = cause
        cause = getattr(error, 'reason', None) or error.__context__
    return getattr(error, 'strerror', None) or str(error)
