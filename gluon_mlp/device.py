"""The device to compute on, tried before it is used."""
import subprocess
import sys

import mxnet as mx

from .errors import DeviceError

KERNEL = ('import gluon_mlp, mxnet as mx; '
          'print((mx.nd.ones(2, ctx=mx.gpu(0)) + 1).asnumpy())')


def get_device(name):
    """The context of 'cpu' or 'gpu'. Raises `DeviceError`.

    A GPU has to run a kernel first, in a process of its own: MXNet counts
    GPUs too for which it has no machine code, and these may crash it.
    """
    if name == 'cpu':
        return mx.cpu()
    if _num_gpus() == 0:
        raise DeviceError(
            'MXNet sees no GPU: it needs one of compute capability 8.9 or '
            'less and the package mxnet-cu112 or mxnet-cu117 instead of '
            'mxnet (see README); use --device cpu')
    fault = _try_kernel()
    if fault:
        raise DeviceError(
            "this GPU cannot run MXNet's kernels (the wheels have machine "
            'code for compute capabilities up to 8.9, not for Hopper or '
            f'newer: {fault}); use --device cpu')
    return mx.gpu(0)


def _num_gpus():
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # a wheel for GPUs, and no driver
        return 0


def _try_kernel():
    """What goes wrong when a kernel runs, in one line, or None."""
    try:
        trial = subprocess.run([sys.executable, '-c', KERNEL], timeout=300,
                               capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return 'it did not finish'
    if trial.returncode < 0:
        return f'it crashed with signal {-trial.returncode}'
    if trial.returncode > 0:
        lines = trial.stderr.strip().splitlines()
        return lines[-1] if lines else f'exit code {trial.returncode}'
    return None
