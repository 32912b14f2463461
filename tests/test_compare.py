"""The comparison with the book: its numbers, its rules, and wrong ports."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import click
import numpy as onp
import pytest
from conftest import without_mxnets_log
from gluon_mlp import (
    __main__,
    dropout,
    kaggle_house_price,
    mlp,
    numerical_stability_and_init,
    underfit_overfit,
    weight_decay,
)
from gluon_mlp.compare import (
    command,
    control,
    figures,
    published,
    reproduce,
    rows,
    terminal,
)
from gluon_mlp.compare.published import Quantity
from gluon_mlp.compare.rows import Comparison, Control, Row, SourceText
from gluon_mlp.d2l import data, training
from gluon_mlp.errors import DataError, NonFiniteLossError
from gluon_mlp.sections import SECTIONS
from house_tables import find_real_tables
from mxnet import gluon, init
from numpy.testing import assert_array_equal

NAN = float('nan')
COUNTS = {s.slug: s.published for s in SECTIONS if s.published}


def quantity(values, kind='converged', digits='curve', **kwargs):
    return Quantity('section', kwargs.pop('what', 'what'), kind, digits,
                    onp.array(values, dtype=float), **kwargs)


def compare_section(section, runs, quick=False):
    n = command.number_of_runs(section, runs, quick)
    return command.compare_section(
        section, map(partial(reproduce.reproduce, section), range(n)))


# The published numbers


def test_all_the_numbers_of_the_chapter_are_there():
    assert published.sections() == list(COUNTS)
    assert {section: sum(q.count for q in published.quantities(section))
            for section in COUNTS} == COUNTS
    assert sum(q.count for q in published.quantities()) == 1307


def test_the_first_epochs_of_fashion_mnist_are_those_of_all():
    for q, whole in zip(published.quantities(num_epochs=5),
                        published.quantities()):
        n = 5 if whole.kind == 'statistical' else None
        assert_array_equal(q.values, whole.values[:n] if n else whole.values)
        assert q.x == (whole.x[:n] if whole.x else None)
    numbers = sum(q.count for q in published.quantities(num_epochs=5))
    assert numbers == 1307 - 12 * 5  # twelve curves


def test_quick_says_what_it_left_out():
    rows = [command.not_compared(q)
            for q in published.quantities('mlp_scratch', 5)]
    text = command.left_out(Comparison(rows, [], []), 3)
    assert 'all but 3 of 8 shuffles, 15 numbers (the epochs after 5' in text
    assert 'shuffles' not in command.left_out(Comparison(rows, [], []), 8)
    assert command.left_out(Comparison([], [], []), 3) == 'nothing'


@pytest.mark.parametrize('runs, told', [
    ([3, 3, 1], '3 shuffles'), ([8, 3, 1, 0], '3 or 8 shuffles'),
    ([1], '3 shuffles')])
def test_the_shuffles_that_were_taken_are_told(runs, told):
    """Some sections take more than were asked for."""
    rows = [replace(command.not_compared(q), runs=n)
            for q, n in zip(published.quantities('mlp'), runs)]
    assert command.about(Comparison(rows, [], []), 3, False)['runs'] == told


@pytest.mark.slow
def test_fewer_epochs_are_the_first_ones(real_data):
    """Of 4.2's three curves."""
    one, two = (reproduce.reproduce('mlp_scratch', num_epochs=n)
                for n in (1, 2))
    for name in training.Epoch._fields:
        assert one[name].shape == (1,) and two[name].shape == (2,)
        assert_array_equal(one[name], two[name][:1])


def test_every_quantity_has_its_kind_digits_and_axis():
    for q in published.quantities():
        assert q.kind in {'exact', 'converged', 'statistical'}
        assert q.digits in {'float32', 'decimals6', 'curve', 'integer'}
        assert q.axis in {'linear', 'log'}
        trained = q.section in {'mlp_scratch', 'mlp_concise', 'dropout'}
        assert (q.kind == 'statistical') == (trained and q.x is not None)
        # Only a curve has an x, and only it may leave its figure.
        assert (q.digits == 'curve') == (q.x is not None)
        if q.x is None:
            assert q.count == q.values.size
        else:
            assert q.values.shape == (len(q.x),)
            assert q.x == sorted(set(q.x))
    names = [(q.section, q.what) for q in published.quantities()]
    assert len(set(names)) == len(names)


