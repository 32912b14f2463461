"""Fashion-MNIST comes whole, from the first source that has it, or not."""
import contextlib
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from gluon_mlp import experiment, files
from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.d2l.fashion_mnist import FILES, DataFile, fetch, read_file
from gluon_mlp.errors import DataError
from scripts import start

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = FILES
REPO = '/repo/gluon/dataset/fashion-mnist/'
OLD = f'/github/{fashion_mnist.COMMIT_0826}/data/fashion/'
NEW = '/github/master/data/fashion/'
# What a process runs that shall be killed, or be one of many, or be nobody.
DRIVER = """
import os, sys
import filelock, requests
from gluon_mlp.d2l import fashion_mnist as f
f.FILES = {n: f.DataFile(*known) for n, known in eval(sys.argv[1]).items()}
f.GITHUB, f.files.TIMEOUT = 'http://127.0.0.1:9/', (2, 20)
f.DEBIAN_FOLDER = f.Path('no/such')
def download_debian_package(folder):
    raise f.DataError('not here')
f.download_debian_package = download_debian_package
if len(sys.argv) > 2:
    os.seteuid(int(sys.argv[2]))
try:
    f.load()
except f.DataError as error:
    sys.exit(str(error))
"""


def idx(array):
    """The bytes of an IDX file, as its description has them."""
    return (bytes([0, 0, 8, array.ndim])
            + b''.join(n.to_bytes(4, 'big') for n in array.shape)
            + array.tobytes())


@pytest.fixture
def tiny(monkeypatch):
    """Two editions of a few examples: {edition: {name: packed bytes}}."""
    draw = np.random.RandomState(0)
    packed, known = {'2017-08-26': {}, '2017-08-31': {}}, {}
    for name, n in zip(FILES, (300, 300, 20, 20)):
        shape = (n, 28, 28) if 'images' in name else (n,)
        old, new = (idx(draw.randint(0, 10, shape).astype(np.uint8))
                    for _ in packed)
        packed['2017-08-26'][name] = gzip.compress(old)
        packed['2017-08-31'][name] = gzip.compress(new)
        known[name] = DataFile(
            shape, hashlib.sha1(packed['2017-08-26'][name]).hexdigest(),
            hashlib.sha256(new).hexdigest())
    monkeypatch.setattr(fashion_mnist, 'FILES', known)
    return packed


class Server(ThreadingHTTPServer):
    """Sends `files`: bytes, or a function that is given the handler."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.asked = {}, []
        self.stop = threading.Event()
        self.url = f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if callable(content):
            content(self)
        elif content is None:
            self.send_error(404)
        else:
            self.send(content)

    def send(self, content, length=None):
        self.send_response(200)
        self.send_header('Content-Length', str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path, tiny):
    """A server in the place of MXNet's and GitHub's; no other sources."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=[0.01],
                              daemon=True)  # so its end is seen at once
    thread.start()
    monkeypatch.setenv('MXNET_GLUON_REPO', f'{server.url}/repo')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(fashion_mnist, 'GITHUB', f'{server.url}/github/')
    monkeypatch.setattr(files, 'TIMEOUT', (20, 20))
    monkeypatch.setattr(fashion_mnist, 'DEBIAN_FOLDER', Path('no/such'))
    monkeypatch.setattr(fashion_mnist, 'download_debian_package', no_package)
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def no_package(folder):
    raise DataError('not here')


def serve(server, below, files):
    server.files.update({below + name: files[name] for name in files})


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def same(arrays, files):
    """Whether `arrays` are what `files` hold, unpacked independently."""
    return all(idx(array) == gzip.decompress(packed)
               for array, packed in zip(arrays, files.values()))


def driver(folder, *args, prefix=(), **options):
    """A process that loads the data, with its cache below `folder`.

    `prefix` is a command that starts another.
    """
    known = {name: tuple(file) for name, file in fashion_mnist.FILES.items()}
    return start(*prefix, sys.executable, '-c', DRIVER, repr(known), *args,
                 env={**os.environ, 'MXNET_HOME': str(folder)}, **options)


