"""What the workers of a `launch` share: batches, gradients and statistics.

They are processes that run the same script with the same draws. Each takes
its own part of every batch, and MXNet's parameter server sums over them. In
a process that `launch` has not started, all of this does nothing.
"""
import copy
import itertools
import os
import sys
import threading
from functools import lru_cache

from ..errors import ChapterError

launched = os.environ.get('DMLC_ROLE') == 'worker'
rank = int(os.environ['DMLC_WORKER_ID']) if launched else 0
num_workers = int(os.environ['DMLC_NUM_WORKER']) if launched else 1
PATIENCE = 60  # seconds until it is said that somebody is missing

_keys = itertools.count()
_num_sums = 0  # calls of `sum_gradients`


def share(train_iter, updater):
    """Share an epoch: this worker's batches, and the step of all together.

    That step takes the summed gradients for those of the whole batch, and
    is told its own part's size. Raises `ChapterError` where a batch does
    not have an example for each worker.
    """
    if not launched:
        return train_iter, updater
    from mxnet import gluon
    _check_kind(train_iter)
    n, batch_size = train_iter.num_examples, train_iter.batch_size
    sizes = [min(batch_size, n - i) for i in range(0, n, batch_size)]
    _check(sizes[-1])
    if isinstance(updater, gluon.Trainer):
        updater = _step_of(updater)
    sizes = iter(sizes)

    def step(own_size):
        before = _num_sums
        updater(next(sizes))
        if _num_sums == before:
            raise ChapterError('the updater does not sum the gradients of '
                               'the workers: use training.sgd or a Trainer')
    return part(train_iter), step


def _check_kind(data_iter):
    from ..d2l.data import ArrayIter
    if not isinstance(data_iter, ArrayIter):
        raise ChapterError('workers share the batches of an ArrayIter, not '
                           f'of a {type(data_iter).__name__}: use load_array')


def _check(size):
    if size < num_workers:
        raise ChapterError(f'a batch of {size} cannot be shared by '
                           f'{num_workers} workers: choose another batch '
                           'size, or fewer workers')


def _step_of(trainer):
    def step(batch_size):
        sum_gradients(param.grad() for param in trainer._params
                      if param.grad_req != 'null')
        trainer.step(batch_size)
    return step


def part(data_iter):
    """An `ArrayIter` of this worker's part of each batch of another.

    Of a smaller last batch it may have none. Raises `ChapterError`.
    """
    if not launched:
        return data_iter
    _check_kind(data_iter)
    _check(min(data_iter.num_examples, data_iter.batch_size))
    data_iter = copy.copy(data_iter)
    data_iter.part = rank, num_workers
    return data_iter


def sum_gradients(grads):
    """Sum each of the arrays `grads` over the workers, in place."""
    global _num_sums
    _num_sums += 1
    if launched:
        for i, grad in enumerate(grads):
            # The first ones are needed first.
            _kvstore().pushpull(_key(i, grad.shape, grad.dtype), grad,
                                priority=-i)


def total(*values):
    """The sum of each number over the workers, in float32, waited for."""
    if not launched:
        return values
    from mxnet import np
    sums = np.array(values)
    _kvstore().pushpull(_key('total', sums.shape, sums.dtype), sums)
    return sums.tolist()


@lru_cache(maxsize=None)
def _kvstore():
    from mxnet import kv
    where = '{DMLC_PS_ROOT_URI}:{DMLC_PS_ROOT_PORT}'.format(**os.environ)
    timer = threading.Timer(PATIENCE, lambda: print(
        'still waiting for all servers and workers to join: can each machine '
        f'reach {where}, and the others?', file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        return kv.create('dist_sync')  # returns when all have joined
    finally:
        timer.cancel()


@lru_cache(maxsize=None)
def _key(what, shape, dtype):
    """The number of what is summed, the same one in each worker."""
    from mxnet import np
    key = next(_keys)
    _kvstore().init(key, np.zeros(shape, dtype))
    return key
