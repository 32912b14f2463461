"""MXNet on a machine of today: its import, and its threads."""
import json
import os
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from gluon_mlp.machine import compat

# What a process has in the end, however the modules are imported.
TELL = """
import ctypes, json, mxnet
from mxnet import optimizer
updater = optimizer.get_updater(optimizer.create('sgd'))
print(json.dumps({
    'sum': (mxnet.np.ones(2) + 1).tolist(),
    'threads': ctypes.CDLL('libgomp.so.1').omp_get_max_threads(),
    'several at once': updater.aggregate_updates}))
"""
USERS = {'OMP_NUM_THREADS': '3', compat.UPDATES: '4'}


def run_python(code, **environment):
    """What `code` prints in a fresh process, without settings of ours."""
    env = {name: value for name, value in os.environ.items()
           if name not in (*compat.THREADS, compat.UPDATES, compat.KERNELS,
                           compat.CHOSEN)}
    return subprocess.run([sys.executable, '-c', code], check=True, text=True,
                          stdout=subprocess.PIPE, env={**env, **environment}
                          ).stdout.strip()


@pytest.fixture(scope='module')
def told():
    """What a process tells without settings, and one with the user's."""
    return {name: json.loads(run_python(imports + TELL, **users))
            for name, imports, users in [
                ('chosen', 'import gluon_mlp; from d2l import mxnet', {}),
                ("the user's", 'import numpy, gluon_mlp', USERS)]}


def test_mxnet_computes_whatever_is_imported_before(told):
    """And the book's own package can be imported."""
    assert [process['sum'] for process in told.values()] == [[2, 2]] * 2


def test_numpy_bool_is_pythons_again_or_numpy_2s_own():
    """MXNet compares types with it."""
    assert vars(np)['bool'] is (bool if np.__version__ < '2' else np.bool_)


def test_missing_setuptools_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'setuptools', None)
    with pytest.raises(ImportError, match=r"pip install 'setuptools>=65'"):
        compat._restore_distutils()


def test_mxnet_takes_all_usable_processors_or_the_users_number(told):
    """Left alone it takes half of them."""
    assert told['chosen']['threads'] == compat.usable_processors()
    assert told["the user's"]['threads'] == 3


@pytest.mark.parametrize('number', [
    '2,1', 'all', '0', '-1', '100000', '9' * 20, '\u0663', '1.5', '\x1b[2J',
    ' '])
@pytest.mark.parametrize('name', compat.NUMBERS)
def test_no_number_that_mxnet_can_take_is_named(name, number, monkeypatch):
    """OpenMP knows a list, too; MXNet would abort the process, or crash."""
    monkeypatch.setenv(name, number)
    if (name, number) == (compat.UPDATES, '0'):
        assert compat.wrong_settings() == {}
        return
    with pytest.raises(compat.SettingError) as error:
        compat.prepare()
    assert str(error.value) == (
        f'{name} is {number!r}, no number from {compat.NUMBERS[name]} to '
        '1024: unset it, or set it to one')


@pytest.mark.parametrize('name, value', [
    ('OMP_NUM_THREADS', 'all'), ('MXNET_ENGINE_TYPE', 'x'),
    ('MXNET_ENGINE_TYPE', ''), ('DMLC_ROLE', 'server'),
    ('GLUON_MLP_WORKERS', 'x'), ('PYTHONOPTIMIZE', '2')])