def test_it_is_told_where_the_numbers_come_from():
    about = published.about()
    assert about['executed'] == '2022-01-14' and about['mxnet']
    assert {q.digits for q in published.quantities()} == set(about['digits'])
    assert {q.kind for q in published.quantities()} == set(about['kind'])


def test_integers_have_no_tolerance():
    assert quantity([16, -3], digits='integer').tolerance.tolist() == [0, 0]


def test_a_printed_float32_may_be_off_by_its_last_bit():
    q = quantity([5.1432443, -0.0625, 1], digits='float32')
    # 24 bits: the last is worth 2**-23 of the power of two below. Half a
    # unit more, as the shortest decimal only names the float32.
    assert q.tolerance.tolist() == [1.5 * 2.0 ** -21, 1.5 * 2.0 ** -27,
                                    1.5 * 2.0 ** -23]
    book = onp.float32(5.1432443)
    for bits, reproduced in ((1, True), (2, False)):
        row = rows.compare_exact(quantity([5.1432443], digits='float32'),
                                 [book + onp.float32(bits * 2.0 ** -21)])
        assert row.reproduced.tolist() == [reproduced]


def test_six_decimals_are_rounded_by_half_of_the_last():
    q = quantity([0.165234, 12], digits='decimals6')
    assert q.tolerance.tolist() == [0.5e-6, 0.5e-6]


def test_a_curve_has_six_digits_and_its_svgs_resolution():
    # Figures are 2.5 inches high, and matplotlib's axes take 0.11 to 0.88
    # of it; three coordinates of 6 decimals make a value.
    coordinates = 3 * 0.5e-6 / (2.5 * 72 * (0.88 - 0.11))
    q = quantity([0, 0.5, -1.5, 42, NAN], x=range(5))
    axis = 1.05 * 42 + 0.05 * 42 + 1.5 + 0.1 * 1.5  # 5 % margins, -1.5 to 42
    onp.testing.assert_allclose(
        q.tolerance[:4], onp.array([0, 0.5e-6, 0.5e-5, 0.5e-4])
        + coordinates * axis, rtol=1e-6)


def test_on_a_log_axis_the_svgs_resolution_is_relative():
    q = quantity([0.1, 10, NAN], x=range(3), axis='log')
    # Two decades and their margins on 138.6 points: a shift by three
    # halves of 1e-6 points multiplies the value.
    factor = 10 ** (1.1 * 2 * 1.5e-6 / 138.6) - 1
    onp.testing.assert_allclose(
        q.tolerance, [0.5e-6 + 0.1 * factor, 0.5e-4 + 10 * factor, NAN],
        rtol=1e-6)


# The rules


def test_the_prediction_interval_of_three_runs_by_hand():
    mean, std, half = rows.prediction_interval(onp.array([1, 2, 3.0]), 0.05)
    # Student's t for 97.5 % and 2 degrees of freedom, from a table: 4.302653
    assert (mean, std) == (2, 1)
    assert half == pytest.approx(4.302653 * (1 + 1 / 3) ** 0.5, rel=1e-6)


@pytest.mark.parametrize('runs', [3, 8])
@pytest.mark.parametrize('alpha', [0.01, 0.1])
def test_one_more_run_leaves_the_interval_as_often_as_stated(runs, alpha):
    draws = onp.random.default_rng(0).normal(5, 2, (runs + 1, 100000))
    mean, _, half = rows.prediction_interval(draws[1:], alpha)
    outside = (abs(draws[0] - mean) > half).mean()
    # Five standard errors of a share.
    assert outside == pytest.approx(
        alpha, abs=5 * (alpha * (1 - alpha) / 100000) ** 0.5)


def test_on_a_curve_a_chance_of_close_runs_does_not_count():
    """The spread is at least the median of the five points around."""
    spreads = onp.array([9, 3, 2, 1e-6, 2, 4, 2])
    runs = 7 + onp.array([-1, 0, 1])[:, None] * spreads
    _, std, alone = rows.prediction_interval(runs, 0.05)
    _, same_std, half = rows.prediction_interval(runs, 0.05, curve=True)
    onp.testing.assert_allclose(std, spreads)
    onp.testing.assert_array_equal(same_std, std)
    expected = [9, 3, 2, 2, 2, 4, 2]  # only the fourth has changed
    onp.testing.assert_allclose(half / alone * spreads, expected)


