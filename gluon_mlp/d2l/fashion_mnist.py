"""Fashion-MNIST: where its files come from, and which edition they are.

The data set has two editions. The book trained its MXNet code on that of
2017-08-26, which MXNet keeps. Everybody else uses that of 2017-08-31, which
has no duplicates. Either will do, and the program says which it found.
"""
import hashlib
import math
import shutil
import subprocess
import sys
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import experiment, files
from ..errors import DataError
from ..files import cache_root, mirror

MXNET = ('https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/'
         'gluon/dataset/fashion-mnist/')
GITHUB = 'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/'
COMMIT_0826 = '949006594cc2f804a93b9155849734564c3545ec'
DEBIAN_PACKAGE = 'dataset-fashion-mnist'
DEBIAN_FOLDER = Path('usr/share/datasets/fashion-mnist')
# The system's package lists are often empty, so apt-get fetches its own.
UNPACK_DEBIAN_PACKAGE = f"""
mkdir -p apt/lists/partial && cd apt
set -- -o Acquire::http::Timeout={files.TIMEOUT[1]}
apt-get "$@" download {DEBIAN_PACKAGE} || {{
    set -- "$@" -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD" \\
        -o Acquire::Languages=none -o APT::Sandbox::User=root
    apt-get "$@" update; apt-get "$@" download {DEBIAN_PACKAGE}
}}
dpkg-deb -x {DEBIAN_PACKAGE}_*.deb .
"""


class DataFile(NamedTuple):
    """What is in a file, and what identifies it in each edition."""
    shape: tuple
    gz_sha1: str  # of the .gz file, edition of 2017-08-26
    sha256: str   # of the content, edition of 2017-08-31


FILES = {
    'train-images-idx3-ubyte.gz': DataFile(
        (60000, 28, 28), '0cf37b0d40ed5169c6b3aba31069a9770ac9043d',
        'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888'),
    'train-labels-idx1-ubyte.gz': DataFile(
        (60000,), '236021d52f1e40852b06a4c3008d8de8aef1e40b',
        'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9'),
    't10k-images-idx3-ubyte.gz': DataFile(
        (10000, 28, 28), '626ed6a7c06dd17c0eec72fa3be1740f146a2863',
        '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b'),
    't10k-labels-idx1-ubyte.gz': DataFile(
        (10000,), '17f9ab60e7257a1620f4ad76bbbaf857c3920701',
        '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34'),
}


class FashionMNIST(NamedTuple):
    """Images float32 (n, 1, 28, 28) in [0, 1], labels int32 (n,), edition.

    The arrays are read-only, so that all iterators can share their memory.
    """
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    edition: str


def load():
    """Fashion-MNIST, downloaded if need be. Prints its edition and place.

    The arrays are read once, and all callers share them. Raises `DataError`
    if they cannot be found.
    """
    data = _load()
    experiment.current.edition = data.edition
    return data


@lru_cache(maxsize=1)
def _load():
    folder = cache_folder()
    arrays, edition = fetch(folder)
    print(f'Fashion-MNIST, edition of {edition}, from {folder}')
    # The bytes are not kept: float32 is what the networks take.
    X_train, y_train, X_test, y_test = arrays
    return FashionMNIST(to_float(X_train[:, None]), to_int(y_train),
                        to_float(X_test[:, None]), to_int(y_test), edition)


def to_float(images):
    """Images of bytes as float32 in [0, 1], read-only."""
    images = np.divide(images, 255, dtype=np.float32)
    images.flags.writeable = False
    return images


def to_int(labels):
    """Labels of bytes as int32, read-only."""
    labels = labels.astype(np.int32)
    labels.flags.writeable = False
    return labels


def cache_folder():
    """MXNet's own folder for it. Raises `DataError` if there is no home."""
    return cache_root() / 'fashion-mnist'


