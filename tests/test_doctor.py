"""The doctor says what is wrong and its mend, also where much is broken."""
import os
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from gluon_mlp import doctor
from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.machine import preflight

FACTS = {'version': '1.9.1', 'gpus': []}
SOUND = [doctor.Finding('Python', '3.11'), doctor.Finding('NumPy', '1.23.5')]


@pytest.fixture
def cuda(monkeypatch):
    """A sound mxnet-cu112, its libraries found, and no GPU."""
    monkeypatch.setattr(doctor, 'mxnet_wheels', lambda: ['mxnet-cu112'])
    monkeypatch.setattr(doctor, 'mxnet_facts', lambda: FACTS)
    monkeypatch.setattr(doctor, 'missing_libraries', lambda library: [])
    monkeypatch.setattr(doctor, 'nvidia_gpus', list)


def broken_import(folder, name, error):
    """A package `name` in `folder` whose import raises `error`."""
    (folder / name).mkdir()
    (folder / name / '__init__.py').write_text(f'raise {error}\n')
    return {**os.environ, 'PYTHONPATH': str(folder)}


def run_doctor(env):
    return subprocess.run([sys.executable, '-m', 'gluon_mlp', 'doctor'],
                          env=env, capture_output=True, text=True,
                          cwd=ROOT, check=False)


def line(ran, what):
    """The table's line on `what`."""
    return next(text for text in ran.stdout.splitlines()
                if text.split()[1:2] == [what])


def mend_of(findings):
    """The one mend among `findings`."""
    mends = [f.mend for f in findings if f.mend]
    assert len(mends) == 1
    return mends[0]


