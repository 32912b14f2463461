"""The devices to compute on, tried before they are used."""
import subprocess
import sys

import mxnet as mx
from mxnet import gluon, np, npx

from .. import experiment
from ..errors import DeviceError

npx.set_np()

KERNEL = ('import gluon_mlp, mxnet as mx; '
          'print((mx.nd.ones(2, ctx=mx.gpu({})) + 1).asnumpy())')


def get_device(name, number=0):
    """The context of 'cpu', or of the 'gpu' of a number (from 0).

    A GPU first has to run a kernel in a process of its own. MXNet also counts
    GPUs for which it has no machine code, and these may crash it. Raises
    `DeviceError`.
    """
    if name == 'cpu':
        return mx.cpu()
    if num_gpus() == 0:
        raise DeviceError(
            'MXNet sees no GPU: it needs one of compute capability 8.9 or '
            'less and the package mxnet-cu112 or mxnet-cu117 instead of '
            'mxnet (see README); use --device cpu')
    fault = try_kernel(number)
    if fault:
        raise DeviceError(
            f"GPU {number} cannot run MXNet's kernels (the wheels have "
            'machine code for compute capabilities up to 8.9, not for Hopper '
            f'or newer: {fault}); use --device cpu')
    return mx.gpu(number)


def get_devices(n):
    """The contexts to train on: the current one for 1, or else `n` GPUs.

    Raises `DeviceError` if there are fewer, or if one fails its kernel.
    """
    if n == 1:
        return [mx.current_context()]
    if experiment.current.workers.shared:
        raise DeviceError('the workers of a launch have one device each: '
                          'leave out --num-gpus')
    if num_gpus() < n:
        raise DeviceError(f'MXNet sees only {num_gpus()} of {n} GPUs: choose '
                          'a smaller --num-gpus')
    return [get_device('gpu', number) for number in range(n)]


def on_devices(net, devices):
    """`net` as a function of a batch X that `devices` share (12.6).

    `net` is initialized on these contexts. The outputs are put together where
    X is, so the loss sees no difference, and a `Trainer` sums the gradients
    over the devices. Nothing waits.
    """
    if len(devices) == 1:
        return net

    def outputs(X):
        n = len(X)
        if n < len(devices):  # each needs an example
            X = np.concatenate([X] * len(devices))
        shards = gluon.utils.split_and_load(X, devices, even_split=False)
        y_hat = [net(shard) for shard in shards]
        return np.concatenate([part.as_in_ctx(X.ctx) for part in y_hat])[:n]
    return outputs


def num_gpus():
    """The number of GPUs that MXNet sees."""
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # a wheel for GPUs without a driver
        return 0


def try_kernel(number):
    """What goes wrong when a GPU runs a kernel, in one line, or None."""
    try:
        trial = subprocess.run([sys.executable, '-c', KERNEL.format(number)],
                               timeout=300, capture_output=True, text=True,
                               check=False)
    except subprocess.TimeoutExpired:
        return 'it did not finish'
    if trial.returncode < 0:
        return f'it crashed with signal {-trial.returncode}'
    if trial.returncode > 0:
        lines = trial.stderr.strip().splitlines()
        return lines[-1] if lines else f'exit code {trial.returncode}'
    return None
