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

import numpy as onp
from mxnet import autograd, kv, np, random

from .. import experiment
from ..d2l.data import ArrayIter
from ..d2l.training import MISFIT
from ..errors import ChapterError
from .ending import say
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
        self._size = None  # of the whole batch, while a part is at hand
        self._last = None  # the size of the last batch behind it
        self._trying = False  # whether a network draws by itself
        self._said = self.rank > 0  # that one does; the first worker says it

    def epochs(self, num_epochs, history, updater, draws=False, first=0):
        """The epochs, each of which has to be shared."""
        check(updater)
        self.epochs_shared += first  # which a checkpoint has kept
        for epoch in experiment.progress(num_epochs, first):
            shared = self.epochs_shared
            yield epoch
            if self.epochs_shared == shared:
                raise ChapterError(
                    'this script trains by a loop of its own, which does not '
                    'share its batches: run it alone')

    def share(self, net, train_iter, updater):
        """This worker's part of the batches, and the step of all together.

        The step sums the gradients over the workers. Told the size of this
        part of the batch, it steps as for the whole batch. Where `net` draws
        by itself, as `nn.Dropout` does, this worker draws from a stream of
        its own. Raises `ChapterError` for a batch without an example for
        each worker, and for an updater that workers cannot share.
        """
        check(updater)
        batches = self.part(train_iter)
        self._check_size(_last_size(train_iter))
        if self._draws(net, train_iter):
            batches = self._with_own_stream(batches)
        self.epochs_shared += 1
        update = getattr(updater, 'step', updater)

        def step(size):
            grads = [a.grad for a in parameters(updater)]
            self._sum([grad for grad in grads if grad is not None])
            own = len(self._rows())
            update(self._size if size == own else size)
        return batches, step

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
        return self._parts(data_iter)

    def draw(self, random, shape, **kwargs):
        """What `random` draws for the rows of this worker in the batch.

        Each draws for the whole batch, as one process does. Raises
        `ChapterError` where a worker has no row of the last batch: it would
        not draw then, and get out of step.
        """
        if self._trying:
            return np.ones(shape, ctx=kwargs.get('ctx'))
        if self._size is None:  # no batch is shared now
            return random(size=shape, **kwargs)
        self._check_size(self._last)
        rows = self._rows()
        return random(size=(self._size, *shape[1:]),
                      **kwargs)[rows[0]:rows[-1] + 1]

    def total(self, *numbers):
        """The sum of each number over the workers, in float32. Waits."""
        sums = np.array(numbers)
        self._sum([sums], 'total')
        return sums.tolist()

    def tell(self, data):
        """The bytes `data` that the first worker has, in all workers."""
        own = onp.frombuffer(data if self.rank == 0 else b'', 'uint8')
        thousands, rest = map(int, self.total(*divmod(len(own), 1000)))
        told = np.zeros(1000 * thousands + rest)
        told[:len(own)] = own
        self._sum([told], 'told')
        return told.asnumpy().astype('uint8').tobytes()

    def _parts(self, data_iter):
        """This worker's part of each batch, whose size is noted."""
        n, batch_size = data_iter.num_examples, data_iter.batch_size
        data_iter = copy.copy(data_iter)
        data_iter.part = self.rank, self.number
        outer = self._size, self._last  # of a loop that evaluates within
        try:
            for i, batch in enumerate(data_iter):
                self._size = min(batch_size, n - i * batch_size)
                self._last = _last_size(data_iter)
                yield batch
        finally:
            self._size, self._last = outer

    def _rows(self):
        """The rows of the whole batch that this worker has."""
        rows = onp.arange(self._size)
        return onp.array_split(rows, self.number)[self.rank]

    def _with_own_stream(self, batches):
        """`batches`, while this worker draws what no other draws.

        After the last batch all workers draw the same numbers again.
        """
        if not self._said:
            say('the network draws by itself: each worker draws other '
                'numbers, and the history is not that of one process')
            self._said = True
        number = int(np.random.randint(2 ** 31 - 1))
        own = onp.random.SeedSequence((number, self.rank)).generate_state(1)
        random.seed(int(own[0]) >> 1)  # 31 bits
        try:
            yield from batches
        finally:
            random.seed(number)

    def _check_size(self, size):
        if size < self.number:
            raise ChapterError(
                f'a batch of {size} cannot be shared by {self.number} '
                'workers: choose another batch size, or fewer workers')

    def _draws(self, net, train_iter):
        """Whether `net` draws by itself, and not by `draw`.

        Then the same examples have other outputs the second time.
        """
        X = train_iter.first(256)[0]
        self._trying = True
        try:
            with autograd.train_mode():
                first, second = (net(X).asnumpy() for _ in range(2))
        except MISFIT:
            return False  # the training itself says what does not fit
        finally:
            self._trying = False
        return first.tobytes() != second.tobytes()

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


def _last_size(data_iter):
    """The size of the last batch of an `ArrayIter`."""
    return data_iter.num_examples % data_iter.batch_size or (
        data_iter.batch_size)
