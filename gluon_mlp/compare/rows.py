"""Every published quantity of the chapter beside ours, and the verdicts.

An exact number may differ from each printing by what its known digits leave
open. What depends on the shuffle is judged by the tests of `agreement`. The
range of our runs is shown beside it, and decides nothing.
"""
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np

from . import agreement, known
from .agreement import FALSE_ALARM
from .statistics import prediction_interval

VERDICTS = ('differs', 'not compared', 'too wide to tell', 'differs as known',
            'agrees')  # from the worst to the best


@dataclass
class Row:
    """A quantity: what the printings have, what our runs have, the verdict.

    Arrays have the shape of the quantity's values, one more axis in front
    for the runs.
    """
    printings: dict       # name of each printing that has it -> `Quantity`
    runs: np.ndarray      # ours; one run of an exact quantity, none at all
    rounding: float = 0.0  # relative, of float32, of an exact quantity
    offset: np.ndarray = 0.0  # of the book's numbers, by the edition
    tests: list = ()      # of a quantity that depends on the shuffle
    spared: list = ()     # the same, with the known differences left out
    reason: str = ''      # why ours is not what it should be
    missing: bool = False  # whether the section's data are not available

    @property
    def quantity(self):
        """The `Quantity` of the first printing that has it."""
        return next(iter(self.printings.values()))

    @property
    def ours(self):
        """The mean over our runs; NaN where there is none, or no number."""
        return self._over_runs(np.mean)

    @property
    def std(self):
        """The standard deviation over our runs; 0 for a single one."""
        return self._over_runs(np.std, ddof=int(len(self.runs) > 1))

    @property
    def low(self):
        """The lowest of our runs."""
        return self._over_runs(np.min)

    @property
    def high(self):
        """The highest of our runs."""
        return self._over_runs(np.max)

    def _over_runs(self, function, **kwargs):
        if not len(self.runs):
            return np.full_like(self.quantity.values, np.nan)
        return function(self.runs, axis=0, **kwargs)

    @property
    def book(self):
        """The mean over the printings."""
        return np.mean([q.values for q in self.printings.values()], axis=0)

    def within(self, name):
        """For each number of a printing whether it is one that we may have.

        It lies in the range of our runs, widened by its known digits, once
        the edition's offset is taken off.
        """
        q = self.printings[name]
        allowed = q.tolerance + 2 * self.rounding * np.abs(q.values)
        values = q.values - self.offset
        return ((values >= self.low - allowed)
                & (values <= self.high + allowed))

    def apart(self, name):
        """For each number of a printing whether it is known, and not that."""
        return np.isfinite(self.printings[name].values) & ~self.within(name)

    @property
    def worst(self):
        """The index of the number that is furthest away, by our spread."""
        away = np.abs(self.ours - self.book + self.offset) / np.maximum(
            self.std, self.quantity.tolerance + 1e-30)
        away = np.where(np.isnan(self.ours), np.inf, away)
        away = np.where(np.isfinite(self.book), away, -1)
        return np.unravel_index(np.argmax(away), away.shape)

    @property
    def known(self):
        """The known differences among its numbers that we indeed miss."""
        return [entry for entry in known.entries()
                for name, quantity in self.printings.items()
                if (index := entry.index(name, quantity)) is not None
                and self.apart(name)[index]]

    @property
    def verdict(self):
        """One of `VERDICTS`."""
        if self.missing:
            return 'not compared'
        if self.reason:
            return 'differs'
        if self.quantity.kind != 'exact':
            found = agreement.verdict(self.tests)
            excused = agreement.verdict(self.spared)
        else:
            apart = sum(int(self.apart(name).sum())
                        for name in self.printings)
            found = 'differs' if apart else 'agrees'
            excused = 'differs' if apart > len(self.known) else 'agrees'
        if found == 'differs' != excused and self.known:
            return 'differs as known' if excused == 'agrees' else excused
        return found


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
        mean, half = prediction_interval(self.draws, FALSE_ALARM)
        return bool(abs(self.text - mean) <= half)


class Counts(NamedTuple):
    """How many numbers a printing has, and how many of them we may have."""
    numbers: int
    within: int


@dataclass
class Comparison:
    """All that `compare` found, and how it was run."""
    rows: list
    controls: list
    source_text: list
    about: dict = field(default_factory=dict)      # name -> text
    printings: dict = field(default_factory=dict)  # name -> texts about it

    @property
    def sections(self):
        """The slugs of the sections, in the order of the rows."""
        return list(dict.fromkeys(r.quantity.section for r in self.rows))

    def rows_of(self, section=None):
        """The rows of a section, or all."""
        return [r for r in self.rows
                if section in (None, r.quantity.section)]

    def controls_of(self, section=None):
        """The controls of a section, or all."""
        return [c for c in self.controls if section in (None, c.section)]

    def counts(self, section=None):
        """The `Counts` of each printing, of a section or of all."""
        return {name: Counts(*(
            sum(column) for column in zip((0, 0), *(
                (r.printings[name].count, int(r.within(name).sum()))
                for r in self.rows_of(section) if name in r.printings))))
            for name in self.printings}

    def tests(self, section=None):
        """The `Test`s of a section, or of all."""
        return [test for row in self.rows_of(section) for test in row.tests]

    def verdict(self, section=None):
        """The worst one of a section's rows and controls, or of all."""
        found = {row.verdict for row in self.rows_of(section)}
        if not all(c.agrees for c in self.controls_of(section)) or (
                not section and not all(t.agrees for t in self.source_text)):
            found.add('differs')
        return next((v for v in VERDICTS if v in found), 'agrees')

    @property
    def exit_code(self):
        """0: agrees, or differs as known. 1: differs. 3: cannot be told."""
        return {'differs': 1, 'not compared': 3, 'too wide to tell': 3}.get(
            self.verdict(), 0)
