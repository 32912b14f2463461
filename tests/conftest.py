"""What the tests share."""
import multiprocessing.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# jsonschema, and so jupytext, would read its grammar for seconds.
sys.modules['rfc3987_syntax'] = None

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = {'os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn',
             'os.system', 'subprocess.Popen'}  # what Python audits them as
GRADIENTS = 10  # a test with more backward passes than these trains


def pytest_addoption(parser):
    parser.addoption('--quick', action='store_true', help='skip each test '
                     'that starts a process or trains, once it does so')


def pytest_configure(config):
    if config.getoption('numprocesses', None):
        return  # its workers run the tests, and import what is slow
    import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)
    import matplotlib
    from mxnet import npx
    matplotlib.use('agg')
    npx.set_np()  # as every section does, whichever file runs alone
    if config.getoption('quick'):
        config.pluginmanager.register(Quick(config.cache))


class Quick:
    """Skips a test at the moment that it starts a process or trains.

    So nobody keeps a list of such tests, and none can get past this. What a
    test was skipped for is kept beside its file's time, and until that
    changes the test is not begun again.
    """

    def __init__(self, cache):
        from mxnet.base import _LIB
        self.cache = cache
        self.item = None  # the test that runs
        self.left = 0  # of the backward passes that it may take
        self.backward = _LIB.MXAutogradBackwardEx
        _LIB.MXAutogradBackwardEx = self.count
        sys.addaudithook(self.audit)
        # It raises no event of Python's.
        self.spawn = multiprocessing.util.spawnv_passfds
        multiprocessing.util.spawnv_passfds = self.start

    def known(self, item):
        """A name for the test's file, and why tests of it as it is skip."""
        name, time = f'quick/{item.path.name}', item.path.stat().st_mtime_ns
        reasons = self.cache.get(name, {})
        same = reasons.get('time') == time
        return name, reasons if same else {'time': time}

    def pytest_runtest_setup(self, item):
        reason = self.known(item)[1].get(item.name)
        if reason:
            pytest.skip(reason)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """A test, and the fixtures that it is the first to need."""
        self.item, self.left = item, GRADIENTS
        try:
            return (yield)
        finally:
            self.item = None

    def skip(self, reason):
        name, reasons = self.known(self.item)
        self.cache.set(name, {**reasons, self.item.name: reason})
        pytest.skip(reason)

    def audit(self, event, args):
        """Called by Python at many kinds of events."""
        if self.item and event in PROCESSES:
            self.skip('not quick: it starts a process')

    def start(self, *args):
        """Called for each process of `multiprocessing`."""
        self.audit('os.fork', args)
        return self.spawn(*args)

    def count(self, *args):
        """Called by MXNet for each backward pass."""
        self.left -= 1
        if self.item and self.left < 0:
            self.skip('not quick: it trains')
        return self.backward(*args)


def without_mxnets_log(stderr):
    """What is not the line that MXNet 2 logs with its first array."""
    return re.sub(r'^\[[\d:]+\] \S+: Using .* StorageManager for CPU\n', '',
                  stderr, flags=re.M)


def without_closing(stderr):
    """What is not the closing word of a script, nor MXNet's log."""
    return re.sub(r'^(yours: .*\nbook:  .*\n)?took \d+ s; next: .*\n\Z', '',
                  without_mxnets_log(stderr), flags=re.M)


@pytest.fixture(autouse=True)
def close_figures():
    """No test sees the figures of another."""
    from matplotlib import pyplot as plt
    yield
    plt.close('all')


@pytest.fixture(scope='session')
def own_mounts():
    """Skips where a command cannot mount a disk that it alone sees."""
    if subprocess.run(['unshare', '-rm', 'mount', '-t', 'tmpfs', 'x', '/mnt'],
                      capture_output=True, check=False).returncode:
        pytest.skip('no disk can be mounted here: unshare -rm mount fails')


@pytest.fixture(scope='session')
def mounted(own_mounts):
    """Run a command with a disk of its own on a folder: small, read-only.

    Nobody else sees the mount, and it goes with the command.
    """
    def run(folder, options, *command, **more):
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            ['unshare', '-rm', 'sh', '-c', f'mount -t tmpfs -o {options} x '
             '"$0" && exec "$@"', folder, *map(str, command)], text=True,
            capture_output=True, timeout=300, check=False,
            **{'cwd': ROOT, **more})
    return run


@pytest.fixture(scope='session')
def real_data():
    """The 70,000 images and labels; skips the test where there are none."""
    from gluon_mlp.d2l import fashion_mnist
    from gluon_mlp.errors import DataError
    try:
        return fashion_mnist.load()
    except DataError as error:
        pytest.skip(str(error).replace('\n', ' '))


@pytest.fixture
def few_images(real_data, monkeypatch):
    """Fashion-MNIST of 3,000 images, so the last batch is smaller."""
    from gluon_mlp.d2l import fashion_mnist
    *arrays, edition = real_data
    few = fashion_mnist.FashionMNIST(*(a[:3000] for a in arrays), edition)
    monkeypatch.setattr(fashion_mnist, 'load', lambda: few)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    """Chromium without a window; skips where it is not installed."""
    chromium, driver = shutil.which('chromium'), shutil.which('chromedriver')
    if not (chromium and driver):
        pytest.skip('no chromium or chromedriver: install the packages '
                    'chromium and chromium-driver')
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ('--headless=new', '--no-sandbox', '--disable-gpu',
                     '--disable-quic', '--no-first-run', '--disable-sync',
                     '--disable-background-networking',
                     '--disable-component-update', '--user-data-dir='
                     + str(tmp_path_factory.mktemp('chromium'))):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs',
                           {'browser': 'ALL', 'performance': 'ALL'})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def run_script(tmp_path):
    """Run `chapters/NAME.py ARGS`, its figures in `tmp_path/'figures'`."""
    def run(name, *args, timeout=300):
        ran = subprocess.run(
            [sys.executable, f'chapters/{name}.py', *map(str, args),
             '--output', tmp_path / 'figures'], cwd=ROOT, timeout=timeout,
            capture_output=True, text=True, check=False)
        ran.stderr = without_closing(ran.stderr)
        return ran
    return run
