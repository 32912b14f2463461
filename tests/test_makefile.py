"""`make env` builds a new environment, or leaves the old one as it was."""
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

INPUTS = 'requirements.txt', 'constraints.txt', 'pyproject.toml'
# The environment, without what a make around the tests has put there.
OUTSIDE = {name: value for name, value in os.environ.items() if name not in (
    'MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'MXNET', 'VENV')}


@pytest.fixture
def checkout(tmp_path):
    """A checkout that needs no package, and has a working environment."""
    shutil.copy(ROOT / 'Makefile', tmp_path)
    for name in ('sections.py', 'machine/preflight.py'):
        path = tmp_path / 'gluon_mlp' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / 'gluon_mlp' / name, path)
    (tmp_path / '.venv' / 'bin').mkdir(parents=True)
    (tmp_path / '.venv' / 'bin' / 'python').symlink_to(sys.executable)
    for name in (*INPUTS, '.venv/.base', '.venv/.complete'):
        (tmp_path / name).touch()
    return tmp_path


def make_env(checkout, *args, **environment):
    """What `make env` says; it takes this Python and no index of packages."""
    return subprocess.run(
        ['make', 'env', *args], cwd=checkout, text=True, timeout=120,
        capture_output=True, check=False, env={
            **OUTSIDE, 'PYTHON': sys.executable, 'PIP_NO_INDEX': '1',
            'PIP_DISABLE_PIP_VERSION_CHECK': '1', **environment})


def assert_as_it_was(checkout):
    """Its environment is the old one, and works."""
    assert sorted(path.name for path in checkout.glob('.venv/**/*')) == [
        '.base', '.complete', 'bin', 'python']
    assert subprocess.run([checkout / '.venv/bin/python', '-c', ''],
                          check=False).returncode == 0


@pytest.mark.parametrize('python', ['', '/bin/true', 'no-such-python',
                                    '/bin/echo'])
def test_a_wrong_python_leaves_the_old_environment(checkout, python):
    """An option without its value is a wrong one, too: one line."""
    ran = make_env(checkout, f'PYTHON={python}')
    error, of_make = ran.stderr.splitlines()
    assert ran.returncode == 2 and of_make.startswith('make: ***')
    assert error == (f'error: PYTHON={python} is no Python: get Python 3.11, '
                     'or name yours, as in make PYTHON=/usr/bin/python3.11')
    assert_as_it_was(checkout)


OFFLINE = """#!/bin/sh
# Python, but for its venv, which is made in a moment, and its pip.
case "$1 $2" in
    '-m venv') mkdir -p "$3/bin" && ln -s "$0" "$3/bin/python" ;;
    '-m pip') echo 'no network' >&2; exit 1 ;;
    *) exec {} "$@" ;;
esac
"""


def test_without_a_network_the_old_environment_stays(checkout):
    """As after a pull that brings a newer list of requirements."""
    python = checkout / 'python'
    python.write_text(OFFLINE.format(sys.executable))
    python.chmod(0o755)
    os.utime(checkout / '.venv/.base', (0, 0))
    ran = make_env(checkout, PYTHON=str(python))
    assert ran.returncode == 2 and ran.stderr.startswith('no network\n')
    assert_as_it_was(checkout)


# pip can install a project in place by this alone, without a network.
BACKEND = """import zipfile
def build_editable(folder, *args, **kwargs):
    name = 'project-0-py3-none-any.whl'
    with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:
        for file, text in [
                ('METADATA', 'Metadata-Version: 2.1\\nName: project\\n'
                             'Version: 0\\n'),
                ('WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n'
                          'Root-Is-Purelib: true\\n'),
                ('RECORD', '')]:
            wheel.writestr(f'project-0.dist-info/{file}', text)
    return name
"""
PYPROJECT = """[build-system]
requires = []
build-backend = 'backend'
backend-path = ['.']
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13),
                    reason='MXNet is not a requirement there')
def test_a_new_environment_is_whole_and_not_built_again(checkout):
    """Its scripts run, though it was built under another name.

    One of its files has a date in the future.
    """
    (checkout / 'backend.py').write_text(BACKEND)
    (checkout / 'pyproject.toml').write_text(PYPROJECT)
    os.utime(checkout / 'pyproject.toml', (2 ** 32, 2 ** 32))
    ran = make_env(checkout)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in checkout.glob('.venv*')] == ['.venv']
    folder = subprocess.run([checkout / '.venv/bin/pip', '--version'],
                            text=True, capture_output=True, check=True)
    assert str(checkout / '.venv/lib') in folder.stdout
    activate = (checkout / '.venv/bin/activate').read_text()
    assert str(checkout / '.venv') in activate and '-new' not in activate
    again = make_env(checkout)
    assert (again.returncode, again.stdout) == (
        0, "make: Nothing to be done for 'env'.\n")
