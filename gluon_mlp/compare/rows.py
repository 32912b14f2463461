"""Every published number of the chapter beside ours, and what may differ.

What an exact number may differ by follows from the digits that are known.
Where the shuffle has a say, the book's single run has to lie in the
prediction interval for one more run of ours: mean and standard deviation are
taken over our runs, each with a shuffle of its own.
"""
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage, stats

from .published import Quantity

# One false alarm in a hundred, for all numbers of a section together.
FALSE_ALARM = 0.01

# What the edition of 2017-08-31 changes in the book's own code, which used
# that of 2017-08-26: about so much, whatever the epoch. Stated beside the
# interval, never added to it in silence.
EDITION_SHIFT = {'train_loss': 0.004, 'test_acc': 0.02}
BOOK_EDITION = '2017-08-26'


@dataclass
class Row:
    """A published quantity, ours, and the verdict for each number in it.

    The arrays have the shape of `quantity.values`.
    """
    quantity: Quantity
    ours: np.ndarray     # mean over the runs; NaN where training diverged
    std: np.ndarray      # over the runs; 0 for exact numbers
    runs: int            # 0: its data cannot be had
    allowed: np.ndarray  # by the digits known and the prediction interval
    shift: float = 0.0   # of the edition of the data, on top if need be

    @property
    def difference(self):
        """Ours minus the book's."""
        return self.ours - self.quantity.values

    @property
    def known(self):
        """Where the book has a number."""
        return np.isfinite(self.quantity.values)

    @property
    def reproduced(self):
        """For each number whether it agrees, without the edition's shift."""
        return self.known & (np.abs(self.difference) <= self.allowed)

    @property
    def by_edition(self):
        """For each number whether it agrees only given the shift."""
        return (self.known & ~self.reproduced
                & (np.abs(self.difference) <= self.allowed + self.shift))

    @property
    def verdict(self):
        """'not compared', 'reproduced', 'given the edition' or 'differs'."""
        if self.runs == 0:
            return 'not compared'
        if self.reproduced[self.known].all():
            return 'reproduced'
        if (self.reproduced | self.by_edition)[self.known].all():
            return 'given the edition'
        return 'differs'


@dataclass
class Control:
    """The book's own loop beside ours, on the same batches and start."""
    section: str
    what: str            # 'scratch' or 'concise'
    num_epochs: int
    history: float       # largest relative difference of the two histories
    weights: float       # largest difference, relative to the largest weight
    allowed: float       # float32 rounding, for both

    @property
    def agrees(self):
        """Whether both differ by no more than rounding."""
        return bool(max(self.history, self.weights) <= self.allowed)


@dataclass
class SourceText:
    """A number of the source text, and where it lies in our draws."""
    what: str
    text: float
    draws: np.ndarray    # ours, one for each draw

    @property
    def below(self):
        """How many of our draws are below it."""
        return int((self.draws < self.text).sum())

    @property
    def agrees(self):
        """Whether it lies in the prediction interval for one more draw."""
        mean, _, half = prediction_interval(self.draws, FALSE_ALARM)
        return bool(abs(self.text - mean) <= half)


@dataclass
class Comparison:
    """All that `compare` found, and about the run."""
    rows: list
    controls: list
    source_text: list
    about: dict = field(default_factory=dict)  # name -> text

    def counts(self, section=None):
        """Numbers published, reproduced, and those only by the edition."""
        rows = [r for r in self.rows
                if section in (None, r.quantity.section)]
        return (sum(r.quantity.count for r in rows),
                sum(int((r.reproduced | r.by_edition).sum()) for r in rows),
                sum(int(r.by_edition.sum()) for r in rows))


def compare_exact(quantity, ours, rounding=0.0):
    """The `Row` of a quantity that does not depend on the shuffle.

    `rounding`: the relative error of float32 where it takes many steps; ours
    and the book's may both have it, to opposite sides.
    """
    ours = np.asarray(ours, dtype=float)
    return Row(quantity, ours, np.zeros_like(ours), 1, quantity.tolerance
               + 2 * rounding * np.abs(quantity.values))


def compare_runs(quantity, runs, numbers, edition=BOOK_EDITION):
    """The `Row` of a quantity that depends on the shuffle, given our `runs`.

    `runs` (number of runs, *shape of the quantity). `numbers` counts those of
    the section that share its `FALSE_ALARM`. `edition` is our data's.
    """
    runs = np.asarray(runs, dtype=float)
    mean, std, half = prediction_interval(
        runs, FALSE_ALARM / numbers, log=quantity.axis == 'log',
        curve=quantity.x is not None)
    if quantity.axis == 'log':  # the interval is longer above than below
        half = np.where(quantity.values < mean,
                        half * mean / (mean + half), half)
    shift = 0.0
    if quantity.kind == 'statistical' and edition != BOOK_EDITION:
        shift = EDITION_SHIFT.get(quantity.what.split('/')[-1], 0.0)
    return Row(quantity, mean, std, len(runs), half + quantity.tolerance,
               shift)


def prediction_interval(runs, alpha, log=False, curve=False):
    """Mean, standard deviation and half-width for one more run.

    One more run lies within the half-width of the mean but for a share
    `alpha` of cases, if runs are normal (`log`: if their logarithms are; the
    half-width is then the longer side's). Needs two runs or more. `curve`:
    `runs` (number of runs, points) are of a curve, whose spread changes
    little from a point to the next. Few runs may lie close together at one
    by chance, so a spread counts as the median of the five points around at
    least.
    """
    values = np.log(runs) if log else runs
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    spread = (np.maximum(std, ndimage.median_filter(std, 5, mode='nearest'))
              if curve else std)
    t = stats.t.ppf(1 - alpha / 2, len(runs) - 1)
    half = t * spread * np.sqrt(1 + 1 / len(runs))
    if log:
        return (np.exp(mean), runs.std(axis=0, ddof=1),
                np.exp(mean) * np.expm1(half))
    return mean, std, half
