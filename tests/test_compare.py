"""The comparison with the book: its numbers, its rules, and wrong ports."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import click
import numpy as onp
import pytest
from conftest import without_mxnets_log
from gluon_mlp import (
    __main__,
    kaggle_house_price,
    mlp,
    numerical_stability_and_init,
    underfit_overfit,
    weight_decay,
)
from gluon_mlp.compare import (
    agreement,
    command,
    control,
    figures,
    known,
    printings,
    quantities,
    recorded,
    reproduce,
    statistics,
    terminal,
)
from gluon_mlp.compare.power import MUTANTS, Port
from gluon_mlp.compare.quantities import Quantity
from gluon_mlp.compare.rows import Comparison, Control, Row, SourceText
from gluon_mlp.compare.statistics import Estimate
from gluon_mlp.d2l import training
from gluon_mlp.errors import ChapterError, DataError, NonFiniteLossError
from house_tables import use_real_tables

NAN = float('nan')
BOOKS = [printings.load(name) for name in printings.NAMES]
JANUARY = BOOKS[1]


def quantity(values, kind='converged', digits='curve', **kwargs):
    return Quantity(kwargs.pop('section', 'mlp_concise'),
                    kwargs.pop('what', 'train_loss'), kind, digits,
                    onp.array(values, dtype=float), **kwargs)


def row(values, runs, **kwargs):
    """The row of a quantity that one printing has."""
    return Row({'a': quantity(values, **kwargs)}, onp.array(runs, float))


def compare_section(section, runs, books=BOOKS):
    n = runs if quantities.is_trained(section) else 1
    return command.compare_section(
        section, (reproduce.reproduce(section, i) for i in range(n)), books)


def verdicts(compared):
    return {row.verdict for row in compared}


# The published numbers


def test_the_first_epochs_of_fashion_mnist_are_those_of_all():
    numbers = sum(q.count for q in JANUARY.quantities(num_epochs=5))
    assert numbers == 1307 - 12 * 5  # twelve curves


def test_quick_says_what_it_left_out():
    named = {q.what: {'a': q} for q in JANUARY.quantities('mlp_scratch', 5)}
    rows = [command.not_compared(n, ValueError()) for n in named.values()]
    text = command.left_out(Comparison(rows, [], []), 3)
    assert text.startswith(f'all but 3 of {command.RUNS} shuffles, the epochs'
                           ' after 5')
    assert 'shuffles' not in command.left_out(Comparison(rows, [], []),
                                              command.RUNS)
    assert command.left_out(Comparison([], [], []), 3) == 'nothing'


@pytest.mark.slow
def test_fewer_epochs_are_the_first_ones(real_data):
    """Of 4.2's three curves."""
    one, two = (reproduce.reproduce('mlp_scratch', num_epochs=n)
                for n in (1, 2))
    for name in training.Epoch._fields:
        assert one[name].shape == (1,) and two[name].shape == (2,)
        assert (one[name] == two[name][:1]).all()


def test_every_quantity_has_its_kind_digits_and_axis():
    for q in JANUARY.quantities():
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
    names = [(q.section, q.what) for q in JANUARY.quantities()]
    assert len(set(names)) == len(names)


def test_integers_have_no_tolerance():
    assert quantity([16, -3], digits='integer').tolerance.tolist() == [0, 0]


def test_a_printed_float32_may_be_off_by_its_last_bit():
    q = quantity([5.1432443, -0.0625, 1], digits='float32')
    # 24 bits: the last is worth 2**-23 of the power of two below. Half a
    # unit more, as the shortest decimal only names the float32.
    assert q.tolerance.tolist() == [1.5 * 2.0 ** -21, 1.5 * 2.0 ** -27,
                                    1.5 * 2.0 ** -23]
    book = onp.float32(5.1432443)
    for bits, within in ((1, True), (2, False)):
        ours = row([5.1432443], [[book + onp.float32(bits * 2.0 ** -21)]],
                   kind='exact', digits='float32')
        assert ours.within('a').tolist() == [within]


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


def test_the_prediction_interval_of_three_draws_by_hand():
    mean, half = statistics.prediction_interval(onp.array([1, 2, 3.0]), 0.05)
    # Student's t for 97.5 % and 2 degrees of freedom, from a table: 4.302653
    assert mean == 2
    assert half == pytest.approx(4.302653 * (1 + 1 / 3) ** 0.5, rel=1e-6)