def test_real_data_has_the_published_statistics(real_data):
    """60,000 and 10,000 images, ten equal classes, mean 0.286, sd 0.353."""
    assert real_data.train_images.shape == (60000, 1, 28, 28)
    assert real_data.test_images.shape == (10000, 1, 28, 28)
    assert np.bincount(real_data.train_labels).tolist() == [6000] * 10
    assert np.bincount(real_data.test_labels).tolist() == [1000] * 10
    assert real_data.train_labels.dtype == np.int32
    assert real_data.train_images.dtype == np.float32
    assert round(real_data.train_images.mean(dtype='float64'), 3) == 0.286
    assert round(real_data.train_images.std(dtype='float64'), 3) == 0.353


def test_cache_is_where_mxnet_has_it(monkeypatch):
    """The cache folder is that of `gluon.data.vision.FashionMNIST`."""
    from mxnet import base
    for home in ('~/elsewhere', '/somewhere', None):
        monkeypatch.delenv('MXNET_HOME', raising=False)
        if home:
            monkeypatch.setenv('MXNET_HOME', home)
        assert fashion_mnist.cache_folder() == Path(
            base.data_dir()).expanduser() / 'datasets' / 'fashion-mnist'


def test_first_url_is_mxnets_own(monkeypatch):
    """MXNet's store is asked first, at the address that MXNet would ask."""
    from mxnet.gluon.utils import _get_repo_file_url
    monkeypatch.delenv('MXNET_GLUON_REPO', raising=False)
    url, _ = fashion_mnist.sources()[0]
    assert url + IMAGES == _get_repo_file_url('gluon/dataset/fashion-mnist',
                                              IMAGES)


def test_first_source_serves_all(server, tiny, tmp_path, capsys):
    """With all files there, only the first source is asked, once a file."""
    serve(server, REPO, tiny['2017-08-26'])
    serve(server, NEW, tiny['2017-08-31'])
    arrays, edition = fetch(tmp_path / 'new' / 'cache')
    assert edition == '2017-08-26' and same(arrays, tiny['2017-08-26'])
    assert server.asked == [REPO + name for name in FILES]
    fetch(tmp_path / 'new' / 'cache')
    assert len(server.asked) == 4  # the second time it is in the cache


def test_load_says_edition_and_place(server, tiny, tmp_path, monkeypatch,
                                     capsys):
    """`load` gives images with a channel, and prints which edition it is."""
    serve(server, NEW, tiny['2017-08-31'])
    monkeypatch.setenv('MXNET_HOME', str(tmp_path))
    fashion_mnist._load.cache_clear()
    with experiment.use():
        data = fashion_mnist.load()
        assert fashion_mnist.load() is data  # read once
        assert experiment.current.edition == '2017-08-31'
    fashion_mnist._load.cache_clear()
    assert data.train_images.shape == (300, 1, 28, 28)
    assert data.test_labels.shape == (20,)
    assert data.edition == '2017-08-31'
    folder = tmp_path / 'datasets' / 'fashion-mnist'
    assert capsys.readouterr().out == (
        f'Fashion-MNIST, edition of 2017-08-31, from {folder}\n')