def test_a_wrong_setting_is_one_line(name, value):
    """Without it, there would be a traceback, an abort, or no end."""
    done = subprocess.run([sys.executable, '-c', 'import gluon_mlp'],
                          env={**os.environ, name: value}, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(f'error: {name} is {value!r}')
    assert done.stderr.count('\n') == 1 and 'unset it' in done.stderr


@pytest.mark.parametrize('environment', [
    {'MXNET_ENGINE_TYPE': 'NaiveEngine'}, {'OMP_NUM_THREADS': '1024'},
    {'OMP_NUM_THREADS': ' 2 ', 'DMLC_ROLE': 'worker'},
    {'OMP_NUM_THREADS': '', 'MXNET_OMP_MAX_THREADS': '',
     'MXNET_CPU_WORKER_NTHREADS': '', compat.UPDATES: '0'}], ids=str)
def test_what_is_let_through_computes(environment):
    assert '"sum": [2.0, 2.0]' in run_python('import gluon_mlp' + TELL,
                                             **environment)


def test_users_mxnet_setting_is_not_overruled(monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS')
    monkeypatch.setenv('MXNET_OMP_MAX_THREADS', '1')
    compat.prepare()
    assert 'OMP_NUM_THREADS' not in os.environ


@pytest.mark.parametrize('users, spin', [
    ({}, '1000'), ({'GOMP_SPINCOUNT': '7'}, '7'),
    ({'OMP_WAIT_POLICY': 'active'}, 'None')])
def test_idle_threads_spin_briefly_unless_the_user_says_how(users, spin):
    code = "import os, gluon_mlp; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run_python(code, **users) == spin


@pytest.mark.skipif(not version('mxnet').startswith('1.'),
                    reason='MXNet 2 updates one by one anyway')
def test_parameters_are_updated_one_by_one_unless_the_user_says_how(told):
    assert told['chosen']['several at once'] is False
    assert told["the user's"]['several at once'] is True


SETTINGS = """
import os
was = dict(os.environ)
import gluon_mlp
from gluon_mlp.machine import compat
print(*{name for name in os.environ if os.environ[name] != was.get(name)},
      compat.users_environment() == was)
"""


def test_what_is_chosen_is_not_handed_on():
    """Users' variables are; a process of ours may choose for its own."""
    *names, same = run_python(SETTINGS, GOMP_SPINCOUNT='7').split()
    kernels = [compat.KERNELS] * bool(compat._kernels())
    assert {*names} == {'OMP_NUM_THREADS', compat.UPDATES, compat.CHOSEN,
                        *kernels}
    assert same == 'True'


@pytest.mark.parametrize('cpuinfo, kernels', [
    ('vendor_id : AuthenticAMD\nflags : fpu avx2', 'Zen'),
    ('vendor_id : GenuineIntel\nflags : fpu avx2', 'Haswell'),
    ('vendor_id : GenuineIntel\nflags : fpu', None),
    ('CPU implementer : 0x41', None)])
def test_openblas_is_told_the_kernels_of_the_processor(
        cpuinfo, kernels, monkeypatch, tmp_path):
    """Unless the user has done so."""
    (tmp_path / 'cpuinfo').write_text(cpuinfo)
    choose = compat._kernels
    monkeypatch.setattr(compat, '_kernels',
                        lambda: choose(tmp_path / 'cpuinfo'))
    monkeypatch.setattr(os, 'environ', {})
    compat.prepare()
    assert os.environ.get('OPENBLAS_CORETYPE') == kernels
    os.environ['OPENBLAS_CORETYPE'] = 'Sandybridge'
    compat.prepare()
    assert os.environ['OPENBLAS_CORETYPE'] == 'Sandybridge'


@pytest.mark.parametrize('close', ['', 'os.close(2); '])
def test_mxnet_2_begins_without_a_log(close):
    """It logs a line with its first array; what follows is heard again."""
    done = subprocess.run(
        [sys.executable, '-c', 'import os, sys\n'
         'from gluon_mlp.d2l import training\n'
         f'{close}training.seed(0)\n'
         'print(training.np.ones(2).sum()); os.write(2, b"heard")'.replace(
             'os.write(2, b"heard")', '' if close else
             'os.write(2, b"heard")')],
        capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, '2.0\n')
    assert done.stderr == ('' if close else 'heard')


def test_untuned_leaves_the_settings_to_mxnet():
    """As `bench` runs the book's code: no variable is set."""
    assert run_python(SETTINGS, GLUON_MLP_UNTUNED='1') == 'True'


CGROUPS = {  # a container's files, and its processors out of 8
    'version 2': ({'cpu.max': '300000 100000'}, 3),
    'version 2, half a processor': ({'cpu.max': '50000 100000'}, 1),
    'version 2, no quota': ({'cpu.max': 'max 100000'}, 8),
    'version 1': ({'cpu/cpu.cfs_quota_us': '150000\n',
                   'cpu/cpu.cfs_period_us': '100000\n'}, 2),
    'version 1, no quota': ({'cpu/cpu.cfs_quota_us': '-1',
                             'cpu/cpu.cfs_period_us': '100000'}, 8),
    'unreadable numbers': ({'cpu.max': 'two of them'}, 8),
    'more than there are': ({'cpu.max': '9900000 100000'}, 8),
    'no control groups': ({}, 8),
}


@pytest.mark.parametrize('files, processors', CGROUPS.values(), ids=CGROUPS)
def test_quota_of_control_groups(files, processors, tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert compat.usable_processors(tmp_path) == processors


def test_affinity_limits_the_processors(tmp_path):
    code = ('import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))'
            '}); from gluon_mlp.machine import compat; '
            'print(compat.usable_processors())')
    assert run_python(code) == '1'
