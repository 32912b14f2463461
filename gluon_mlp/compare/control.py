"""The control: our trainings beside those of the book's own code.

It uses no published number. The book's code (`book`) runs in a process of its
own, on MXNet as it is. Both are given the same seed, and nothing else.
"""
import io
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np

from .. import experiment
from ..errors import ChapterError, in_a_line
from ..machine import compat
from ..run.updaters import parameters
from .reproduce import reproduce
from .rows import Control

# Our code does the same operations in the same order, but a faster operator
# may round differently. An epoch of Fashion-MNIST has 235 steps. If each is
# off by one unit of float32, the sum is off by this share at most.
ALLOWED = 235 * float(np.finfo('float32').eps)


def control(section, num_epochs=None):
    """A `Control` for each training of `section`, a slug.

    Each training has `num_epochs` epochs, or as many as the section says. If
    something fails, there is a `Control` that has the reason.
    """
    try:
        ours = our_trainings(section, num_epochs)
        book = book_trainings(section, num_epochs)
    except Exception as error:  # whatever it is, the others are compared
        return [failed(section, in_a_line(error))]
    return compare(section, ours, book)


def compare(section, ours, book):
    """A `Control` for each training: `ours` beside those of the `book`."""
    if len(ours) != len(book):
        return [failed(section, f'{len(ours)} trainings, and the book has '
                       f'{len(book)}')]
    return [_compare(section, what, a, b)
            for a, (what, b) in zip(ours, book.items())]


def our_trainings(section, num_epochs=None):
    """Each training of our section as a list of arrays.

    The first array is the history (rows, numbers). The others are the
    weights.
    """
    with recorded() as trainings:
        reproduce(section, num_epochs=num_epochs)
    return [arrays_of(*training) for training in trainings]


@contextmanager
def recorded():
    """Record each training in this context: its history and its updater."""
    trainings = []

    def epochs(num_epochs, history, updater, draws=False):
        trainings.append((history, updater))
        return experiment.epochs(num_epochs, history, updater)
    with experiment.use(epochs=epochs):
        yield trainings


def arrays_of(history, updater):
    """The history and the weights of a training: NumPy's arrays."""
    return [np.array([list(map(float, row)) for row in history]),
            *(a.asnumpy() for a in parameters(updater))]


def book_trainings(section, num_epochs=None):
    """The same for the book's code, by the names of the trainings.

    Raises `ChapterError` if its process fails.
    """
    command = [sys.executable, '-m', 'gluon_mlp.compare.book', section, '0']
    ran = subprocess.run(
        [*command, *([str(num_epochs)] if num_epochs else [])],
        env=_environment(), stdin=subprocess.DEVNULL, capture_output=True,
        check=False)
    if ran.returncode:
        said = ran.stderr.decode(errors='replace').strip().splitlines()
        raise ChapterError(': '.join([
            f'its process ended with exit code {ran.returncode}', *said[-1:]
        ]))
    trainings = {}
    with np.load(io.BytesIO(ran.stdout)) as arrays:
        for name in arrays:
            trainings.setdefault(name.split('/')[0], []).append(arrays[name])
    return trainings


def _environment():
    """MXNet's own settings, but the threads and kernels of this process.

    They decide the order of the sums in a product of matrices. If it differs,
    so does the rounding, and 4.6 amplifies that to other weights.
    """
    same = {name: os.environ[name] for name in compat.ROUNDING
            if name in os.environ}
    return {**compat.users_environment(), compat.UNTUNED: '1', **same}


def _compare(section, what, ours, book):
    """The `Control` of a training: ours and the book's lists of arrays."""
    shapes = [[a.shape for a in arrays] for arrays in (ours, book)]
    if shapes[0] != shapes[1]:
        return failed(section, 'arrays of shapes {}, and the book has {}'
                      .format(*shapes), what)
    history = np.abs(ours[0] / book[0] - 1).max()
    weights = max(np.abs(a - b).max() / np.abs(b).max()
                  for a, b in zip(ours[1:], book[1:]))
    return Control(section, what, int(book[0][-1, 0]), float(history),
                   float(weights), ALLOWED)


def failed(section, reason, what=''):
    """The `Control` of what could not be compared."""
    return Control(section, what, None, np.nan, np.nan, ALLOWED, reason)