def cut(content, handler):
    handler.send(content[:len(content) // 2], length=len(content))


def hang(content, handler):
    cut(content, handler)
    handler.server.stop.wait(30)


def wrong(content, handler):
    handler.send(gzip.compress(b'something else'))


def page(content, handler):
    handler.send(b'<html>Log in to this network first</html>')


@pytest.mark.parametrize('fault', [None, cut, hang, wrong, page])
@pytest.mark.parametrize('name', [IMAGES, TEST_LABELS])
def test_next_source_after_a_fault(server, tiny, tmp_path, monkeypatch,
                                   fault, name):
    """A file missing, cut, stalled or wrong: the next source is taken."""
    serve(server, REPO, tiny['2017-08-26'])
    serve(server, OLD, tiny['2017-08-26'])
    del server.files[REPO + name]
    if fault is hang:
        monkeypatch.setattr(files, 'TIMEOUT', (20, 2))
    if fault:
        server.files[REPO + name] = partial(fault, tiny['2017-08-26'][name])
    arrays, edition = fetch(tmp_path)
    assert same(arrays, tiny['2017-08-26'])
    assert server.asked[-4:] == [OLD + name for name in FILES]
    assert sorted(p.name for p in tmp_path.iterdir()
                  if p.name != '.lock') == sorted(FILES)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):  # the other side has had enough
        while not handler.server.stop.is_set():
            handler.wfile.write(bytes(2 ** 16))


def packed_twice(handler):
    handler.send_response(200)
    handler.send_header('Content-Encoding', 'gzip')
    handler.end_headers()
    handler.wfile.write(gzip.compress(bytes(10 ** 6), 1) * 100)


def trickle(handler):
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while not handler.server.stop.wait(0.3):
            handler.wfile.write(b'.')


@pytest.mark.parametrize('content, why', [
    (endless, 'it sends more than 100000 bytes'),
    (packed_twice, 'it sends more than 100000 bytes'),
    (trickle, r'it sent \d bytes in 2 s'), (None, '404 Not Found')])
def test_a_download_ends(server, monkeypatch, content, why):
    """Whatever the server sends, it takes little time and memory."""
    monkeypatch.setattr(files, 'TIMEOUT', (20, 2))
    if content:
        server.files['/x'] = content
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=why):
            files.download(f'{server.url}/x', 10 ** 5)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_what_is_downloaded_is_kept_as_it_was_packed(server):
    """Some servers take a .gz file for an encoding of its content."""
    def send(handler):
        handler.send_response(200)
        handler.send_header('Content-Encoding', 'gzip')
        handler.end_headers()
        handler.wfile.write(packed)
    packed = gzip.compress(b'content')
    server.files['/x.gz'] = send
    assert files.download(f'{server.url}/x.gz', 100) == packed


def test_others_may_read_what_was_downloaded(server, tiny, tmp_path):
    """As they may read any new file: a cache is shared."""
    serve(server, REPO, tiny['2017-08-26'])
    (tmp_path / 'new').touch()
    fetch(tmp_path / 'cache')
    assert {(tmp_path / 'cache' / name).stat().st_mode for name in FILES} == {
        (tmp_path / 'new').stat().st_mode}


def test_waiting_for_another_process_is_said(server, tiny, tmp_path, capsys):
    serve(server, REPO, tiny['2017-08-26'])
    with FileLock(str(tmp_path / '.lock')):
        waiting = threading.Thread(target=fetch, args=[tmp_path])
        waiting.start()
        said = ''
        while not said and waiting.is_alive():
            waiting.join(0.1)
            said = capsys.readouterr().err
        assert waiting.is_alive() and said == (
            f'another process fetches into {tmp_path}: waiting for it\n')
    waiting.join(60)
    assert not waiting.is_alive() and (tmp_path / LABELS).exists()


def test_a_pipe_in_a_files_place_is_not_waited_for(server, tiny, tmp_path):
    serve(server, REPO, tiny['2017-08-26'])
    os.mkfifo(tmp_path / IMAGES)
    arrays, _ = fetch(tmp_path)
    assert same(arrays, tiny['2017-08-26'])


def test_error_lists_what_was_tried(server, tiny, tmp_path):
    """With no source the error names all, with reasons, and the four files.

    Nothing is left that looks whole.
    """
    server.files[REPO + IMAGES] = partial(page, b'')
    server.files[OLD + IMAGES] = partial(cut, tiny['2017-08-26'][IMAGES])
    with pytest.raises(DataError) as error:
        fetch(tmp_path)
    first, *tried, last = str(error.value).splitlines()
    assert first == 'Fashion-MNIST is nowhere to be had. Tried:'
    assert 'incorrect header' in tried[0] and REPO in tried[0]
    assert OLD in tried[1]
    assert server.asked == [source + IMAGES for source in (REPO, OLD, NEW)]
    assert tried[2:] == [f'  {server.url}{NEW}: 404 Not Found',
                         '  /no/such: not installed',
                         '  Debian package dataset-fashion-mnist: not here']
    assert last == (f'Put these four files into {tmp_path} by hand: '
                    + ', '.join(FILES))
    assert [p.name for p in tmp_path.iterdir()] in ([], ['.lock'])


@pytest.mark.parametrize('url, reason', [
    ('http://127.0.0.1:9/', 'Connection refused'),
    ('http://no-such-host.invalid/', 'not known|resolution|resolve')])
