"""The textbook's formulas, against SciPy's own tests and by hand."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import numpy as np
import pytest
from gluon_mlp.compare.statistics import (
    NOTHING,
    Estimate,
    detectable_ratio,
    difference_at_equal_x,
    difference_of_means,
    holm,
    weighted_mean,
)
from scipy import stats

A = np.array([1.0, 2.5, 2.0, 4.0])
B = np.array([3.0, 5.5, 4.5])


def test_the_difference_of_means_is_students():
    expected = stats.ttest_ind(A, B)
    estimate = difference_of_means(A, B)
    assert estimate.value / estimate.error == pytest.approx(
        expected.statistic)
    assert estimate.df == 5
    assert estimate.p_value() == pytest.approx(expected.pvalue)


def test_other_groups_only_help_with_the_variance():
    """By hand: squares of 4.6875, 19 / 6 and 8 with 3, 2 and 1 freedom."""
    estimate = difference_of_means(A, B, np.array([90.0, 94.0]))
    assert estimate.value == A.mean() - B.mean()
    variance = (4.6875 + 19 / 6 + 8) / 6
    assert estimate.error ** 2 == pytest.approx(variance * (1 / 4 + 1 / 3))
    assert estimate.df == 6


def test_the_difference_at_equal_x_is_that_of_least_squares():
    """Columns: a or not, b or not, the third group, x."""
    x_a, x_b = np.array([1.0, 2, 4, 7]), np.array([3.0, 8, 5])
    third, x_third = np.array([0.0, 3]), np.array([-1.0, 1])
    X = np.zeros((9, 4))
    X[:4, 0] = X[4:7, 1] = X[7:, 2] = 1
    X[:, 3] = np.r_[x_a, x_b, x_third]
    y = np.r_[A, B, third]
    coefficients, (squares,), *_ = np.linalg.lstsq(X, y, rcond=None)
    contrast = np.array([1, -1, 0, 0])
    variance = squares / 5 * contrast @ np.linalg.inv(X.T @ X) @ contrast
    estimate = difference_at_equal_x((A, x_a), (B, x_b), (third, x_third))
    assert estimate == pytest.approx(
        (contrast @ coefficients, variance ** 0.5, 5))


def test_without_a_spread_in_x_it_is_the_difference_of_means():
    same = (A, np.ones(4)), (B, np.ones(3))
    assert difference_at_equal_x(*same) == difference_of_means(A, B)


def test_the_difference_of_two_estimates_is_welchs_test():
    expected = stats.ttest_ind(A, B, equal_var=False)
    a, b = (Estimate(x.mean(), stats.sem(x), len(x) - 1) for x in (A, B))
    difference = a.minus(b)
    assert difference.value / difference.error == pytest.approx(
        expected.statistic)
    assert difference.p_value() == pytest.approx(expected.pvalue)


def test_minus_nothing_changes_nothing():
    assert Estimate(3.0, 0.5, 7).minus(NOTHING) == Estimate(3.0, 0.5, 7)
    assert NOTHING.minus(NOTHING) == NOTHING


def test_a_weighted_mean_by_hand():
    """Weights of 4 to 1: errors of 0.5 and 1."""
    mean = weighted_mean([Estimate(1.0, 0.5, 10), Estimate(6.0, 1.0, 20)])
    assert mean.value == pytest.approx((4 * 1 + 6) / 5)
    # 1 / (4 + 1), and Meier's 1 + 4 (0.8 * 0.2 / 10 + 0.2 * 0.8 / 20)
    assert mean.error ** 2 == pytest.approx(0.2 * 1.096)
    # Satterthwaite: 0.2 ** 2 / (0.16 ** 2 / 10 + 0.04 ** 2 / 20)
    assert mean.df == pytest.approx(
        0.2 ** 2 / (0.16 ** 2 / 10 + 0.04 ** 2 / 20))
    one = Estimate(3.0, 0.5, 7)
    assert weighted_mean([one]) == pytest.approx(one)


def test_the_error_of_a_weighted_mean_is_as_large_as_stated():
    """By simulation: three means of nine draws, of unequal spread."""
    rng, times = np.random.default_rng(0), 2000
    draws = rng.normal(size=(times, 3, 9)) * [[1], [1.2], [2]]
    means, sems = draws.mean(axis=2), stats.sem(draws, axis=2)
    values, errors, _ = np.array([
        weighted_mean([Estimate(*one, 8) for one in zip(*pair)])
        for pair in zip(means, sems)]).T
    stated = np.mean(errors ** 2) ** 0.5
    # Four standard errors of a standard deviation.
    assert values.std() == pytest.approx(stated, rel=4 / (2 * times) ** 0.5)


def test_a_slack_counts_before_the_error():
    estimate = Estimate(-3.0, 0.5, 7)
    assert estimate.p_value(slack=3.0) == estimate.p_value(slack=4.0) == 1
    assert estimate.p_value(slack=2.0) == pytest.approx(
        2 * stats.t.sf(2, 7))


@pytest.mark.parametrize('estimate, p_value', [
    (Estimate(np.nan, np.nan, 5), 0), (Estimate(0.1, 0.0, 5), 0),
    (Estimate(0.0, 0.0, 5), 1), (Estimate(7.0, np.inf, 0), 1)])
def test_p_values_where_there_is_no_t(estimate, p_value):
    """NaN is not 0. Without a degree of freedom, nothing can be told."""
    assert estimate.p_value() == p_value


def test_without_a_degree_of_freedom_nothing_can_be_told():
    estimate = difference_of_means(A[:1], B[:1])
    assert estimate == Estimate(-2.0, np.inf, 0)
    assert estimate.minus(Estimate(1.0, 0.5, 7)) == (-3.0, np.inf, 0)
    assert detectable_ratio(0.01, 0, 0.9) == np.inf
    assert detectable_ratio(0.01, np.nan, 0.9) == np.inf


def test_holm_by_hand():
    """0.005 times 4, 0.01 times 3, 0.03 times 2; 0.04 is below 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize('df', [2, 4, 9, 60, np.inf])
def test_the_detectable_effect_is_that_of_the_noncentral_t(df):
    alpha, power = 0.01, 0.9
    effect = detectable_ratio(alpha, df, power)
    if np.isfinite(df):
        found = stats.nct.sf(stats.t.isf(alpha / 2, df), df, effect)
    else:
        found = stats.norm.sf(stats.norm.isf(alpha / 2) - effect)
    assert found == pytest.approx(power, abs=1e-3)


@pytest.mark.parametrize('df', [2, 4, 30])
def test_the_detectable_effect_is_found_as_often_as_stated(df):
    rng = np.random.default_rng(0)
    effect = detectable_ratio(0.001, df, 0.9)
    t = (effect + rng.normal(size=20000)) / np.sqrt(
        rng.chisquare(df, 20000) / df)
    found = (t > stats.t.isf(0.0005, df)).mean()
    # Four standard errors of a share.
    assert found == pytest.approx(0.9, abs=4 * (0.09 / 20000) ** 0.5)