def test_nothing_is_wrong_here(real_data):
    """On a machine that runs these tests; in one screen, a log's too."""
    ran = run_doctor(os.environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert 'mend' not in ran.stdout.split('nothing is wrong')[0]
    assert len(ran.stdout.splitlines()) <= 24 and '\x1b' not in ran.stdout
    assert real_data.edition in line(ran, 'data')


def test_without_numpy(tmp_path):
    """It runs, says so, and does not blame the data."""
    ran = run_doctor(broken_import(tmp_path, 'numpy', 'ImportError("gone")'))
    assert ran.returncode == 1
    assert line(ran, 'NumPy').split()[0] == 'mend'
    assert 'gone' in line(ran, 'NumPy') and 'gone' in line(ran, 'MXNet')
    assert 'not looked at' in line(ran, 'data')
    assert 'NumPy: make clean env' in ran.stdout


@pytest.mark.parametrize('error, said', [
    ('OSError("libnothing.so.1: cannot open shared object file")',
     'libnothing.so.1'),
    ('SystemExit(3)', 'exit code 3')])
def test_without_mxnet(tmp_path, error, said):
    """What its import says is told, and the rest is looked at."""
    ran = run_doctor(broken_import(tmp_path, 'mxnet', error))
    assert ran.returncode == 1
    assert line(ran, 'MXNet').split()[0] == 'mend'
    assert said in line(ran, 'MXNet')
    assert line(ran, 'NumPy').split()[0] == 'ok'


def test_mxnet_that_crashes(monkeypatch):
    """A crash of the process that tries MXNet is no crash of the doctor."""
    monkeypatch.setattr(doctor, 'FACTS', 'import os; os.abort()')
    found = doctor.check_mxnet()[0]
    assert found.found.endswith('exit code -6') and found.mend


def test_mxnets_libraries_may_print_what_they_like(monkeypatch):
    """Also when they end, and no text of any encoding."""
    monkeypatch.setattr(doctor, 'FACTS', """
import atexit, os
atexit.register(os.write, 1, b'unloaded \\xff\\n')
print('loading ...')
print('{"version": "1.9.1", "gpus": []}')
""")
    assert doctor.mxnet_facts() == FACTS


@pytest.mark.parametrize('script', [
    '#!/bin/sh\nsleep 30', '#!/bin/sh\nprintf "Tesla \\\\377, 8.0\\n"',
    'no program', '#!/no/such/shell'])
def test_an_nvidia_smi_that_does_not_work(tmp_path, monkeypatch, script):
    """It hangs, prints no text of this encoding, or is no program."""
    (tmp_path / 'nvidia-smi').write_text(script)
    (tmp_path / 'nvidia-smi').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(doctor, 'SMI', 1)
    assert doctor.nvidia_gpus() == (['Tesla \ufffd, 8.0']
                                    if 'Tesla' in script else [])


def test_an_nvidia_smi_that_nothing_can_kill(tmp_path, monkeypatch):
    """As one that waits in the kernel for a driver: it is left behind."""
    (tmp_path / 'nvidia-smi').write_text('#!/bin/sh\nexec sleep 10')
    (tmp_path / 'nvidia-smi').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(doctor, 'SMI', 0.2)
    asked = []
    monkeypatch.setattr(subprocess.Popen, 'kill',
                        lambda process: asked.append(process))
    start = time.monotonic()
    assert doctor.nvidia_gpus() == []
    assert time.monotonic() - start < 9
    monkeypatch.undo()
    asked[0].kill()
    asked[0].communicate()


def test_no_mxnet_and_two(monkeypatch):
    """Two wheels of MXNet overwrite each other's files."""
    monkeypatch.setattr(doctor, 'mxnet_wheels', list)
    assert doctor.check_mxnet()[0].found == 'not installed'
    monkeypatch.setattr(doctor, 'mxnet_wheels',
                        lambda: ['mxnet', 'mxnet-cu112'])
    assert mend_of(doctor.check_mxnet()).startswith(
        'pip uninstall mxnet mxnet-cu112,')


def test_cuda_libraries_are_installed_all_at_once(cuda, monkeypatch):
    """These are the libraries that mxnet-cu112's libmxnet.so names."""
    libraries = [
        'libcudnn.so.8', 'libnccl.so.2', 'libcudart.so.11.0',
        'libcufft.so.10', 'libcublas.so.11', 'libcublasLt.so.11',
        'libcusolver.so.11', 'libcurand.so.10', 'libnvrtc.so.11.2',
        'libnvToolsExt.so.1']
    monkeypatch.setattr(doctor, 'missing_libraries', lambda _: libraries)
    found = doctor.check_cuda_libraries('mxnet-cu112')
    assert found.found == 'missing: ' + ', '.join(libraries)
    assert found.mend.startswith('pip install nvidia-cuda-runtime-cu11 ')
    assert " 'nvidia-cudnn-cu11<9' " in found.mend


def test_cuda_libraries_that_the_loader_does_not_look_for(
        cuda, monkeypatch, tmp_path):
    """Installed as packages, they need to be on the path."""
    folder = tmp_path / 'nvidia' / 'cublas' / 'lib'
    folder.mkdir(parents=True)
    for name in ('libcublas.so.11', 'libcublasLt.so.11'):
        (folder / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, 'missing_libraries', lambda library: [
        'libcublas.so.11', 'libcublasLt.so.11'])
    assert doctor.check_cuda_libraries('mxnet-cu112').mend == (
        f'export LD_LIBRARY_PATH={folder}')


def test_no_driver(cuda, monkeypatch):
    monkeypatch.setattr(doctor, 'missing_libraries',
                        lambda library: ['libcuda.so.1', 'libcudnn.so.8'])
    assert doctor.check_cuda_libraries('mxnet-cu112').mend == (
        "install NVIDIA's driver; or pip uninstall mxnet-cu112, then pip "
        'install mxnet==1.9.1 for the CPU')


def test_missing_libraries_are_those_that_ldd_misses(monkeypatch):
    monkeypatch.setattr(doctor.subprocess, 'run', lambda *a, **options: (
        subprocess.CompletedProcess(a, 0, (
            '\tlibdl.so.2 => /lib/libdl.so.2 (0x00007f)\n'
            '\tlibcudnn.so.8 => not found\n'
            '\tlibcudart.so.11.0 => not found\n'))))
    assert doctor.missing_libraries('libmxnet.so') == [
        'libcudnn.so.8', 'libcudart.so.11.0']


def test_gpus_each_by_the_kernel_that_it_ran(cuda, monkeypatch):
    """One that MXNet has code for, and one that it has not."""
    monkeypatch.setattr(doctor, 'nvidia_gpus',
                        lambda: ['NVIDIA A100, 8.0', 'NVIDIA H200, 9.0'])
    monkeypatch.setattr(doctor, 'mxnet_facts', lambda: {
        **FACTS, 'gpus': [None, 'no kernel image is available']})
    found = doctor.check_mxnet()[-1]
    assert found.found == ('NVIDIA A100, 8.0: a kernel ran; NVIDIA H200, '
                           '9.0: no kernel image is available')
    assert 'up to 8.9' in found.mend


def test_no_gpu_is_wrong_for_a_gpu_package_only(cuda, monkeypatch):
    assert 'pip uninstall mxnet-cu112' in mend_of(doctor.check_mxnet())
    monkeypatch.setattr(doctor, 'mxnet_wheels', lambda: ['mxnet'])
    assert not any(f.mend for f in doctor.check_mxnet())
    monkeypatch.setattr(doctor, 'nvidia_gpus', lambda: ['NVIDIA A100, 8.0'])
    assert not any(f.mend for f in doctor.check_mxnet())
    assert 'A100, 8.0, not for this package' in doctor.check_mxnet()[-1].found


def test_a_gpu_that_runs_its_kernel(cuda, monkeypatch):
    monkeypatch.setattr(doctor, 'mxnet_facts',
                        lambda: {**FACTS, 'gpus': [None]})
    assert not any(f.mend for f in doctor.check_mxnet())
    assert doctor.check_mxnet()[-1].found == 'GPU 0: a kernel ran'


def test_absent_data_and_damaged(monkeypatch, tmp_path):
    """Nothing is fetched, nothing is made: `make data` does that."""
    monkeypatch.setattr(fashion_mnist, 'cache_folder',
                        lambda: tmp_path / 'none')
    absent = doctor.check_data()
    assert 'is missing' in absent.found
    assert absent.mend.startswith('make data')
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(fashion_mnist, 'cache_folder', lambda: tmp_path)
    for name in fashion_mnist.FILES:
        (tmp_path / name).write_bytes(b'no gzip')
    assert 'is damaged' in doctor.check_data().found
    assert doctor.check_data().mend.startswith('make data')


def test_a_name_that_is_too_long_for_the_data(monkeypatch):
    monkeypatch.setenv('MXNET_HOME', '/tmp/' + 'x' * 300)
    assert '(File name too long)' in doctor.check_data().found


def test_a_hidden_gpu_lends_its_name_to_no_other(monkeypatch):
    """nvidia-smi lists those, too, that CUDA_VISIBLE_DEVICES hides."""
    monkeypatch.setattr(doctor, 'nvidia_gpus', lambda: ['H200, 9.0',
                                                        'A100, 8.0'])
    assert doctor.check_gpus('mxnet-cu112', ['']).found == (
        'GPU 0: a kernel ran')
    assert doctor.check_gpus('mxnet-cu112', ['no code', '']).found == (
        'H200, 9.0: no code; A100, 8.0: a kernel ran')


@pytest.mark.parametrize('name', ['OMP_NUM_THREADS',
                                  'MXNET_OMP_MAX_THREADS'])
def test_a_number_of_threads_that_is_none(name):
    """MXNet would abort with it, so no other command runs; the doctor does.
    """
    ran = run_doctor({**os.environ, name: 'all'})
    assert ran.returncode == 1
    assert line(ran, 'threads').split()[0] == 'mend'
    assert f'{name}=all' in line(ran, 'threads')
    assert f'threads: unset {name}' in ran.stdout
    assert line(ran, 'MXNet').split()[0] == 'ok'
    script = subprocess.run([sys.executable, '-c', 'import gluon_mlp'],
                            env={**os.environ, name: 'all'}, text=True,
                            capture_output=True, cwd=ROOT, check=False)
    assert script.returncode == 1
    assert script.stderr.startswith(f"error: {name} is 'all'")
    assert script.stderr.count('\n') == 1


@pytest.mark.parametrize('environment, mend', [
    ({'OMP_NUM_THREADS': '4096'}, 'unset OMP_NUM_THREADS'),
    ({'OMP_NUM_THREADS': 'all'}, 'unset OMP_NUM_THREADS'),
    ({'MXNET_OMP_MAX_THREADS': '4096'}, 'unset MXNET_OMP_MAX_THREADS'),
    ({'MXNET_CPU_WORKER_NTHREADS': '2'}, 'may hang'),
    ({'MXNET_OMP_MAX_THREADS': '\u0663'}, 'unset MXNET_OMP_MAX_THREADS'),
    ({'OMP_NUM_THREADS': '0'}, 'unset OMP_NUM_THREADS'),
    ({'MXNET_ENGINE_TYPE': 'Naive'}, 'unset it, or set it to one of '),
    ({'DMLC_ROLE': 'server'}, 'only serves other processes: unset it'),
    ({'OMP_NUM_THREADS': '1'}, '')])
def test_threads(monkeypatch, environment, mend):
    """More threads than processors are slow; fewer are a choice."""
    for name in doctor.compat.THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = doctor.check_threads()
    assert mend in found.mend and bool(mend) == bool(found.mend)
    for name, value in environment.items():
        assert f'{name}={value}' in found.found


def test_a_machine_without_a_wheel(monkeypatch):
    """What the preflight says is the mend."""
    monkeypatch.setattr(preflight, 'this_machine',
                        lambda: preflight.Machine('Windows', 'AMD64'))
    monkeypatch.setattr(doctor.compat, 'mxnet_version', lambda: '1.9.1')
    assert 'WSL' in doctor.check_machine().mend


def test_a_machine_with_another_mxnet(monkeypatch):
    """Where one is installed, that 1.9.1 has no wheel is no problem."""
    monkeypatch.setattr(preflight, 'this_machine',
                        lambda: preflight.Machine('Darwin', 'arm64'))
    for found, wrong in (('2.0.0+cu13', False), ('1.9.1', True), ('', True)):
        monkeypatch.setattr(doctor.compat, 'mxnet_version', lambda v=found: v)
        assert bool(doctor.check_machine().mend) == wrong


@pytest.mark.parametrize('findings, code', [
    (SOUND, 0), ([*SOUND, doctor.Finding('data', 'is [gone]', 'make [it]')],
                 1)])
def test_exit_code_and_mends(monkeypatch, capsys, findings, code):
    """Each problem comes with its mend, and makes the exit code 1."""
    monkeypatch.setattr(doctor, 'examine', lambda: findings)
    assert doctor.doctor() == code
    out = capsys.readouterr().out
    assert ('nothing is wrong' in out) == (code == 0)
    assert ('data: make [it]' in out) == (code == 1)
    assert ('is [gone]' in out) == (code == 1)