def test_network_error_is_short(monkeypatch, tmp_path, tiny, url, reason):
    """Without a network the reason is one line, without the machinery's."""
    monkeypatch.setenv('NO_PROXY', '*')
    with pytest.raises(DataError, match=reason) as error:
        fashion_mnist.download(url, tmp_path)
    assert len(str(error.value)) < 80


def test_a_redirect_to_no_url_is_a_fault(server, tiny, tmp_path):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header('Location', 'http://[::1')
        handler.end_headers()
    server.files[REPO + IMAGES] = redirect
    with pytest.raises(DataError, match='Invalid IPv6 URL'):
        fashion_mnist.download(server.url + REPO, tmp_path)


def test_certificates_that_are_missing_are_a_fault(monkeypatch, tmp_path,
                                                   tiny):
    """The next source may do without them."""
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(tmp_path / 'no'))
    monkeypatch.setenv('NO_PROXY', '*')
    with pytest.raises(DataError, match='certificate.*no'):
        fashion_mnist.download('https://127.0.0.1:9/', tmp_path)


def test_installed_package_is_copied(server, tiny, tmp_path, monkeypatch):
    """Files of Debian's package are used where they are installed."""
    installed = tmp_path / 'installed'
    put(installed, tiny['2017-08-31'])
    monkeypatch.setattr(fashion_mnist, 'DEBIAN_FOLDER', installed)
    arrays, edition = fetch(tmp_path / 'cache')
    assert edition == '2017-08-31' and same(arrays, tiny['2017-08-31'])


