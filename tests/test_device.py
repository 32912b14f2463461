"""A device is tried before it is used."""
import subprocess

import mxnet as mx
import pytest

from gluon_mlp import device
from gluon_mlp.errors import DeviceError


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 1)


def trial(monkeypatch, returncode, stderr=''):
    monkeypatch.setattr(
        subprocess, 'run', lambda *args, **options:
        subprocess.CompletedProcess(args, returncode, '[2. 2.]', stderr))


def no_driver():
    raise mx.MXNetError('driver version is insufficient')


def test_cpu_is_taken_without_a_trial(monkeypatch):
    """The CPU needs no trial."""
    monkeypatch.delattr(subprocess, 'run')
    assert device.get_device('cpu') == mx.cpu()


@pytest.mark.parametrize('num_gpus', [lambda: 0, no_driver])
def test_absent_gpu(monkeypatch, num_gpus):
    """No GPU, or no driver: one line that says what is needed."""
    monkeypatch.setattr(mx.context, 'num_gpus', num_gpus)
    with pytest.raises(DeviceError, match='sees no GPU.*mxnet-cu1') as error:
        device.get_device('gpu')
    assert '\n' not in str(error.value)


def test_gpu_that_runs_the_kernel_is_taken(monkeypatch, one_gpu):
    """After a trial without a fault the GPU's context is given."""
    trial(monkeypatch, 0)
    assert device.get_device('gpu') == mx.gpu(0)


@pytest.mark.parametrize('returncode, stderr, said', [
    (1, 'Traceback:\n  File\nMXNetError: no kernel image is available\n\n',
     'MXNetError: no kernel image is available'),
    (1, '', 'exit code 1'),
    (-11, 'Segmentation fault: 11\n\n*** Error in ...', 'signal 11'),
])
def test_gpu_that_fails_the_kernel(monkeypatch, one_gpu, returncode, stderr,
                                   said):
    """A kernel that fails or crashes gives one line with its last words."""
    trial(monkeypatch, returncode, stderr)
    with pytest.raises(DeviceError, match=f'newer: .*{said}\\); use') as e:
        device.get_device('gpu')
    assert '\n' not in str(e.value)


def test_gpu_that_hangs(monkeypatch, one_gpu):
    """A kernel that does not finish is told so."""
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options['timeout'])
    monkeypatch.setattr(subprocess, 'run', run)
    with pytest.raises(DeviceError, match='did not finish'):
        device.get_device('gpu')
