"""MXNet on a machine of today: its import, and its threads."""
import os
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from gluon_mlp.machine import compat

ADD = 'print(mxnet.np.ones(2) + 1)'
OMP = ('import ctypes; '
       'print(ctypes.CDLL("libgomp.so.1").omp_get_max_threads())')


def run_python(code, **environment):
    """What `code` prints in a fresh process, without thread settings."""
    env = {name: value for name, value in os.environ.items()
           if name not in ('OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS',
                           'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY',
                           'MXNET_OPTIMIZER_AGGREGATION_SIZE')}
    return subprocess.run([sys.executable, '-c', code], check=True, text=True,
                          stdout=subprocess.PIPE, env={**env, **environment}
                          ).stdout.strip()


@pytest.mark.parametrize('imports', [
    'import gluon_mlp, mxnet', 'import gluon_mlp, numpy, mxnet',
    'import numpy, gluon_mlp, mxnet'])
def test_mxnet_computes_whatever_is_imported_before(imports):
    assert run_python(f'{imports}; {ADD}') == '[2. 2.]'


def test_books_own_package_imports():
    code = 'import gluon_mlp; from d2l import mxnet; print(mxnet.train_ch3)'
    assert 'function train_ch3' in run_python(code)


def test_numpy_bool_is_pythons_again_or_numpy_2s_own():
    """MXNet compares types with it."""
    assert vars(np)['bool'] is (bool if np.__version__ < '2' else np.bool_)


def test_missing_setuptools_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'setuptools', None)
    with pytest.raises(ImportError, match=r"pip install 'setuptools>=65'"):
        compat._restore_distutils()


def test_mxnet_takes_all_usable_processors():
    """Left alone it takes half of them."""
    threads = run_python(f'import gluon_mlp, mxnet; {OMP}')
    assert int(threads) == compat.usable_processors()


def test_users_number_of_threads_is_kept():
    code = f'import gluon_mlp, mxnet; {OMP}'
    assert run_python(code, OMP_NUM_THREADS='3') == '3'


@pytest.mark.parametrize('name', ['OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS'])
@pytest.mark.parametrize('number', ['2,1', 'all'])
def test_no_number_of_threads_is_one_line(name, number):
    """OpenMP knows a list, too; MXNet would abort the process."""
    done = subprocess.run([sys.executable, '-c', 'import gluon_mlp'],
                          env={**os.environ, name: number}, text=True,
                          capture_output=True, check=False)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert line == (f"error: {name} is '{number}', no number of threads: "
                    'unset it, or set it to one')


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
@pytest.mark.parametrize('users, several', [
    ({}, 'False'), ({'MXNET_OPTIMIZER_AGGREGATION_SIZE': '4'}, 'True')])
def test_parameters_are_updated_one_by_one_unless_the_user_says_how(users,
                                                                    several):
    code = ("import gluon_mlp; from mxnet import optimizer as o; "
            "print(o.get_updater(o.create('sgd')).aggregate_updates)")
    assert run_python(code, **users) == several


def test_untuned_leaves_the_settings_to_mxnet():
    """As `bench` runs the book's code: no variable is set."""
    code = ("import os; was = dict(os.environ); import gluon_mlp.d2l.training; "
            "print({name for name in os.environ if os.environ[name] != "
            "was.get(name) and name.startswith(('OMP', 'GOMP', 'MXNET'))})")
    assert run_python(code, GLUON_MLP_UNTUNED='1') == 'set()'
    assert 'OMP_NUM_THREADS' in run_python(code)


UPDATE = """
import hashlib, sys
import gluon_mlp.d2l.training
from mxnet import autograd, gluon, init, nd, np, npx
npx.set_np()
calls, sgd_update = [], nd.sgd_update
nd.sgd_update = lambda *args, **kwargs: (calls.append(1),
                                         sgd_update(*args, **kwargs))
for options in ({}, {'wd': 3}, {'momentum': 0.9}, {'clip_gradient': 0.01}):
    net = gluon.nn.Dense(7, in_units=143)
    net.initialize(init.Normal(1))
    params = net.collect_params()
    trainer = gluon.Trainer(params, 'sgd', {'learning_rate': 0.1, **options})
    for step in range(2):
        with autograd.record():
            l = net(np.random.normal(size=(5, 143)))
        l.backward()
        trainer.step(5)
    print(options, *(hashlib.sha1(param.data().asnumpy()).hexdigest()
                     for param in params.values()))
print(len(calls), file=sys.stderr)
"""


@pytest.mark.skipif(not version('mxnet').startswith('1.'),
                    reason='MXNet 2 updates one by one anyway')
def test_single_updates_give_the_same_bits():
    """As MXNet's own, with weight decay, momentum and clipping, too."""
    tuned, untuned = (subprocess.run(
        [sys.executable, '-c', UPDATE], check=True, text=True,
        capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '1', **env})
        for env in ({}, {'GLUON_MLP_UNTUNED': '1'}))
    assert tuned.stdout == untuned.stdout and 'wd' in tuned.stdout
    # 2 parameters, 2 steps, plain and clipped.
    assert (tuned.stderr, untuned.stderr) == ('8\n', '0\n')


CGROUPS = {  # lines of /proc/self/cgroup, files, processors out of 8
    'version 2, own group': ('0::/a/b', {'a/b/cpu.max': '300000 100000'}, 3),
    'version 2, a parent': ('0::/a/b', {'a/b/cpu.max': 'max 100000',
                                        'a/cpu.max': '250000 100000'}, 3),
    'version 2, the smallest': ('0::/a', {'a/cpu.max': '500000 100000',
                                          'cpu.max': '400000 100000'}, 4),
    'version 2, half a processor': ('0::/', {'cpu.max': '50000 100000'}, 1),
    'version 2, no quota': ('0::/', {'cpu.max': 'max 100000'}, 8),
    'version 1': ('5:memory:/m\n4:cpu,cpuacct:/d/x\n0::/',
                  {'cpu/d/x/cpu.cfs_quota_us': '150000\n',
                   'cpu/d/x/cpu.cfs_period_us': '100000\n'}, 2),
    'version 1, a container that does not see its path': (
        '4:cpuacct,cpu:/docker/f00',
        {'cpu/cpu.cfs_quota_us': '40000', 'cpu/cpu.cfs_period_us': '20000'},
        2),
    'version 1, no quota': ('4:cpu:/', {'cpu/cpu.cfs_quota_us': '-1',
                                        'cpu/cpu.cfs_period_us': '100000'},
                            8),
    'version 1, the group of another controller': (
        '4:cpu:/a\n3:cpuset:/b', {'cpu/b/cpu.cfs_quota_us': '100000',
                                  'cpu/b/cpu.cfs_period_us': '100000'}, 8),
    'unreadable numbers': ('0::/', {'cpu.max': 'two of them'}, 8),
    'more than there are': ('0::/', {'cpu.max': '9900000 100000'}, 8),
    'no control groups': (None, {}, 8),
}


@pytest.mark.parametrize('own, files, processors', CGROUPS.values(),
                         ids=CGROUPS)
def test_quota_of_control_groups(own, files, processors, tmp_path,
                                 monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    if own:
        (tmp_path / 'own').write_text(own + '\n')
    assert compat.usable_processors(tmp_path, tmp_path / 'own') == processors


def test_affinity_limits_the_processors(tmp_path):
    code = ('import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))'
            '}); from gluon_mlp.machine import compat; '
            'print(compat.usable_processors())')
    assert run_python(code) == '1'