@pytest.mark.parametrize('damage', [
    lambda packed: packed[:len(packed) // 2], lambda packed: packed[:-4],
    lambda packed: b'', gzip.decompress,
    lambda packed: gzip.compress(b'\0\0\x09' + gzip.decompress(packed)[3:]),
    lambda packed: gzip.compress(gzip.decompress(packed)[:-1]),
    lambda packed: gzip.compress(gzip.decompress(packed) + b'\0'),
    lambda packed: gzip.compress(gzip.decompress(packed)[:6]),
    lambda packed: gzip.compress(idx(np.zeros((300, 28, 28), np.uint8))),
], ids=['truncated', 'last bytes missing', 'empty', 'not gzip', 'magic',
        'short', 'long', 'header only', 'other content'])
def test_damaged_cache_is_named_and_fetched_again(
        server, tiny, tmp_path, capsys, damage):
    """A damaged file is named and replaced."""
    serve(server, REPO, tiny['2017-08-26'])
    put(tmp_path, tiny['2017-08-26'])
    path = tmp_path / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as error:
        read_file(path)
    assert str(error.value).startswith(f'{path} is damaged (')
    arrays, _ = fetch(tmp_path)
    assert same(arrays, tiny['2017-08-26'])
    assert f'{error.value}; fetching' in capsys.readouterr().err
    assert path.read_bytes() == tiny['2017-08-26'][IMAGES]


@pytest.mark.parametrize('edition', ['2017-08-26', '2017-08-31'])
def test_no_flipped_bit_goes_unseen(tiny, tmp_path, edition):
    """Any single bit flipped: a DataError, or (gzip's header) no harm."""
    packed = bytearray(tiny[edition][TEST_LABELS])
    content, path = gzip.decompress(packed), tmp_path / TEST_LABELS
    harmless = 0
    for bit in range(8 * len(packed)):
        packed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(packed)
        packed[bit // 8] ^= 1 << bit % 8
        try:
            array, found = read_file(path)
        except DataError:
            continue
        assert idx(array) == content and found == edition
        harmless += 1
    assert harmless <= (0 if edition == '2017-08-26' else 8 * 10)


def test_folder_in_a_files_place(server, tiny, tmp_path):
    """A folder that has a file's name is named in the error."""
    serve(server, REPO, tiny['2017-08-26'])
    (tmp_path / IMAGES).mkdir()
    with pytest.raises(DataError, match='Is a directory') as error:
        read_file(tmp_path / IMAGES)
    assert str(tmp_path / IMAGES) in str(error.value)
    with pytest.raises(DataError, match='Is a directory.*' + IMAGES):
        fetch(tmp_path)


def test_missing_file_is_named(server, tiny, tmp_path, capsys):
    """One of the four is not there: it is named, and all come anew."""
    serve(server, REPO, tiny['2017-08-26'])
    put(tmp_path, tiny['2017-08-26'])
    (tmp_path / LABELS).unlink()
    assert same(fetch(tmp_path)[0], tiny['2017-08-26'])
    assert f'{tmp_path / LABELS} is missing' in capsys.readouterr().err


def test_mixed_editions_are_replaced(server, tiny, tmp_path, capsys):
    """Four good files of two editions are not taken for a data set."""
    serve(server, NEW, tiny['2017-08-31'])
    put(tmp_path, tiny['2017-08-31'])
    put(tmp_path, {IMAGES: tiny['2017-08-26'][IMAGES]})
    assert same(fetch(tmp_path)[0], tiny['2017-08-31'])
    assert 'mixes two editions' in capsys.readouterr().err


def test_damaged_cache_survives_without_a_source(server, tiny, tmp_path):
    """Without a source nothing in the cache is deleted."""
    put(tmp_path, tiny['2017-08-26'])
    (tmp_path / IMAGES).write_bytes(b'')
    with pytest.raises(DataError, match='nowhere to be had'):
        fetch(tmp_path)
    assert {name for name in FILES if (tmp_path / name).exists()} == {*FILES}


def test_bomb_is_not_unpacked(tiny, tmp_path):
    """100 MB packed into 100 KB are unpacked to the file's size only."""
    (tmp_path / TEST_LABELS).write_bytes(
        gzip.compress(idx(np.zeros(100_000_000, np.uint8)), 1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match='damaged'):
            read_file(tmp_path / TEST_LABELS)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('number', [
    2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_at_once_download_once(server, tiny, tmp_path, number):
    """Processes that start together all succeed, with one download."""
    def slow(content, handler):
        time.sleep(0.3)
        handler.send(content)
    serve(server, REPO, {name: partial(slow, content)
                         for name, content in tiny['2017-08-26'].items()})
    processes = [driver(tmp_path) for _ in range(number)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert 'edition of 2017-08-26' in out
    assert sorted(server.asked) == sorted(REPO + name for name in FILES)


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_stopped_download_leaves_nothing_whole(server, tiny, tmp_path, how):
    """A process stopped midway leaves no file; the next run succeeds."""
    folder = tmp_path / 'datasets' / 'fashion-mnist'
    serve(server, REPO, tiny['2017-08-26'])
    good, sent = server.files[REPO + LABELS], threading.Event()

    def half(handler):
        cut(good, handler)
        sent.set()
        server.stop.wait(30)
    server.files[REPO + LABELS] = half
    process = driver(tmp_path)
    assert sent.wait(60)
    process.send_signal(how)
    process.communicate(timeout=15)  # not only when the server gives up
    assert process.returncode != 0
    assert not [name for name in FILES if (folder / name).exists()]
    if how == signal.SIGINT:
        assert not (folder / '.partial').exists()
    server.files[REPO + LABELS] = good
    assert same(fetch(folder)[0], tiny['2017-08-26'])
    assert not (folder / '.partial').exists()


@pytest.fixture
def open_folder():
    """A folder that every user can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def load_as_nobody(home):
    """(exit code, stdout, stderr) of a load by a user without rights."""
    nobody = ['65534'] if os.geteuid() == 0 else []
    process = driver(home, *nobody)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_read_only_cache_works(server, tiny, open_folder):
    """Intact files in a folder that cannot be written are enough."""
    cache = open_folder / 'datasets' / 'fashion-mnist'
    put(cache, tiny['2017-08-31'])
    cache.chmod(0o555)
    code, out, err = load_as_nobody(open_folder)
    cache.chmod(0o755)
    assert (code, err) == (0, '') and 'edition of 2017-08-31' in out


@pytest.mark.parametrize('mode', [0o000, 0o200])
def test_file_without_permission(server, tiny, open_folder, mode):
    """A file that may not be read is named, and why."""
    cache = open_folder / 'datasets' / 'fashion-mnist'
    put(cache, tiny['2017-08-31'])
    (cache / IMAGES).chmod(mode)
    cache.chmod(0o555)
    code, _, err = load_as_nobody(open_folder)
    cache.chmod(0o755)
    assert code == 1
    assert f'{cache / IMAGES} cannot be read (Permission denied)' in err


@pytest.mark.parametrize('there', [True, False])
def test_unwritable_folder_names_the_way_out(server, tiny, open_folder,
                                             there):
    """Without the right to write, the error speaks of MXNET_HOME."""
    serve(server, REPO, tiny['2017-08-26'])
    if there:
        (open_folder / 'datasets' / 'fashion-mnist').mkdir(parents=True)
    open_folder.chmod(0o555)
    code, _, err = load_as_nobody(open_folder)
    open_folder.chmod(0o755)
    assert code == 1 and 'Traceback' not in err
    assert err.splitlines()[-1].startswith('cannot keep the data in ')
    assert err.endswith('set MXNET_HOME to a folder that can be written\n')
    assert server.asked == []  # said before anything is downloaded


def test_no_space_left_is_said(server, tiny, tmp_path, monkeypatch):
    """A full disk is told in one line."""
    def full(*args):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(fashion_mnist, 'download', full)
    with pytest.raises(DataError, match='No space left.*MXNET_HOME'):
        fetch(tmp_path)


@pytest.mark.parametrize('size', ['4k', '64k', '1m'])
def test_a_disk_too_small_for_the_data(server, tiny, tmp_path, own_mounts,
                                       size):
    """No file has room, half of one, or all: one line, or the data."""
    serve(server, REPO, tiny['2017-08-26'])
    process = driver(tmp_path, prefix=[
        'unshare', '-rm', 'sh', '-c', f'mount -t tmpfs -o size={size} x "$0" '
        '&& "$@"; code=$?; echo left: $(ls -A "$0"/*/*) >&2; exit $code',
        tmp_path])
    out, err = process.communicate(timeout=60)
    if size == '1m':
        assert process.returncode == 0 and 'edition of 2017-08-26' in out
        return
    assert process.returncode == 1 and 'Traceback' not in err
    *_, said, left = err.splitlines()
    assert said.startswith('cannot keep the data in ')
    assert 'No space left on device' in said and 'set MXNET_HOME' in said
    assert left in ('left:', 'left: .lock')


def test_debian_package_without_apt(monkeypatch, tmp_path):
    """Without apt-get the Debian package is out of the question."""
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(DataError, match='no apt-get here'):
        fashion_mnist.download_debian_package(tmp_path)


@pytest.mark.parametrize('error', [
    subprocess.TimeoutExpired('sh', 600), subprocess.CalledProcessError(
        100, 'sh')], ids=['it hangs', 'it has none'])
def test_debian_package_out_of_reach(monkeypatch, tmp_path, error):
    """An apt-get that hangs, or brings nothing, is an error in one line."""
    def run(*args, **options):
        raise error
    monkeypatch.setattr(shutil, 'which', lambda name: '/bin/' + name)
    monkeypatch.setattr(subprocess, 'run', run)
    with pytest.raises(DataError, match='cannot download'):
        fashion_mnist.download_debian_package(tmp_path)


APT_GET = """#!/bin/sh
# Has the package once its lists were fetched into a folder of their own.
for word; do last=$word; done
case "$last" in
update) touch "$PWD/lists/fetched";;
dataset-*) [ -e "$PWD/lists/fetched" ] && touch "$last"_1_all.deb;;
esac
"""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/share/datasets" && cp -r '{}' "$3/{}" && [ -e "$2" ]
"""


def test_debian_package_with_lists_of_its_own(monkeypatch, tmp_path, tiny):
    """Where the system's lists are empty, in a folder with an odd name."""
    put(tmp_path / 'inside', tiny['2017-08-31'])
    folder = tmp_path / "a b é 'q"
    for path, text in (('apt-get', APT_GET), ('dpkg-deb', DPKG_DEB.format(
            tmp_path / 'inside', fashion_mnist.DEBIAN_FOLDER))):
        put(tmp_path / 'bin', {path: text.encode()})
        (tmp_path / 'bin' / path).chmod(0o755)
    folder.mkdir()
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}:{os.environ["PATH"]}')
    fashion_mnist.download_debian_package(folder)
    arrays, edition = fashion_mnist.read_files(folder)
    assert edition == '2017-08-31' and same(arrays, tiny['2017-08-31'])