def test_what_our_runs_may_have_is_their_range_and_the_known_digits():
    ours = row([0.5, 1.5, NAN, 3], [[0.4, 1.6, 1, 2], [0.6, 1.8, 1, NAN]],
               x=[1, 2, 3, 4])
    assert ours.within('a').tolist() == [True, False, False, False]
    assert ours.apart('a').tolist() == [False, True, False, True]
    for value, within in ((0.3999996, True), (0.3999994, False)):
        ours = row([value], [[0.4], [0.6]], digits='decimals6')
        assert ours.within('a').tolist() == [within]


def test_an_exact_row_is_allowed_its_digits_and_float32s_rounding():
    exact = {'kind': 'exact', 'digits': 'float32'}
    good = row([1.5, 2], [[1.5 + 2.0 ** -23, 2]], **exact)
    bad = row([1.5, 2], [[1.5, 2 + 2.0 ** -20]], **exact)
    assert (good.verdict, bad.verdict) == ('agrees', 'differs')
    assert replace(bad, rounding=1e-6).verdict == 'agrees'
    assert row([1.5, 2], [[1.5, NAN]], **exact).verdict == 'differs'


def test_an_exact_number_has_to_agree_with_each_printing():
    ours = row([1.5], [[1.5]], kind='exact', digits='float32')
    other = replace(ours.quantity, values=onp.array([1.6]))
    both = replace(ours, printings={**ours.printings, 'b': other})
    assert (ours.verdict, both.verdict) == ('agrees', 'differs')
    assert both.quantity is ours.quantity


def made_up_test(adjusted, yardstick=1.0, what='train_loss'):
    """A test whose difference, 0.2, is found if its error is 0.01."""
    return agreement.Test('mlp_concise', what, 'level', False, 1.2, 1.0,
                          Estimate(0.2, 0.01, 30), statistics.NOTHING, 0.0,
                          yardstick, adjusted)


AGREES, DIFFERS, WIDE = (made_up_test(0.5), made_up_test(0.001),
                         made_up_test(0.5, yardstick=0.01))


@pytest.mark.parametrize('tests, verdict, code', [
    ([AGREES], 'agrees', 0), ([AGREES, WIDE], 'too wide to tell', 3),
    ([DIFFERS, WIDE], 'differs', 1)])
def test_the_tests_of_a_row_decide(tests, verdict, code):
    """And not the range of our runs."""
    ours = replace(row([1, 2], [[3, 4], [3, 5]], x=[1, 2]), tests=tests,
                   spared=tests)
    result = Comparison([ours], [], [], {}, {'a': {}})
    assert (ours.verdict, result.verdict(), result.exit_code) == (
        verdict, verdict, code)
    assert result.verdict('mlp_concise') == verdict
    assert result.counts() == {'a': (2, 0)}
    assert result.counts('mlp') == {'a': (0, 0)}


def test_the_worst_number_is_the_furthest_by_our_spread():
    """What the book has not is not compared; no number is the worst."""
    runs = [[1.0, 10, 5], [1.1, 30, 5]]
    ours = row([1.3, 35, NAN], runs, x=[1, 2, 3])
    assert ours.worst == (0,)
    assert terminal.worst_text(ours) == 'at epoch 1: book 1.3; ours 1 to 1.1'
    assert row([1.3, 35, NAN], [[1, NAN, NAN]], x=[1, 2, 3]).worst == (1,)


def test_a_section_without_its_data_is_neither_right_nor_wrong(monkeypatch,
                                                               capsys):
    def nowhere():
        raise DataError('no files')
    monkeypatch.setattr(kaggle_house_price, 'load_data', nowhere)
    result = Comparison(compare_section('kaggle_house_price', 3), [], [], {},
                        {book.name: {} for book in BOOKS})
    assert verdicts(result.rows) == {'not compared'}
    assert set(result.counts().values()) == {(319, 0)}
    assert result.exit_code == 3
    terminal.print_section(result, 'kaggle_house_price')
    line, reason = capsys.readouterr().out.splitlines()
    assert 'not compared' in line and reason.strip() == 'no files'


