"""The textbook's formulas that `agreement` tests with."""
from typing import NamedTuple

import numpy as np
from scipy import special, stats


class Estimate(NamedTuple):
    """A number that was estimated, and how well."""
    value: float
    error: float  # its standard error
    df: float     # degrees of freedom of the error

    def minus(self, other):
        """The difference of two independent estimates.

        The variances add up. The degrees of freedom of the sum are
        Satterthwaite's.
        """
        return Estimate(self.value - other.value,
                        *_sum_of_errors([self, other]))

    def p_value(self, slack=0.0):
        """Of the two-sided t-test that the number is 0, or within `slack`.

        0 for NaN: what is not a number is not 0. 1 without a degree of
        freedom, since then nothing can be told.
        """
        beyond = abs(self.value) - slack
        if np.isnan(beyond):
            return 0.0
        if beyond <= 0 or self.df == 0:
            return 1.0
        t = beyond / self.error if self.error else np.inf
        return float(2 * special.stdtr(self.df, -t))


NOTHING = Estimate(0.0, 0.0, np.inf)


def difference_of_means(a, b, *others):
    """The mean of `a` minus the mean of `b`, as Student's t-test has it.

    All are arrays (n,) of independent draws with one variance, which is
    pooled. `others` help to estimate the variance.
    """
    groups = [a, b, *others]
    df = sum(len(group) - 1 for group in groups)
    squares = sum(_products(group, group) for group in groups)
    variance = squares / df if df else np.inf
    return Estimate(a.mean() - b.mean(),
                    (variance * (1 / len(a) + 1 / len(b))) ** 0.5, df)


def difference_at_equal_x(a, b, *others):
    """The mean of `a` minus that of `b`, if both had the same mean x.

    This is the analysis of covariance. All are pairs of arrays (n,), the
    draws and their x. The draws depend on x by a straight line, of one
    slope for all.
    """
    groups = [a, b, *others]
    yy, xy, xx = (sum(_products(group[i], group[j]) for group in groups)
                  for i, j in ((0, 0), (0, 1), (1, 1)))
    df = sum(len(y) - 1 for y, _ in groups) - 1
    if df < 1 or xx == 0:
        return difference_of_means(*(y for y, _ in groups))
    (y_a, x_a), (y_b, x_b) = a, b
    apart = x_a.mean() - x_b.mean()
    variance = max(yy - xy ** 2 / xx, 0) / df
    return Estimate(
        y_a.mean() - y_b.mean() - xy / xx * apart,
        (variance * (1 / len(y_a) + 1 / len(y_b) + apart ** 2 / xx)) ** 0.5,
        df)


def _products(a, b):
    """The sum of products of the deviations from the two means."""
    return (a - a.mean()) @ (b - b.mean())


def weighted_mean(estimates):
    """The mean of independent estimates of one number.

    Each weighs by the inverse of its variance. These are estimates too, and
    favour what has too small an error by chance; Meier's correction of the
    error (1953) allows for that.
    """
    weights = np.array([estimate.error ** -2 for estimate in estimates])
    weights /= weights.sum()
    error, df = _sum_of_errors([
        estimate._replace(error=weight * estimate.error)
        for weight, estimate in zip(weights, estimates)])
    correction = 1 + 4 * sum(
        weight * (1 - weight) / estimate.df
        for weight, estimate in zip(weights, estimates))
    return Estimate(
        float(weights @ [estimate.value for estimate in estimates]),
        error * correction ** 0.5, df)


def _sum_of_errors(estimates):
    """The standard error of a sum, and its degrees of freedom."""
    if any(estimate.df == 0 for estimate in estimates):
        return np.inf, 0
    variances = [estimate.error ** 2 for estimate in estimates]
    below = sum(variance ** 2 / estimate.df
                for variance, estimate in zip(variances, estimates)
                if variance)
    total = sum(variances)
    return total ** 0.5, total ** 2 / below if below else np.inf


def prediction_interval(draws, alpha):
    """The mean of `draws`, and the half-width for one more draw.

    If they are normal, one more lies outside of mean +- half-width in a share
    `alpha` of all cases.
    """
    n = len(draws)
    error = draws.std(ddof=1) * (1 + 1 / n) ** 0.5
    return draws.mean(), stats.t.isf(alpha / 2, n - 1) * error


def holm(p_values):
    """The p-values adjusted by Holm's step-down procedure, in their order.

    To reject where they are below alpha makes a false alarm in at most a
    share alpha of cases, however the tests depend on each other.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def detectable_ratio(alpha, df, power):
    """The effect that a t-test finds with `power`, in standard errors.

    The test is two-sided at level `alpha`. Infinite without a degree of
    freedom, or if their number is NaN.
    """
    if not df > 0:
        return np.inf
    # The t of such an effect has a noncentral distribution.
    return special.nctdtrinc(df, 1 - power, stats.t.isf(alpha / 2, df))
