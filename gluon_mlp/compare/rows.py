"""Every published number of the chapter beside ours, and the verdicts.

An exact number may differ by what its known digits leave open. Where the
shuffle matters, the book's single run has to lie in the prediction interval
for one more run of ours. The mean and the standard deviation come from our
runs, each with its own shuffle.
"""
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np
from scipy import ndimage, stats

from .published import Quantity

# One false alarm in a hundred, for all numbers of a section together.
FALSE_ALARM = 0.01

# The book used the edition of 2017-08-26. With that of 2017-08-31 the book's
# own code gives numbers that differ by about this much in every epoch. The
# shift is stated beside the interval, and never added to it in silence.
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
    runs: int            # how many; 0 if the data are not available
    allowed: np.ndarray  # from the known digits and the prediction interval
    shift: float = 0.0   # of the data's edition, allowed in addition

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
        """For each number whether it agrees without the edition's shift."""
        return self.known & (np.abs(self.difference) <= self.allowed)

    @property
    def agrees(self):
        """For each number whether it agrees, with the shift if need be."""
        return self.known & (np.abs(self.difference)
                             <= self.allowed + self.shift)

    @property
    def by_edition(self):
        """For each number whether it agrees only with the shift."""
        return self.agrees & ~self.reproduced

    @property
    def shares(self):
        """Each difference as a share of what is allowed.

        It is infinite where ours is not a number, and NaN where the book has
        none.
        """
        with np.errstate(divide='ignore', invalid='ignore'):
            shares = np.abs(self.difference) / self.allowed
        shares = np.where(self.difference == 0, 0, shares)
        shares = np.where(np.isnan(shares), np.inf, shares)
        return np.where(self.known, shares, np.nan)

    @property
    def worst(self):
        """The index of the number with the largest share."""
        return np.unravel_index(np.nanargmax(self.shares), self.ours.shape)

    @property
    def verdict(self):
        """'not compared', 'reproduced', 'given the edition' or 'differs'."""
        if self.runs == 0:
            return 'not compared'
        if self.reproduced[self.known].all():
            return 'reproduced'
        if self.agrees[self.known].all():
            return 'given the edition'
        return 'differs'


@dataclass
class Control:
    """A training by the book's own code beside ours, from the same seed."""
    section: str
    what: str                  # its name within the section
    num_epochs: Optional[int]  # None if it could not be compared
    history: float             # largest relative difference of its numbers
    weights: float             # largest, as a share of an array's largest
    allowed: float             # of either, as float32 is rounded
    reason: str = ''           # why it could not be compared

    @property
    def agrees(self):
        """Whether history and weights differ by rounding at most."""
        return not self.reason and bool(self.history <= self.allowed
                                        and self.weights <= self.allowed)


@dataclass
class SourceText:
    """A number of the source text, and where it is among our draws."""
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


class Counts(NamedTuple):
    """How many numbers the book published, and how many of them agree."""
    numbers: int
    reproduced: int  # those by the edition, too
    by_edition: int


@dataclass
class Comparison:
    """All that `compare` found, and how it was run."""
    rows: list
    controls: list
    source_text: list
    about: dict = field(default_factory=dict)  # name -> text

    @property
    def sections(self):
        """The slugs of the sections, in the order of the rows."""
        return list(dict.fromkeys(r.quantity.section for r in self.rows))

    def rows_of(self, section=None):
        """The rows of a section, or all."""
        return [r for r in self.rows
                if section in (None, r.quantity.section)]

    def counts(self, section=None):
        """The `Counts` of a section, or of all."""
        rows = self.rows_of(section)
        return Counts(sum(r.quantity.count for r in rows),
                      sum(int(r.agrees.sum()) for r in rows),
                      sum(int(r.by_edition.sum()) for r in rows))

    @property
    def not_compared(self):
        """The slugs of the sections whose data are not available."""
        return [section for section in self.sections
                if all(r.runs == 0 for r in self.rows_of(section))]

    @property
    def agrees(self):
        """Whether everything that could be compared agrees."""
        return (all(row.verdict != 'differs' for row in self.rows)
                and all(c.agrees for c in self.controls)
                and all(t.agrees for t in self.source_text))


def compare_exact(quantity, ours, rounding=0.0):
    """The `Row` of a quantity that does not depend on the shuffle.

    `rounding` is the relative error that float32 has after many steps. Ours
    and the book's may both have it, in opposite directions.
    """
    ours = np.asarray(ours, dtype=float)
    return Row(quantity, ours, np.zeros_like(ours), 1, quantity.tolerance
               + 2 * rounding * np.abs(quantity.values))


def compare_runs(quantity, runs, numbers, edition=BOOK_EDITION):
    """The `Row` of a quantity that depends on the shuffle, given our `runs`.

    `runs` has the shape (number of runs, *shape of the quantity). The
    `FALSE_ALARM` is for all `numbers` of the section together. `edition` is
    that of our data.
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

    If runs are normal, one more run is outside of mean +- half-width in a
    share `alpha` of all cases. With `log` it is the runs' logarithms that are
    normal, and the half-width is that of the longer side. Two runs are the
    least. With `curve` the `runs` (number of runs, points) are those of a
    curve, whose spread changes little from one point to the next. A few runs
    may be close together at one point by chance. So each spread is taken to
    be at least the median over the five points around.
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