def test_sigmoid_and_product_of_matrices_are_the_published_ones(real_data):
    """4.8; the product within the float32 rounding of 100 steps."""
    rows = compare_section('numerical_stability_and_init', 3)
    assert verdicts(rows) == {'agrees'}


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
    assert Comparison([], [good], [near]).exit_code == 0
    assert Comparison([], [good, bad], [near]).exit_code == 1
    assert Comparison([], [good], [near, far]).exit_code == 1


# What is known


def dipped():
    """The row of the test accuracy that has the known difference."""
    named = {book.name: q for book in BOOKS
             for q in book.quantities('dropout')
             if q.what == 'scratch/test_acc'}
    return Row(named, recorded.curves('dropout', 'scratch/test_acc'))


def test_every_known_difference_is_one_and_is_needed():
    """At most three, each a number of a printing that no run of ours has."""
    assert 1 <= len(known.entries()) <= 3
    for entry in known.entries():
        book = printings.load(entry.printing)
        q, = (q for q in book.quantities(entry.section)
              if q.what == entry.what)
        index = entry.index(entry.printing, q)
        assert q.values[index] == entry.value and len(entry.reason) > 20
        ours = recorded.curves(entry.section, entry.what)[:, index]
        assert not ours.min() <= entry.value <= ours.max()
    assert dipped().known == known.entries()


def test_a_known_difference_is_that_of_its_printing_and_epoch():
    entry, = known.entries()
    q = dipped().quantity
    assert entry.index('zh-2022-01-14', q) == 9
    assert entry.index('zh-2022-03-15', q) is None
    assert entry.index('zh-2022-01-14', replace(q, x=q.x[:5])) is None
    spared = known.left_out('zh-2022-01-14', q)
    assert onp.isnan(spared.values).tolist() == 9 * [False] + [True]
    assert not onp.isnan(q.values).any()


@pytest.mark.parametrize('spared, verdict, code', [
    (AGREES, 'differs as known', 0), (DIFFERS, 'differs', 1),
    (WIDE, 'too wide to tell', 3)])
def test_what_differs_as_known_only_is_no_failure(spared, verdict, code):
    """If the tests find nothing once the known numbers are left out."""
    ours = replace(dipped(), tests=[DIFFERS], spared=[spared])
    assert ours.verdict == verdict
    assert Comparison([ours], [], []).exit_code == code


def test_another_difference_is_not_excused_by_a_known_one():
    ours = replace(dipped(), tests=[DIFFERS], spared=[AGREES])
    others = {name: q for name, q in ours.printings.items()
              if name != 'zh-2022-01-14'}
    assert replace(ours, printings=others).verdict == 'differs'


# The port as it is


def test_the_activations_are_the_published_ones():
    compared = compare_section('mlp', 3)
    assert verdicts(compared) == {'agrees'}
    assert sum(int(row.within(JANUARY.name).sum()) for row in compared) == 229


@pytest.mark.slow
@pytest.mark.mxnet
def test_weight_decay_is_the_published_one():
    assert 'differs' not in verdicts(compare_section('weight_decay', 3))


# Wrong ports; the others are in test_power


def caught(section, runs, make):
    """Names of the rows of a wrong port that differ."""
    with Port() as port:
        make(port)
        return {row.quantity.what for row in compare_section(section, runs)
                if row.verdict == 'differs'}


@pytest.mark.slow
@pytest.mark.mxnet
@pytest.mark.parametrize('what, trained', [
    ('bias decayed, too', 'concise_wd_3'), ('wd doubled', 'concise_wd_3'),
    ('penalty without the factor 1/2', 'scratch_lambd_3')])
def test_wrong_weight_decay_is_caught(what, trained):
    """Where it is wrong, and nowhere else."""
    found = caught('weight_decay', 3, mutant('weight_decay', what))
    assert f'{trained}/l2_norm_of_w' in found
    assert {name.split('/')[0] for name in found} == {trained}


def mutant(section, what):
    return next(m.make for m in MUTANTS if m[:2] == (section, what))


@pytest.mark.parametrize('what, differ', [
    ('noise doubled', {'labels'}),
    ('powers not divided by gamma', {'poly_features', 'labels'})])
