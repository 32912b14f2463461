"""What binds our steps: the Python thread, or what MXNet executes.

On two processors each disturbs the other, so each is timed while the other
waits. A `Gate` holds MXNet while the Python thread pushes the steps of an
epoch. `thread_time` says what that takes. Then the gate opens. Until all is
executed, the Python thread only waits, and the clock says what that takes.
The same epoch without a gate takes at least as long a step as the longer of
the two, and about as long as both if they cannot overlap.
"""
import ctypes
import os
import threading
import time

from mxnet import cpu, npx
from mxnet.base import _LIB, check_call

from ..compare.reproduce import reproduce
from ..d2l import data, training
from .ours import compiled_loss, draw_network

Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
CPU = (ctypes.c_int * 2)(cpu().device_typeid, 0)


class Gate:
    """Holds MXNet's threads for the CPU from now on, until it is opened.

    Do not wait for an array, nor copy one from NumPy, before it is opened.
    """

    def __init__(self):
        self._opened = threading.Event()
        self._wait = Function(lambda *_: self._opened.wait() and None)
        for _ in range(int(os.environ.get('MXNET_CPU_WORKER_NTHREADS', 1))):
            check_call(_LIB.MXEnginePushSync(self._wait, None, None, CPU,
                                             None, 0, None, 0, None, 0,
                                             b'gate'))

    def open(self):
        """Let MXNet execute what has been pushed."""
        self._opened.set()


def step(section, what):
    """A step of an epoch of training, its Python, and its execution."""
    net, updater, batch_size = draw_network(section, what, cpu())
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    arguments = compiled_loss(), updater

    def run():
        seconds = {}
        start = time.perf_counter()
        training.train_epoch_ch3(net, train_iter, *arguments)
        npx.waitall()
        seconds['wall'] = time.perf_counter() - start
        training.train_epoch_ch3(net, _gated(train_iter, seconds), *arguments)
        return {'parts': {part: total / len(train_iter)
                          for part, total in seconds.items()}}
    return run, npx.waitall


def _gated(train_iter, seconds):
    """The batches, with a gate while the loop pushes what it does with them.

    The first one is there before the gate, because the order of an epoch is
    copied from NumPy.
    """
    batches = iter(train_iter)
    first = next(batches)
    npx.waitall()
    gate, start = Gate(), time.thread_time()
    yield first
    yield from batches
    seconds['Python'] = time.thread_time() - start
    start = time.perf_counter()
    gate.open()
    npx.waitall()
    seconds['execution'] = time.perf_counter() - start


def small_step(section, num_epochs, num_steps):
    """A step of a section whose data are small, and its Python.

    `num_steps` is how many steps all of the section's trainings take in
    `num_epochs` epochs. What they evaluate and draw counts, too.
    """
    def run():
        start, python = time.perf_counter(), time.thread_time()
        reproduce(section, num_epochs=num_epochs)
        seconds = {'wall': time.perf_counter() - start,
                   'Python': time.thread_time() - python}
        return {'parts': {part: total / num_steps
                          for part, total in seconds.items()}}
    return run, npx.waitall