def test_on_a_log_axis_the_logarithms_are_normal():
    draws = onp.random.default_rng(0).normal(0, 0.5, (9, 100000))
    draws = onp.exp(draws)
    mean, _, half = rows.prediction_interval(draws[1:], 0.1, log=True)
    # The longer side is the upper, with half of the share beyond it.
    assert (draws[0] > mean + half).mean() == pytest.approx(
        0.05, abs=5 * (0.05 * 0.95 / 100000) ** 0.5)
    assert (draws[0] < mean - half).mean() <= 0.05


def test_the_interval_and_the_digits_make_what_is_allowed():
    q = quantity([0.5, 1.5], x=[1, 2])
    runs = onp.array([[0.4, 1], [0.5, 2], [0.6, 3]])
    row = rows.compare_runs(q, runs, numbers=29)
    _, _, half = rows.prediction_interval(runs, 0.01 / 29)
    assert row.allowed.tolist() == (half + q.tolerance).tolist()
    assert row.ours == pytest.approx([0.5, 2])
    assert row.std == pytest.approx([0.1, 1])
    assert (row.runs, row.shift) == (3, 0)


def test_an_exact_row_is_allowed_its_digits_only():
    q = quantity([1.5, 2], 'exact', 'float32')
    row = rows.compare_exact(q, [1.5 + 2.0 ** -23, 2 + 2.0 ** -20])
    assert row.reproduced.tolist() == [True, False]
    assert row.allowed.tolist() == q.tolerance.tolist()
    assert row.verdict == 'differs'


@pytest.mark.parametrize('kind, what, edition, shift', [
    ('statistical', 'scratch/test_acc', '2017-08-31', 0.02),
    ('statistical', 'train_loss', '2017-08-31', 0.004),
    ('statistical', 'test_acc', '2017-08-26', 0),
    ('converged', 'test_loss', '2017-08-31', 0)])
def test_the_editions_shift_stands_beside_the_interval(kind, what, edition,
                                                       shift):
    q = quantity([0.5], kind, what=what, x=[1])
    runs = onp.array([[0.5], [0.501], [0.499]])
    row = rows.compare_runs(q, runs, 29, edition)
    assert row.shift == shift
    assert row.allowed == rows.compare_runs(q, runs, 29).allowed


@pytest.mark.parametrize('ours, shift, verdict, numbers', [
    ([1.1, 1.9, 0], 0, 'reproduced', (2, 2, 0)),
    ([1.2, 1.9, 0], 0.1, 'given the edition', (2, 2, 1)),
    ([1.2, 1.9, 0], 0, 'differs', (2, 1, 0)),
    ([1.3, 1.7, 0], 0.1, 'differs', (2, 0, 0)),
    ([NAN, 2, 0], 9, 'differs', (2, 1, 0)),
    ([2, 2, 0], 0.9, 'given the edition', (2, 2, 1))])
def test_verdicts_and_counts(ours, shift, verdict, numbers):
    """The book's third number is unknown, so ours does not matter."""
    row = Row(quantity([1, 2, NAN]), onp.array(ours), onp.zeros(3), 3,
              onp.full(3, 0.125), shift)
    assert row.verdict == verdict
    result = Comparison([row], [], [])
    assert result.counts() == result.counts('section') == numbers
    assert result.counts('another') == (0, 0, 0)
    assert result.agrees == (verdict != 'differs')


def test_a_section_without_its_data_is_neither_reproduced_nor_wrong(
        monkeypatch, capsys):
    def nowhere():
        raise DataError('no files')
    monkeypatch.setattr(kaggle_house_price, 'load_data', nowhere)
    result = Comparison(compare_section('kaggle_house_price', 3), [],
                        [])
    assert {row.verdict for row in result.rows} == {'not compared'}
    assert result.counts() == (319, 0, 0)
    assert terminal.count_text(result) == (
        '0 of 319 reproduced, 319 not compared')
    assert result.agrees and result.not_compared == ['kaggle_house_price']
    assert 'kaggle_house_price is not compared: no files' in (
        capsys.readouterr().err)


