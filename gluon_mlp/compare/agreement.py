"""Whether our runs and the book's are runs of one program.

What depends on the shuffle is a draw. The book's printings are a few draws,
and our runs are more of them. If our program is the book's, all are draws
from one distribution, and that is what is tested:

1.  A curve is reduced to a few summary measures: its level (the mean over
    the epochs), its trend (the rise of a straight line through it) and, for
    the training accuracy, its first epoch. A wrong program shifts a whole
    curve, and in the mean over ten epochs most of the noise is gone.
    (Matthews, Altman, Campbell and Royston, "Analysis of serial measurements
    in medical research", 1990.) Training on Fashion-MNIST goes astray for an
    epoch now and then, so the level leaves out the two worst epochs there
    (see `recorded.scorer`). The test accuracy has a level only: one dip would
    decide its trend.
2.  On each measure, Student's two-sample t-test compares the printings with
    our runs. The variance is pooled: under the hypothesis, both sides come
    from the same program. In training on Fashion-MNIST, the accuracy of the
    first epoch is a covariate, and the test is the analysis of covariance: a
    network of two hidden layers that gets going late stays behind in every
    epoch, and how late depends on the shuffle. One run in ten does so.
3.  Holm's procedure (1979) holds all tests of a section together to one
    false alarm in a hundred.
4.  Our Fashion-MNIST is another edition than the book's, and that moves a
    measure by an offset, the same one in every section. `recorded` has
    measured it in 4.2 and in 4.3. The test of either takes it from the other
    one, so no section can explain its own error away. The offset's error
    widens the test.
5.  A test finds only what is larger than its noise. `Test.detectable` is the
    difference that it finds in nine cases of ten. If that is larger than the
    test's yardstick, the verdict is 'too wide to tell' and not 'agrees'.
"""
from dataclasses import dataclass, replace
from functools import partial
from typing import Optional

import numpy as np

from . import recorded
from .statistics import (
    NOTHING,
    Estimate,
    detectable_ratio,
    difference_at_equal_x,
    difference_of_means,
    holm,
    weighted_mean,
)

FALSE_ALARM = 0.01  # for all tests of a section together
POWER = 0.9         # of `Test.detectable`

# The differences in level that a comparison should be able to find. For
# training on Fashion-MNIST these are 5 % of the loss, and one and two
# percentage points of the accuracies.
YARDSTICK = {'train_loss': 0.02, 'train_acc': 0.01, 'test_acc': 0.02}
RELATIVE_YARDSTICK = 0.05  # elsewhere: a share of the value


@dataclass
class Test:
    """One summary measure of the printings beside that of our runs."""
    section: str
    what: str           # the quantity; 'weight[2]' is the third of several
    measure: str        # 'level', 'trend', 'start' or 'value'
    log: bool           # whether book and ours are natural logarithms
    book: float         # mean over the printings
    ours: float         # mean over our runs; NaN where training diverged
    raw: Estimate       # book minus ours
    offset: Estimate    # what the edition of the data makes of it
    rounding: float     # how far the printings' digits may be off
    yardstick: float    # infinite for a measure that need not tell
    adjusted: float = 1.0       # the p-value, by Holm
    number: int = 1             # of tests in the section

    @property
    def difference(self):
        """Book minus ours, less the edition's offset: an `Estimate`."""
        return self.raw.minus(self.offset)

    @property
    def p(self):
        """The p-value of this test alone."""
        return self.difference.p_value(self.rounding)

    @property
    def detectable(self):
        """The difference that is found with `POWER`.

        It is found by the strictest step of Holm's procedure, which is the
        one for the smallest p-value.
        """
        _, error, df = self.difference
        return self.rounding + error * detectable_ratio(
            FALSE_ALARM / self.number, df, POWER)

    @property
    def verdict(self):
        """'differs', 'too wide to tell' or 'agrees'."""
        if self.adjusted < FALSE_ALARM:
            return 'differs'
        return ('too wide to tell' if self.detectable > self.yardstick
                else 'agrees')


def test_section(wanted, runs, edition=recorded.EDITION):
    """The `Test`s of a section, in the order of its quantities.

    `wanted` has the printings' `Quantity`s: what -> printing's name -> one.
    `runs` are dictionaries, as `reproduce` returns them. `edition` is that of
    our Fashion-MNIST. Exact quantities have no test.
    """
    tests = []
    for named in wanted.values():
        if next(iter(named.values())).kind != 'exact':
            sample = _sample(named, wanted, runs)
            tests += [_test(sample, measure, weights, edition)
                      for measure, weights in measures(sample)]
    return [replace(test, adjusted=p, number=len(tests))
            for test, p in zip(tests, holm([test.p for test in tests]))]


def verdict(tests):
    """The verdict on a section: the worst one of its tests."""
    found = {test.verdict for test in tests}
    return next((worst for worst in ('differs', 'too wide to tell')
                 if worst in found), 'agrees')


def offsets(tests):
    """The edition's offset of each level, estimated from `tests`.

    The tests may be of several sections. A dictionary: 'train_loss',
    'train_acc', 'test_acc' -> `Estimate` of book minus ours.
    """
    found = {}
    for test in tests:
        if test.measure == 'level' and test.offset is not NOTHING:
            found.setdefault(test.what.split('/')[-1], []).append(test.raw)
    return {name: weighted_mean(raws) for name, raws in found.items()}


