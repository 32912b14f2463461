"""Runs of 4.2, 4.3 and 4.6 on the edition of Fashion-MNIST that we have.

The book's notebooks ran on the edition of 2017-08-26. Everyone else has that
of 2017-08-31, and so have we. `recorded.json` holds the curves of some runs
on the latter, at a commit whose weights after an epoch were those of the
book's own code. They serve two purposes. They tell how much one shuffle
differs from the next. And the printings minus these runs tell how far the
edition moves the curves.

`python -m gluon_mlp.compare.recorded 24` runs 24 shuffles and writes the
file. No other command writes it: a wrong program would change what it is
measured by.
"""
import datetime
import functools
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..errors import DataError
from . import printings
from .statistics import (
    difference_at_equal_x,
    difference_of_means,
    weighted_mean,
)

BOOK_EDITION = '2017-08-26'
EDITION = '2017-08-31'

# Where the offset is measured. Runs of 4.6 differ ten times as much.
MEASURED_IN = ('mlp_scratch', 'mlp_concise')

FIRST_SHUFFLE = 1000  # `compare` itself takes those from 0
SECTIONS = ('mlp_scratch', 'mlp_concise', 'dropout')
FILE = Path(__file__).with_suffix('.json')


def curves(section, what):
    """The recorded runs of a curve: (runs, 10)."""
    return _read()[section][what]


def score(values, weights):
    """The sum over the points of `values` (n, points) times `weights`.

    A point without a weight may be NaN. `values` may have more points.
    """
    used = np.flatnonzero(weights)
    return values[:, used] @ weights[used]


def scorer(section, what, measure, weights):
    """The function that reduces a curve's runs (n, points) to a measure (n,).

    It is `score`, but for the level. That leaves out the two worst of nine
    epochs: those in which a run is farthest below the usual accuracy, or
    above the usual loss. So an epoch in which training goes astray has no
    effect. The usual curve is the median of the recorded runs. Of fewer than
    five epochs, none is left out.
    """
    if measure != 'level':
        return functools.partial(score, weights=weights)
    used = np.flatnonzero(weights)
    usual = np.median(curves(section, what), axis=0)[used]
    sign = -1 if what.endswith('loss') else 1

    def level(values):
        above = np.sort(sign * (values[:, used] - usual))
        better = above[:, (len(used) - 1) // 4:].mean(axis=1)
        # A training that diverged at its end is not left out.
        return np.where(np.isfinite(above).all(axis=1),
                        usual.mean() + sign * better, np.nan)
    return level


def start_of(what):
    """The curve whose first point tells how early the run of `what` began.

    A network of two hidden layers stands still at first, for a time that
    depends on the shuffle. A run that starts late stays behind in every
    epoch, so its start explains most of what a run differs by.
    """
    return '/'.join([*what.split('/')[:-1], 'train_acc'])


def offset(section, what, measure, weights):
    """The edition's offset of a summary measure: an `Estimate`.

    It is book minus ours, as the sections other than `section` have it.
    """
    name = what.split('/')[-1]
    return weighted_mean([offset_of(other, name, measure, weights)
                          for other in MEASURED_IN if other != section])


def offset_of(section, what, measure, weights):
    """The mean over the printings minus that over the recorded runs."""
    book, start = (np.stack([numbers[section][name] for numbers in _books()])
                   for name in (what, start_of(what)))
    groups = [(scorer(section, what, measure, weights)(book), start[:, 0]),
              scores(section, what, measure, weights)]
    if measure == 'start':
        return difference_of_means(*(values for values, _ in groups))
    return difference_at_equal_x(*groups)


def scores(section, what, measure, weights):
    """The measure of the recorded runs, and how early they started."""
    return (scorer(section, what, measure, weights)(curves(section, what)),
            curves(section, start_of(what))[:, 0])


@functools.cache
def _read():
    runs = json.loads(FILE.read_text('utf-8'))['runs']
    return {slug: {what: np.array(values) for what, values in whats.items()}
            for slug, whats in runs.items()}


@functools.cache
def _books():
    return [printings.load(name).numbers for name in printings.NAMES]


def record(number):
    """Run `number` shuffles of each section: the text of the file."""
    from ..d2l import fashion_mnist
    from .reproduce import reproduce
    if fashion_mnist.load().edition != EDITION:
        raise DataError(f'Fashion-MNIST is not of {EDITION} here')
    shuffles = range(FIRST_SHUFFLE, FIRST_SHUFFLE + number)
    return written({'edition': EDITION, 'mxnet': version('mxnet'),
                    'shuffles': f'from {shuffles[0]} to {shuffles[-1]}',
                    'date': datetime.date.today().isoformat()},
                   {section: [reproduce(section, shuffle)
                              for shuffle in shuffles]
                    for section in SECTIONS})


def written(about, runs):
    """The text of the file, a line for each run of a curve.

    `runs` has a list of dictionaries for each section.
    """
    curves = {section: {what: [[float(f'{value:.6g}') for value in run[what]]
                               for run in found]
                        for what in found[0] if found[0][what].shape == (10,)}
              for section, found in runs.items()}
    text = json.dumps({'about': about, 'runs': curves})
    return text.replace('], ', '],\n').replace(': [[', ': [\n[') + '\n'


if __name__ == '__main__':
    FILE.write_text(record(int(sys.argv[1])), 'utf-8')