def test_sigmoid_and_product_of_matrices_are_the_published_ones(real_data):
    """4.8; the product within the float32 rounding of 100 steps."""
    rows = compare_section('numerical_stability_and_init', 3)
    assert {row.verdict for row in rows} == {'reproduced'}


@pytest.mark.parametrize('num', [99, 101])
def test_another_number_of_matrices_is_caught(real_data, monkeypatch, num):
    product = numerical_stability_and_init.product_of_matrices
    monkeypatch.setattr(numerical_stability_and_init, 'product_of_matrices',
                        lambda: product(num))
    rows = compare_section('numerical_stability_and_init', 3)
    assert [row.quantity.what for row in rows if row.verdict == 'differs'
            ] == ['product_with_100_matrices']


def test_a_control_or_a_source_text_that_differs_fails():
    good = Control('section', 'what', 1, 1e-6, 1e-6, 1e-5)
    bad = Control('section', 'what', 1, 1e-6, 1e-4, 1e-5)
    draws = onp.array([1, 2, 3.0])
    # Student's t for 99.5 % and 2 degrees of freedom: 9.925
    half = 9.925 * (4 / 3) ** 0.5
    near, far = (SourceText('what', 2 + half * factor, draws)
                 for factor in (0.999, 1.001))
    assert (near.below, SourceText('what', 2.5, draws).below) == (3, 2)
    assert Comparison([], [good], [near]).agrees
    assert not Comparison([], [good, bad], [near]).agrees
    assert not Comparison([], [good], [near, far]).agrees


# The port as it is


def test_the_activations_are_the_published_ones():
    compared = compare_section('mlp', 3)
    assert {row.verdict for row in compared} == {'reproduced'}
    assert sum(int(row.reproduced.sum()) for row in compared) == 229


@pytest.mark.slow
def test_weight_decay_is_the_published_one():
    compared = compare_section('weight_decay', 3, quick=True)
    assert {row.verdict for row in compared} == {'reproduced'}


# Wrong ports: each must make `compare` fail


def wrong(compared):
    """Names of the rows that differ, those left out (NaN) not counted."""
    return {row.quantity.what for row in compared
            if (row.known & ~onp.isnan(row.ours)
                & ~row.reproduced & ~row.by_edition).any()}


def wrap(monkeypatch, owner, name, wrapper):
    """Put `wrapper(original, *args)` in the place of `owner.name`."""
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: wrapper(
        original, *args, **kwargs))


def all_decayed(monkeypatch):
    class Trainer(gluon.Trainer):
        def step(self, batch_size):
            for param in self._params:
                param.wd_mult = 1
            super().step(batch_size)

    monkeypatch.setattr(weight_decay, 'gluon', SimpleNamespace(
        Trainer=Trainer, loss=gluon.loss))


def wd_doubled(monkeypatch):
    class Trainer(gluon.Trainer):
        def __init__(self, params, optimizer, options):
            super().__init__(params, optimizer,
                             {**options, 'wd': 2 * options['wd']})

    monkeypatch.setattr(weight_decay, 'gluon', SimpleNamespace(
        Trainer=Trainer, loss=gluon.loss))


def penalty_doubled(monkeypatch):
    wrap(monkeypatch, weight_decay, 'l2_penalty', lambda f, w: 2 * f(w))


@pytest.mark.slow
@pytest.mark.parametrize('mutate, trained', [
    (all_decayed, 'concise_wd_3'), (wd_doubled, 'concise_wd_3'),
    (penalty_doubled, 'scratch_lambd_3')])
def test_wrong_weight_decay_is_caught(monkeypatch, mutate, trained):
    """The half of 4.5 that the mutant leaves alone only draws."""
    nothing = NAN, [(NAN, NAN, NAN)] * 20
    if 'concise' in trained:
        wrap(monkeypatch, weight_decay, 'train', lambda f, *args, **kwargs: (
            weight_decay.init_params(weight_decay.num_inputs) and nothing))
    else:
        wrap(monkeypatch, weight_decay, 'train_concise',
             lambda f, *args, **kwargs: nothing)
    mutate(monkeypatch)
    compared = compare_section('weight_decay', 3, quick=True)
    assert wrong(compared) == {f'{trained}/{name}' for name in (
        'l2_norm_of_w', 'train_loss', 'test_loss')}