@dataclass
class Sample:
    """A quantity's values, one row for each printing or run.

    Logarithms, if the quantity's axis is logarithmic.
    """
    quantity: object
    book: np.ndarray    # (printings, points); NaN where not known
    ours: np.ndarray    # (runs, points)
    digits: np.ndarray  # (points,): how far the printings' digits may be off
    book_start: Optional[np.ndarray] = None  # (printings,); see `start_of`
    ours_start: Optional[np.ndarray] = None  # (runs,)

    @property
    def known(self):
        """Where every printing has a number: booleans (points,)."""
        return np.isfinite(self.book).all(axis=0)


def measures(sample):
    """The summary measures: pairs of a name and the points' weights.

    A measure is the sum of the values times the weights.
    """
    known, quantity = sample.known, sample.quantity
    if quantity.x is None:
        return [('value', row) for row in np.eye(len(known))[known]]
    weights = _weights(sample)
    found = []
    if np.count_nonzero(weights) > 1:
        level = weights / weights.sum()
        x = np.linspace(0, 1, len(level))  # so the slope is the whole rise
        x = x - level @ x
        found = [('level', level), ('trend', level * x / (level @ x ** 2))]
    if quantity.what.endswith('test_acc'):
        found = found[:1]  # one dip in the last epoch would decide a trend
    if quantity.what.endswith('train_acc') and known[0]:
        found.append(('start', np.eye(len(known))[0]))
    return found


def _weights(sample):
    """How much each point of a curve counts in its level and trend.

    The epochs of training on Fashion-MNIST count alike, but for the first,
    where the curve has not settled. The noise of other curves changes by
    orders of magnitude, so a point counts by the inverse of its standard
    deviation. That is taken over printings and runs about one common mean,
    which leaves the t-test exact (Läuter, "Exact t and F tests for analyzing
    studies with multiple endpoints", 1996).
    """
    weights = sample.known.astype(float)
    if sample.quantity.kind == 'statistical':
        weights[0] = 0
        return weights
    values = np.concatenate([sample.book, sample.ours])[:, sample.known]
    weights[sample.known] = (values.var(axis=0, ddof=1)
                             + sample.digits[sample.known] ** 2) ** -0.5
    return weights


def _test(sample, measure, weights, edition):
    """The `Test` of one measure, not yet adjusted."""
    quantity, what = sample.quantity, sample.quantity.what
    if quantity.x is None and len(weights) > 1:
        what += f'[{np.flatnonzero(weights)[0]}]'
    statistical = quantity.kind == 'statistical'
    score = (recorded.scorer(quantity.section, what, measure, weights)
             if statistical else partial(recorded.score, weights=weights))
    groups = [(score(values), start)
              for values, start in ((sample.book, sample.book_start),
                                    (sample.ours, sample.ours_start))]
    offset = NOTHING
    if statistical:
        groups.append(recorded.scores(quantity.section, what, measure,
                                      weights))
        if edition != recorded.BOOK_EDITION:
            offset = recorded.offset(quantity.section, what, measure,
                                     weights)
    at_equal_start = measure != 'start' and sample.book_start is not None
    raw = (difference_at_equal_x(*groups) if at_equal_start else
           difference_of_means(*(values for values, _ in groups)))
    return Test(quantity.section, what, measure, quantity.axis == 'log',
                groups[0][0].mean(), groups[1][0].mean(), raw, offset,
                recorded.score(sample.digits[None], abs(weights))[0],
                _yardstick(sample, measure))


def _yardstick(sample, measure):
    quantity = sample.quantity
    if measure == 'value':
        return RELATIVE_YARDSTICK * np.nanmax(abs(sample.book))
    if measure != 'level':
        return np.inf
    if quantity.kind == 'statistical':
        return YARDSTICK[quantity.what.split('/')[-1]]
    return RELATIVE_YARDSTICK


def _sample(named, wanted, runs):
    """The `Sample` of a quantity: `named` by the printings, and our runs."""
    quantities = list(named.values())
    quantity = quantities[0]
    values = np.stack([q.values.ravel() for q in quantities])
    digits = np.max([q.tolerance.ravel() for q in quantities], axis=0)
    ours = np.stack([_values(run, quantity) for run in runs])
    if quantity.axis == 'log':
        with np.errstate(divide='ignore', invalid='ignore'):
            return Sample(quantity, np.log(values), np.log(ours),
                          digits / values.min(axis=0))
    found = wanted.get(recorded.start_of(quantity.what), {})
    starts = [found[name] for name in named if name in found
              and np.isfinite(found[name].values[0])]
    if quantity.kind != 'statistical' or len(starts) < len(named):
        return Sample(quantity, values, ours, digits)
    return Sample(quantity, values, ours, digits,
                  np.array([q.values[0] for q in starts]),
                  np.array([_values(run, starts[0])[0] for run in runs]))


def _values(run, quantity):
    """A run's values; NaN where they are missing or of another shape."""
    values = np.asarray(run.get(quantity.what, np.nan), dtype=float)
    if values.shape != quantity.values.shape:
        values = np.full_like(quantity.values, np.nan)
    return values.ravel()