def fetch(folder):
    """Bring the four files into `folder`, unless they are there and intact.

    Tries `sources()` in their order, one process at a time. The files move
    into `folder` once all four are whole and checked. Returns their arrays
    and the edition, as `read_files` does. Raises `DataError`.
    """
    try:
        if any((folder / name).exists() for name in FILES):
            try:
                return read_files(folder)
            except DataError as error:
                print(f'{error}; fetching all four again', file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            return _fetch_alone(folder)
    except OSError as error:
        raise DataError(f'cannot keep the data in {folder} ({error}): set '
                        'MXNET_HOME to a folder that can be written'
                        ) from error


def _lock(folder):
    """What the only process that fetches into `folder` holds."""
    from filelock import FileLock, Timeout
    lock = FileLock(str(folder / '.lock'))
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        print(f'another process fetches into {folder}: waiting for it',
              file=sys.stderr)
        return lock.acquire()


def _fetch_alone(folder):
    try:
        return read_files(folder)  # another process may have brought them
    except DataError:
        pass
    tried = []
    for what, bring in sources():
        print(f'looking for Fashion-MNIST: {what}', file=sys.stderr)
        try:
            return _fetch_from(bring, folder)
        except DataError as error:
            tried.append(f'  {what}: {error}')
    raise DataError(
        'Fashion-MNIST is nowhere to be had. Tried:', *tried,
        f'Put these four files into {folder} by hand: {", ".join(FILES)}')


def _fetch_from(bring, folder):
    partial = folder / '.partial'
    shutil.rmtree(partial, ignore_errors=True)  # a killed run leaves it
    partial.mkdir()
    try:
        bring(partial)
        found = read_files(partial)
        for name in FILES:
            (partial / name).replace(folder / name)
        return found
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sources():
    """The places to look, best first, as pairs of a name and a function.

    The function brings the four files into a folder, or raises `DataError`.
    """
    urls = [mirror('fashion-mnist') or MXNET,
            f'{GITHUB}{COMMIT_0826}/data/fashion/',
            f'{GITHUB}master/data/fashion/']
    return [*((url, lambda to, url=url: download(url, to)) for url in urls),
            (str('/' / DEBIAN_FOLDER), lambda to: copy('/', to)),
            (f'Debian package {DEBIAN_PACKAGE}', download_debian_package)]


def download(url, folder):
    """Download the four files from below `url`, each no larger than it is."""
    for name in FILES:
        content = files.download(url + name, _most(name))
        (folder / name).write_bytes(content)
        read_file(folder / name)  # before the next one is asked for


def _most(name):
    """More bytes than a file of `FILES` has when it is packed."""
    return _size(FILES[name]) + 2 ** 16  # packing adds less


def _size(known):
    """The bytes of a `DataFile`: its header and its array."""
    return 4 + 4 * len(known.shape) + math.prod(known.shape)


def copy(root, folder):
    """Copy the files of the Debian package unpacked below `root`."""
    source = root / DEBIAN_FOLDER
    if not all((source / name).is_file() for name in FILES):
        raise DataError('not installed')
    for name in FILES:
        shutil.copyfile(source / name, folder / name)


def download_debian_package(folder):
    """Download the package of Debian or Ubuntu and unpack it, without root.

    It has its own package lists, so nothing in the system changes.
    """
    if not (shutil.which('apt-get') and shutil.which('dpkg-deb')):
        raise DataError('no apt-get here')
    try:
        subprocess.run(['sh', '-c', UNPACK_DEBIAN_PACKAGE], cwd=folder,
                       check=True, timeout=600, stdin=subprocess.DEVNULL,
                       capture_output=True)
    except subprocess.SubprocessError:
        raise DataError('apt-get cannot download it') from None
    copy(folder / 'apt', folder)


def read_files(folder):
    """The arrays of the four files in `folder`, and their edition.

    Raises `DataError` for a file that is missing, cannot be read or is not
    as published, and for files of two editions.
    """
    arrays, editions = zip(*(read_file(folder / name) for name in FILES))
    if len(set(editions)) > 1:
        raise DataError(f'{folder} mixes two editions of Fashion-MNIST')
    return arrays, editions[0]


def read_file(path):
    """The uint8 array of one of `FILES`, checked by hash, and its edition.

    It reads and unpacks hardly more bytes than the file should have. So it
    takes less memory than 5 times the array and a megabyte, whatever is in
    the file. Raises `DataError`.
    """
    known = FILES[path.name]
    size = _size(known)
    try:
        if path.is_fifo():  # it could be waited for without end
            raise DataError(f'{path} is damaged (it is a pipe)')
        with path.open('rb') as file:
            packed = file.read(_most(path.name))
        content = zlib.decompressobj(wbits=31).decompress(packed, size + 1)
    except FileNotFoundError:
        raise DataError(f'{path} is missing') from None
    except zlib.error as error:
        raise DataError(f'{path} is damaged ({error})') from error
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror})'
                        ) from error
    if hashlib.sha1(packed).hexdigest() == known.gz_sha1:
        edition = '2017-08-26'
    elif hashlib.sha256(content).hexdigest() == known.sha256:
        edition = '2017-08-31'
    else:
        raise DataError(f'{path} is damaged (its hash is of no edition)')
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * len(known.shape))
    return array.reshape(known.shape), edition