def noise_doubled(monkeypatch):
    def normal(f, *args, **kwargs):
        scale = kwargs.pop('scale', 1)
        return f(*args, scale=2 * scale if scale == 0.1 else scale, **kwargs)

    wrap(monkeypatch, underfit_overfit.np.random, 'normal', normal)


def gamma_left_out(monkeypatch):
    monkeypatch.setattr(underfit_overfit.math, 'gamma', lambda n: 1)


@pytest.mark.parametrize('mutate, differ', [
    (lambda monkeypatch: None, set()), (noise_doubled, {'labels'}),
    (gamma_left_out, {'poly_features', 'labels'})])
def test_wrong_polynomials_are_caught(monkeypatch, mutate, differ):
    """By the exact rows, which need no training."""
    def train(X, test_features, train_labels, test_labels, num_epochs):
        return (onp.full(X.shape[1], NAN),
                [(NAN, NAN, NAN)] * (1 + num_epochs // 20))

    monkeypatch.setattr(underfit_overfit, 'train', train)
    mutate(monkeypatch)
    assert wrong(compare_section('underfit_overfit', 3)) == differ


def first_epoch(monkeypatch):
    """Train Fashion-MNIST for one epoch; the others are NaN.

    It is the first epoch of the full run, and what it may differ by is, too:
    a number that differs here makes the full run fail.
    """
    def train_ch3(f, net, train_iter, test_iter, loss, num_epochs, updater,
                  quiet):
        return (f(net, train_iter, test_iter, loss, 1, updater, quiet)
                + [training.Epoch(NAN, NAN, NAN)] * (num_epochs - 1))

    wrap(monkeypatch, training, 'train_ch3', train_ch3)


def sigma_doubled(monkeypatch):
    monkeypatch.setattr(reproduce, 'init', SimpleNamespace(
        Normal=lambda sigma: init.Normal(2 * sigma)))


def not_averaged(monkeypatch):
    wrap(monkeypatch, gluon.Trainer, 'step', lambda f, self, n: f(self, 1))
    wrap(monkeypatch, training.Updater, '__call__',
         lambda f, self, n: f(self, 1))


def not_shuffled(monkeypatch):
    wrap(monkeypatch, data.ArrayIter, '__init__',
         lambda f, self, arrays, batch_size, shuffle: f(
             self, arrays, batch_size, False))


def data_swapped(monkeypatch):
    wrap(monkeypatch, data, 'load_data_fashion_mnist',
         lambda f, batch_size: f(batch_size)[::-1])


@pytest.mark.slow
@pytest.mark.parametrize('section, mutate, runs', [
    # Eight runs are the default of `compare`.
    ('mlp_concise', sigma_doubled, 8),
    ('mlp_concise', not_shuffled, 3),
    ('mlp_concise', not_averaged, 3),
    ('mlp_concise', data_swapped, 3),
    ('mlp_scratch', not_averaged, 3),
    ('mlp_scratch', data_swapped, 3)])
def test_wrong_training_is_caught(real_data, monkeypatch, section, mutate,
                                  runs):
    """In the first epoch already; its training loss is not known."""
    first_epoch(monkeypatch)
    mutate(monkeypatch)
    compared = compare_section(section, runs, quick=True)
    assert 'train_acc' in wrong(compared)


@pytest.mark.slow
def test_the_first_epoch_is_the_published_one(real_data, monkeypatch):
    """So the wrong training is not caught by what it shares with ours."""
    first_epoch(monkeypatch)
    assert wrong(compare_section('mlp_concise', 8)) == set()


# The control


@pytest.mark.slow
@pytest.mark.parametrize('section, trainings', [
    ('mlp_scratch', 1), ('mlp_concise', 1), ('underfit_overfit', 3),
    ('weight_decay', 4), ('dropout', 2), ('kaggle_house_price', 6)])
def test_the_books_code_trains_the_same_weights(real_data, section,
                                                trainings):
    """From the same seed, for an epoch of each training."""
    if section == 'kaggle_house_price' and find_real_tables() is None:
        pytest.skip('the house price tables are not at hand')
    found = control.control(section, num_epochs=1)
    assert [c.agrees for c in found] == [True] * trainings, found


def test_a_hyperparameter_that_is_not_the_books_differs(monkeypatch):
    """The book's code has constants of its own."""
    monkeypatch.setattr(weight_decay, 'lambd', 3.1)
    assert {c.what: c.agrees for c in control.control('weight_decay', 1)} == {
        'scratch_lambd_0': True, 'scratch_lambd_3': False,
        'concise_wd_0': True, 'concise_wd_3': False}


@pytest.mark.slow
def test_swapped_dropout_probabilities_are_caught(real_data, monkeypatch):
    """By the book's own code, within one epoch."""
    wrap(monkeypatch, dropout, 'net',
         lambda f, X, params: f(X, params, dropout.dropout2,
                                dropout.dropout1))
    wrap(monkeypatch, dropout, 'get_net',
         lambda f: f(dropout.dropout2, dropout.dropout1))
    assert [c.agrees for c in control.control('dropout', 1)] == [False, False]


PROCESS = """
import sys
from gluon_mlp.compare import book
from mxnet import nd
from mxnet.optimizer import optimizer
print(*(name for name in sys.modules if name.startswith('gluon_mlp.')))
print(getattr(optimizer, 'multi_sgd_update', None)
      is getattr(nd, 'multi_sgd_update', None))
"""


def test_the_books_code_runs_on_mxnet_as_it_is():
    """Of ours it imports what makes MXNet run and finds the data."""
    ran = subprocess.run([sys.executable, '-c', PROCESS], text=True,
                         capture_output=True, check=False,
                         env=control._environment())
    ours, unpatched = ran.stdout.splitlines()
    assert {name[len('gluon_mlp.'):] for name in ours.split()} == {
        'compare', 'compare.book', 'errors', 'files', 'machine',
        'machine.compat'}
    assert unpatched == 'True'


def test_the_books_code_has_mxnets_settings_and_our_threads(monkeypatch):
    """The threads decide in which order a product is summed."""
    monkeypatch.setenv('GLUON_MLP_CHOSEN', 'OMP_NUM_THREADS GOMP_SPINCOUNT')
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    monkeypatch.setenv('GOMP_SPINCOUNT', '7')
    env = control._environment()
    assert env['GLUON_MLP_UNTUNED'] and env['OMP_NUM_THREADS'] == '3'
    assert 'GOMP_SPINCOUNT' not in env


TRAINING = [onp.array([[1, 0.5], [2, 0.25]]), onp.array([3.0, -4.0])]


@pytest.mark.parametrize('ours, agrees, said', [
    (TRAINING, True, 'after 2 epochs: histories differ by 0, weights by 0'),
    ([TRAINING[0], onp.array([3.0, -3.999])], False, 'weights by 0.00025'),
    ([TRAINING[0] * 1.001, TRAINING[1]], False, 'histories differ by 0.001'),
    ([TRAINING[0] * [1, NAN], TRAINING[1]], False, 'histories differ by nan'),
    ([TRAINING[0], TRAINING[1] * NAN], False, 'weights by nan'),
    (TRAINING[:1], False, 'arrays of shapes [(2, 2)], and the book has '
                          '[(2, 2), (2,)]'),
    ([TRAINING[0], onp.ones(3)], False, '[(2, 2), (3,)], and the book has')])
def test_a_control_says_what_differs(monkeypatch, ours, agrees, said):
    """A share of the largest weight; no number is no agreement."""
    monkeypatch.setattr(control, 'our_trainings', lambda *args: [ours])
    monkeypatch.setattr(control, 'book_trainings',
                        lambda *args: {'scratch': TRAINING})
    found, = control.control('mlp_scratch')
    assert found.agrees == agrees and said in terminal.control_text(found)


def test_a_training_too_many_is_told(monkeypatch):
    monkeypatch.setattr(control, 'our_trainings',
                        lambda *args: [TRAINING, TRAINING])
    monkeypatch.setattr(control, 'book_trainings',
                        lambda *args: {'scratch': TRAINING})
    found, = control.control('mlp_scratch')
    assert found.reason == '2 trainings, and the book has 1'


@pytest.mark.parametrize('error, reason', [
    (NonFiniteLossError('the loss is nan'), 'the loss is nan'),
    (ValueError('shapes\nof arrays'), 'ValueError: shapes')])
def test_a_training_of_ours_that_fails_is_told(monkeypatch, error, reason):
    """The other sections are compared."""
    def reproduce(*args, **kwargs):
        raise error
    monkeypatch.setattr(control, 'reproduce', reproduce)
    found, = control.control('mlp_scratch')
    assert not found.agrees and found.reason == reason


@pytest.mark.parametrize('script, said', [
    ('exit 3', '3'), ('echo "KeyError: 4" >&2; exit 1', '1: KeyError: 4'),
    ('kill -9 $$', '-9'), ('echo garbage', None)])
def test_a_process_of_the_books_code_that_fails_is_told(monkeypatch, tmp_path,
                                                        script, said):
    (tmp_path / 'python').write_text(f'#!/bin/sh\n{script}\n')
    (tmp_path / 'python').chmod(0o755)
    monkeypatch.setattr(control.sys, 'executable', tmp_path / 'python')
    monkeypatch.setattr(control, 'our_trainings', lambda *args: [])
    found, = control.control('mlp_scratch')
    text = terminal.control_text(found)
    assert not found.agrees and text.startswith(
        "control mlp_scratch: the book's own code cannot be compared: "
        + (f'its process ended with exit code {said}' if said else ''))
    assert not said or text.endswith(said)


# The command


def test_the_command_compares_a_section_and_reports(real_data, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'compare', '--section', 'mlp',
         '--report', tmp_path / 'new'],
        timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert without_mxnets_log(done.stderr) == ''
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ['section', 'what', 'book', 'ours', 'difference', 'allowed',
            'kind', 'verdict'] in lines
    assert [line[-3:] for line in lines if line[:1] == ['mlp']] == [
        ['exact', 'reproduced', f'{q.count}/{q.count}']
        for q in published.quantities('mlp')]
    assert 'mlp: 229 of 229 reproduced'.split() in lines
    assert 'total: 229 of 229 reproduced'.split() in lines
    assert (tmp_path / 'new' / 'index.html').read_text('utf-8')
    assert json.loads((tmp_path / 'new' / 'compare.json').read_text('utf-8'))


def run_command(section, folder):
    """Run `compare --section SECTION` in this process: its exit code."""
    return __main__.app(['compare', '--section', section, '--quick',
                         '--report', str(folder)], standalone_mode=False)


@pytest.mark.parametrize('section, said', [
    ('nonsense', "no section 'nonsense'"),
    ('4.7', 'section 4.7 has no published numbers; choose one of mlp, ')])
def test_a_section_without_published_numbers_is_refused(tmp_path, section,
                                                        said):
    with pytest.raises(click.BadParameter, match=said):
        run_command(section, tmp_path / 'new')
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_activation_ends_with_exit_code_1(real_data, monkeypatch,
                                                  capsys, tmp_path):
    wrap(monkeypatch, mlp, 'tanh', lambda f, x: f(x) * 1.0001)
    # Processes of their own would not see it.
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(map))
    assert run_command('4.1', tmp_path / 'new') == 1
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()
            if 'differs' in line] == ['tanh', 'grad']  # the second: of tanh


def test_a_control_that_fails_is_a_line_and_exit_code_1(
        real_data, monkeypatch, capsys, tmp_path):
    """The rows are compared, and the report is written."""
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(map))
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    monkeypatch.setattr(reproduce, 'reproduce', lambda *args, num_epochs: {
        q.what: onp.nan_to_num(q.values)
        for q in published.quantities('mlp_scratch', num_epochs)})
    monkeypatch.setattr(control, 'our_trainings', lambda *args: [TRAINING])
    monkeypatch.setattr(control, 'book_trainings',
                        lambda *args: {'scratch': TRAINING[:1]})
    assert run_command('4.2', tmp_path / 'new') == 1
    out = capsys.readouterr().out
    assert 'mlp_scratch: 14 of 14 reproduced' in out
    assert ("control mlp_scratch scratch: the book's own code cannot be "
            'compared: arrays of shapes') in out
    assert (tmp_path / 'new' / 'index.html').exists()
