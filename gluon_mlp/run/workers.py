"""The workers of a `launch`: they share batches, gradients and statistics.

They are processes that run the same script and draw the same numbers. Each
takes its own part of every batch, and MXNet's parameter server sums over
them.
"""
import copy
import os
import sys
import threading
from functools import cached_property

from mxnet import autograd, kv, np

from .. import experiment
from ..d2l.data import ArrayIter
from ..d2l.training import MISFIT
from ..errors import ChapterError
from .updaters import check, parameters

PATIENCE = 60  # seconds until it is said that somebody is missing


class Workers:
    """This process as one of the workers that `launch` has started."""
    shared = True

    def __init__(self):
        self.rank = int(os.environ['DMLC_WORKER_ID'])
        self.number = int(os.environ['DMLC_NUM_WORKER'])
        self.epochs_shared = 0
        self._keys = {}  # a number for each sum, in the order of their use
        self._net = None  # the network that is known to draw nothing

    def epochs(self, num_epochs, history, updater, draws=False):
        """The epochs, each of which has to be shared."""
        check(updater)
        for epoch in experiment.progress(num_epochs):
            shared = self.epochs_shared
            yield epoch
            if self.epochs_shared == shared:
                raise ChapterError(
                    'this section trains by a loop of its own, whose batches '
                    'workers cannot share: run its script alone')

    def share(self, net, train_iter, updater):
        """This worker's part of the batches, and the step of all together.

        The step is told the size of its own part of the batch. It sums the
        gradients over the workers and steps as for the whole batch. Raises
        `ChapterError` for a batch without an example for each worker, and
        for a network or an updater that workers cannot share.
        """
        check(updater)
        part = self.part(train_iter)
        n, batch_size = train_iter.num_examples, train_iter.batch_size
        self._check_size(n % batch_size or batch_size)  # of the last batch
        self._check_network(net, train_iter)
        self.epochs_shared += 1
        sizes = (min(batch_size, n - i) for i in range(0, n, batch_size))
        update = getattr(updater, 'step', updater)

        def step(_):
            grads = [a.grad for a in parameters(updater)]
            self._sum([grad for grad in grads if grad is not None])
            update(next(sizes))
        return part, step

    def part(self, data_iter):
        """This worker's part of each batch of an `ArrayIter`.

        It may have no example of a smaller last batch. Raises
        `ChapterError`.
        """
        if not isinstance(data_iter, ArrayIter):
            raise ChapterError(
                'workers share the batches of an ArrayIter, not of a '
                f'{type(data_iter).__name__}: use load_array')
        self._check_size(min(data_iter.num_examples, data_iter.batch_size))
        data_iter = copy.copy(data_iter)
        data_iter.part = self.rank, self.number
        return data_iter

    def total(self, *numbers):
        """The sum of each number over the workers, in float32. Waits."""
        sums = np.array(numbers)
        self._sum([sums], 'total')
        return sums.tolist()

    def _check_size(self, size):
        if size < self.number:
            raise ChapterError(
                f'a batch of {size} cannot be shared by {self.number} '
                'workers: choose another batch size, or fewer workers')

    def _check_network(self, net, train_iter):
        """Refuse a network that draws masks: each worker would draw its own.

        Twice the same images have the same outputs unless something is drawn.
        """
        if net is self._net:
            return
        X = train_iter.first(256)[0]
        try:
            with autograd.train_mode():
                first, second = (net(X).asnumpy() for _ in range(2))
        except MISFIT:
            return  # the training itself says what does not fit
        if first.tobytes() != second.tobytes():
            raise ChapterError('the network uses dropout: workers would draw '
                               'other masks than one process')
        self._net = net

    def _sum(self, arrays, what='gradient'):
        """Sum each of the arrays over the workers, in place."""
        for i, a in enumerate(arrays):
            # The first ones are needed first.
            self._kvstore.pushpull(self._key(what, i, a), a, priority=-i)

    def _key(self, what, i, a):
        """The number of a sum, which is the same in each worker."""
        place = what, i, a.shape, a.dtype
        if place not in self._keys:
            self._keys[place] = len(self._keys)
            self._kvstore.init(self._keys[place], np.zeros(a.shape, a.dtype))
        return self._keys[place]

    @cached_property
    def _kvstore(self):
        where = '{DMLC_PS_ROOT_URI}:{DMLC_PS_ROOT_PORT}'.format(**os.environ)
        timer = threading.Timer(PATIENCE, lambda: print(
            'still waiting for all servers and workers to join: can each '
            f'machine reach {where}, and the others?', file=sys.stderr,
            flush=True))
        timer.daemon = True
        timer.start()
        try:
            return kv.create('dist_sync')  # returns when all have joined
        finally:
            timer.cancel()