def test_wrong_polynomials_are_caught(what, differ):
    """By the exact rows, which need no training."""
    def train(f, X, *args):
        return (onp.zeros(X.shape[1]), [(1, 1, 1)] * (1 + args[-1] // 20))

    def make(port):
        port.wrap(underfit_overfit, 'train', train)
        mutant('underfit_overfit', what)(port)
    exact = {q.what for q in JANUARY.quantities('underfit_overfit')
             if q.kind == 'exact'}
    assert caught('underfit_overfit', 3, make) & exact == differ


# The control


@pytest.mark.slow
@pytest.mark.parametrize('section, trainings', [
    *(pytest.param(*case, marks=pytest.mark.mxnet) for case in [
        ('mlp_scratch', 1), ('mlp_concise', 1), ('underfit_overfit', 3),
        ('weight_decay', 4), ('kaggle_house_price', 6)]),
    ('dropout', 2)])  # on 2.0, compat has chosen other kernels than MXNet
def test_the_books_code_trains_the_same_weights(real_data, monkeypatch,
                                                tmp_path, section, trainings):
    """From the same seed, for an epoch of each training."""
    if section == 'kaggle_house_price':
        use_real_tables(monkeypatch, tmp_path)
    found = control.control(section, num_epochs=1)
    assert [c.agrees for c in found] == [True] * trainings, found


@pytest.mark.slow
def test_a_hyperparameter_that_is_not_the_books_differs(monkeypatch):
    """The book's code has constants of its own."""
    monkeypatch.setattr(weight_decay, 'lambd', 3.1)
    assert {c.what: c.agrees for c in control.control('weight_decay', 1)} == {
        'scratch_lambd_0': True, 'scratch_lambd_3': False,
        'concise_wd_0': True, 'concise_wd_3': False}


PROCESS = """
import sys
from gluon_mlp.compare import book
from mxnet import nd
from mxnet.optimizer import optimizer
print(*(name for name in sys.modules if name.startswith('gluon_mlp.')))
found = getattr(optimizer, 'multi_sgd_update', None)  # None on MXNet 2
print(found in (None, getattr(nd, 'multi_sgd_update', None)))
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


@pytest.mark.slow
def test_the_command_compares_a_section_and_reports(real_data, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'compare', '--section', 'mlp',
         '--output', tmp_path / 'new'],
        timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert without_mxnets_log(done.stderr) == ''
    lines = done.stdout.splitlines()
    assert lines[0] == 'printings: ' + ', '.join(printings.NAMES)
    assert [line.split() for line in lines[2:4]] == [
        [*first, 'agrees', *4 * ['229']] for first in (['4.1', 'mlp'],
                                                       ['all'])]
    assert max(map(len, lines[:-1])) <= 80
    assert (tmp_path / 'new' / 'index.html').read_text('utf-8')
    assert json.loads((tmp_path / 'new' / 'compare.json').read_text('utf-8'))


def at_once(function, *args):
    """Stands for a process of its own, which would see no patch."""
    return SimpleNamespace(result=lambda: function(*args))


def run_command(section, folder, *options):
    """Run `compare --section SECTION` in this process: its exit code."""
    return __main__.app(['compare', '--section', section, '--quick',
                         '--output', str(folder), *options],
                        standalone_mode=False)


@pytest.mark.parametrize('section, said', [
    ('nonsense', "no section 'nonsense'"),
    ('4.7', 'section 4.7 has no published numbers; choose one of mlp, ')])
def test_a_section_without_published_numbers_is_refused(tmp_path, section,
                                                        said):
    with pytest.raises(click.BadParameter, match=said):
        run_command(section, tmp_path / 'new')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('options, told', [
    (['--runs', '20000000'], "'20000000' is not an integer from 3 to 100"),
    (['--printing', 'en-2020'], 'en-2020: No such file or directory')])
def test_an_option_that_cannot_be_is_refused_at_once(tmp_path, options, told):
    with pytest.raises((click.BadParameter, DataError), match=told):
        __main__.app(['compare', '--output', str(tmp_path / 'new'), *options],
                     standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_a_printing_of_a_reader_is_compared(real_data, monkeypatch, capsys,
                                            tmp_path):
    """Of the sections that it has; one that it lacks is an error."""
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(at_once))
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    (tmp_path / 'own.json').write_text(json.dumps(
        {'numbers': {'mlp': {'relu': [0, 0, 7.8]}}}), 'utf-8')
    own = ['--printing', str(tmp_path / 'own.json')]
    assert run_command('4.1', tmp_path / 'new', *own) == 1
    out = capsys.readouterr().out
    assert 'at x 7.9: book 7.8; ours 7.9' in out
    assert '4.1 mlp differs 3 2' in ' '.join(out.split())
    with pytest.raises(DataError, match='own.json has no weight_decay'):
        run_command('4.5', tmp_path / 'new', *own)


def test_a_wrong_activation_ends_with_exit_code_1(real_data, monkeypatch,
                                                  capsys, tmp_path):
    tanh = mlp.tanh
    monkeypatch.setattr(mlp, 'tanh', lambda x: tanh(x) * 1.0001)
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(at_once))
    assert run_command('4.1', tmp_path / 'new') == 1
    assert [line.strip() for line in capsys.readouterr().out.splitlines()
            if line.endswith(': differs')] == ['tanh: differs',
                                               'grad of tanh: differs']


def book_with_noise(section, shuffle, num_epochs):
    rng = onp.random.default_rng(shuffle)
    return {q.what: onp.nan_to_num(q.values)
            + rng.normal(0, 0.003, q.values.shape)
            for q in JANUARY.quantities(section, num_epochs)}


def test_a_process_that_dies_is_told_and_replaced():
    """A task alone is lost, and the next one has a process again."""
    with command.processes() as start:
        dead = [start(os._exit, 3) for _ in range(3)]
        alive = [start(abs, -3) for _ in range(3)]
        for future in dead:
            with pytest.raises(ChapterError, match='its process died'):
                future.result()
        assert [future.result() for future in alive] == [3, 3, 3]


def wrong_shape(section, shuffle, num_epochs):
    run = book_with_noise(section, shuffle, num_epochs)
    return {**run, 'train_loss': run['train_loss'][:3]}


def not_a_number(section, shuffle, num_epochs):
    run = book_with_noise(section, shuffle, num_epochs)
    run['train_loss'][3] = NAN
    return run


def fails_with(error):
    def reproduce(*args):
        raise error
    return reproduce


@pytest.mark.parametrize('run, told', [
    (wrong_shape, 'train_loss: differs, ours has the shape (3,), not (5,)'),
    (not_a_number, 'train_loss: differs, ours is not a number'),
    (fails_with(NonFiniteLossError('the loss is nan\nin epoch 3')),
     'the loss is nan in epoch 3'),
    (fails_with(ValueError('operands could not be\nbroadcast')),
     'ValueError: operands could not be'),
    (fails_with(ChapterError('its process died')), 'its process died')])
def test_whatever_fails_is_a_row_that_differs(real_data, monkeypatch, capsys,
                                              tmp_path, run, told):
    """With the reason; the control is compared; the report is written."""
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(at_once))
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    monkeypatch.setattr(reproduce, 'reproduce', run)
    monkeypatch.setattr(control, 'our_trainings', lambda *args: [TRAINING])
    monkeypatch.setattr(control, 'book_trainings',
                        lambda *args: {'scratch': TRAINING})
    assert run_command('4.2', tmp_path / 'new') == 1
    out = capsys.readouterr().out
    assert told in [line.strip() for line in out.splitlines()]
    assert max(map(len, out.splitlines()[:-1])) <= 80
    parsed = json.loads((tmp_path / 'new/compare.json').read_text('utf-8'))
    assert parsed['exit_code'] == 1 and parsed['controls'][0]['agrees']
    assert (tmp_path / 'new' / 'index.html').exists()


def test_a_control_that_fails_is_a_line_and_exit_code_1(
        real_data, monkeypatch, capsys, tmp_path):
    """The rows are compared, and the report is written."""
    monkeypatch.setattr(command, 'processes', lambda: nullcontext(at_once))
    monkeypatch.setattr(figures, 'of_section', lambda rows: [])
    monkeypatch.setattr(reproduce, 'reproduce', book_with_noise)
    monkeypatch.setattr(control, 'our_trainings', lambda *args: [TRAINING])
    monkeypatch.setattr(control, 'book_trainings',
                        lambda *args: {'scratch': TRAINING[:1]})
    assert run_command('4.2', tmp_path / 'new') == 1
    out = capsys.readouterr().out
    assert '4.2  mlp_scratch                  differs ' in out
    assert ("control mlp_scratch scratch: the book's own code cannot be "
            'compared: arrays of shapes') in ' '.join(out.split())
    assert (tmp_path / 'new' / 'index.html').exists()
