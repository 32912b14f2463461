"""A device is tried before it is used; several share each batch."""
import re
import subprocess
from types import SimpleNamespace

import mxnet as mx
import numpy as onp
import pytest
from conftest import ROOT
from gluon_mlp import experiment, mlp_concise
from gluon_mlp.d2l import training
from gluon_mlp.d2l.data import ArrayIter
from gluon_mlp.errors import DeviceError
from gluon_mlp.run import device
from mxnet import gluon, init, np
from scripts import script_here

CPUS = [mx.cpu(i) for i in range(3)]  # they stand for GPUs here


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


def train(devices, num_examples, batch_size):
    """Train the network of 4.3 on made-up images: history and parameters."""
    generator = onp.random.default_rng(0)
    X = generator.integers(256, size=(num_examples, 1, 28, 28), dtype='uint8')
    y = generator.integers(10, size=num_examples, dtype='int32')
    training.seed(0)
    net = mlp_concise.get_net()
    net.initialize(init.Normal(sigma=0.01), ctx=devices)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.1})
    history = training.train_ch3(
        device.on_devices(net, devices), ArrayIter([X, y], batch_size, True),
        ArrayIter([X, y], batch_size, False),
        gluon.loss.SoftmaxCrossEntropyLoss(), 3, trainer)
    return history, list(net.collect_params().values())


@pytest.mark.parametrize('num_devices', [2, 3])
@pytest.mark.parametrize('num_examples, batch_size', [
    (60, 12), (103, 10), (101, 10), (20, 1)])
def test_several_devices_train_as_one_does(num_devices, num_examples,
                                           batch_size):
    """The same history and weights, to float32's rounding.

    Batches that the devices divide, that they do not divide, and with fewer
    examples than devices. Each device ends with the same weights.
    """
    history, params = train(CPUS[:num_devices], num_examples, batch_size)
    one_history, one_params = train(CPUS[:1], num_examples, batch_size)
    onp.testing.assert_allclose(history, one_history, rtol=1e-6)
    for param, one_param in zip(params, one_params):
        first, *others = [data.asnumpy() for data in param.list_data()]
        assert [data.ctx for data in param.list_data()] == CPUS[:num_devices]
        largest = abs(first).max()
        onp.testing.assert_allclose(first, one_param.data().asnumpy(),
                                    rtol=0, atol=2e-6 * largest)
        for other in others:
            onp.testing.assert_array_equal(other, first)


@pytest.mark.parametrize('num_examples, shares', [
    (6, [2, 2, 2]), (5, [2, 2, 1]), (2, [2, 2, 2]), (1, [1, 1, 1])])
def test_each_device_has_a_share(num_examples, shares):
    """All compute at once; outputs come back in order, where X is."""
    seen = []

    def net(X):
        seen.append((X.ctx, len(X)))
        return X * 2

    X = np.arange(num_examples * 4).reshape(num_examples, 4)
    y_hat = device.on_devices(net, CPUS)(X)
    assert seen == list(zip(CPUS, shares))
    onp.testing.assert_array_equal(y_hat.asnumpy(), X.asnumpy() * 2)
    assert y_hat.ctx == X.ctx


def test_one_device_gets_the_network_itself():
    """The default run is what it was: the current context, nothing split."""
    net = mlp_concise.get_net()
    with mx.cpu(1):
        assert device.get_devices(1) == [mx.cpu(1)]
    assert device.on_devices(net, CPUS[:1]) is net


def test_each_of_several_gpus_is_tried(monkeypatch):
    """Two of three are taken; where the second fails, it is named."""
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 3)
    tried = []
    monkeypatch.setattr(device, 'try_kernel', tried.append)
    assert device.get_devices(2) == [mx.gpu(0), mx.gpu(1)]
    assert tried == [0, 1]
    monkeypatch.setattr(device, 'try_kernel',
                        lambda number: 'no image' if number else None)
    with pytest.raises(DeviceError, match='GPU 1 cannot run .*no image'):
        device.get_devices(2)


def test_too_few_gpus(one_gpu):
    with pytest.raises(DeviceError, match='only 1 of 2 GPUs: choose'):
        device.get_devices(2)


def test_a_worker_of_a_launch_has_one_device():
    with experiment.use(workers=SimpleNamespace(shared=True)), pytest.raises(
            DeviceError, match='launch .*leave out --num-gpus'):
        device.get_devices(2)


SCRIPT = ROOT / 'chapters' / 'mlp_concise.py'


@pytest.mark.parametrize('args, said', [
    ([], '--num-gpus needs --device gpu'),
    (['--device', 'gpu', '--checkpoint', 'kept'],
     '--checkpoint is for one device'),
    (['--num-gpus', '0'], "--num-gpus': '0' is not an integer from 1 to")])
def test_several_gpus_with_other_options(capsys, args, said):
    """What does not go together is one line and exit code 2."""
    assert script_here(SCRIPT, '--num-gpus', 2, *args)[0] == 2
    out, err = capsys.readouterr()
    assert out == '' and len(err.splitlines()) == 1 and said in err


def test_script_of_4_3_on_several_devices(monkeypatch, capsys, real_data,
                                          tmp_path):
    """It prints the losses and accuracies that it does on one device."""
    printed = []
    for devices in (CPUS[:1], CPUS[:2]):
        monkeypatch.setattr(device, 'get_devices',
                            lambda n, devices=devices: devices)
        code, _ = script_here(SCRIPT, '--num-epochs', 1, '--output',
                              tmp_path)
        out, err = capsys.readouterr()
        assert (code, err) == (0, '')
        line, = re.findall('epoch 1: .*', out)
        printed.append([float(number) for number in
                        re.findall(r'\d\.\d{4}', line)])
    assert len(printed[0]) == 3
    onp.testing.assert_allclose(*printed, atol=2e-4)
