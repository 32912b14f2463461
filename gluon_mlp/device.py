"""The device to compute on, tried before it is used."""
import subprocess
import sys

import mxnet as mx

from .errors import DeviceError

KERNEL = ('import gluon_mlp, mxnet as mx; '
          'print((mx.nd.ones(2, ctx=mx.gpu({})) + 1).asnumpy())')


def get_device(name):
    """The context of 'cpu' or 'gpu'. Raises `DeviceError`.

    A GPU has to run a kernel first, in a process of its own: MXNet counts
    GPUs too for which it has no machine code, and these may crash it.
    """
    if name == 'cpu':
        return mx.cpu()
    if mx.context.num_gpus() == 0:
        raise DeviceError(
            'MXNet sees no GPU: it needs one of compute capability 8.9 or '
            'less and the package mxnet-cu112 or mxnet-cu117 instead of '
            'mxnet (see README); use --device cpu')
    trial = subprocess.run([sys.executable, '-c', KERNEL.format(0)],
                           capture_output=True, text=True, check=False)
    if trial.returncode:
        raise DeviceError(
            "this GPU cannot run MXNet's kernels (the wheels have machine "
            'code for compute capabilities up to 8.9, not for Hopper or '
            f'newer: {_last_line(trial)}); use --device cpu')
    return mx.gpu(0)


def _last_line(trial):
    lines = [line for line in trial.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f'exit code {trial.returncode}'
