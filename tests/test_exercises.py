"""The 49 exercises: each has an answer, and each runs, small."""
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as onp
import pytest
from conftest import without_mxnets_log
from gluon_mlp import experiment
from gluon_mlp import kaggle_house_price as house
from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.d2l.data import load_array
from gluon_mlp.d2l.training import seed
from gluon_mlp.environment import covariate_data
from gluon_mlp.exercises import (
    dropout,
    environment,
    exercises,
    mlp_scratch,
    numerical_stability_and_init,
    stored,
    underfit_overfit,
    weight_decay,
)
from gluon_mlp.exercises.common import paired
from gluon_mlp.underfit_overfit import least_squares, mean_loss
from house_tables import find_real_tables, sha1, write_tables
from matplotlib import pyplot as plt
from mxnet import np
from scipy import stats
from scripts import command_here

NUMBERS = {
    '4.1': '1 2 3 4', '4.2': '1 2 3 4 5 6', '4.3': '1 2 3',
    '4.4': '1 2a 2b 2c 3 4', '4.5': '1 2 3 4 5 6', '4.6': '1 2 3 4 5 6 7',
    '4.7': '1 2a 2b 3 4 5a 5b', '4.8': '1 2 3 4', '4.9': '1 2 3 4',
    '4.10': '1 2 3 4 5 6'}
KNOWN = exercises()
# The figures of an exercise, where they are not one of its own number.
FIGURES = {'4.4.2b': ['exercise_4_4_2b', 'exercise_4_4_2b_10'],
           '4.6.1': ['exercise_4_6_1', 'exercise_4_6_1_all_images'],
           **dict.fromkeys(['4.5.4', '4.6.4', '4.7.1', '4.7.2b', '4.7.5a',
                            '4.7.5b', '4.8.1', '4.8.2', '4.9.2', '4.9.4',
                            '4.10.1'], [])}
# A number, with its sign and percent, and what keeps it from the results.
NUMBER = re.compile(r'(?<![\w.])([+-]?)(\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?)'
                    r'( ?%| percent)?')
SETTING = re.compile(r'`[^`]*`|\b(?:section|exercise)\s+\d[\d.]*\w?')
# How the exercises print a number.
FORMATS = ('.4g', '.2g', '.3g', '.3f', '.4f', '.1e', '.2e', '')


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Made-up images of ten kinds, figures in `tmp_path`, and a seed."""
    rng = onp.random.default_rng(0)
    kinds = rng.random((10, 1, 28, 28))
    labels = rng.integers(0, 10, 900).astype('int32')
    images = (kinds[labels] + rng.random((900, 1, 28, 28))) * 127
    images = images.astype('uint8')
    made = fashion_mnist.FashionMNIST(images[:600], labels[:600],
                                      images[600:], labels[600:], 'made up')
    monkeypatch.setattr(fashion_mnist, 'load', lambda: made)
    seed(0)
    with experiment.use(figures=tmp_path):
        yield


@pytest.fixture
def houses(monkeypatch, tmp_path):
    """The real tables of 4.10, or else made ones of the same columns."""
    real = find_real_tables()
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    if real:
        shutil.copytree(real, house.cache_folder())
    else:
        write_tables(house.cache_folder(), 200)
        monkeypatch.setattr(house, 'FILES', {
            name: sha1(house.cache_folder() / name) for name in house.FILES})


def run(number):
    return KNOWN[number].run(quick=True)


def test_every_exercise_has_a_title_and_an_answer():
    wanted = [f'{section}.{number}' for section, numbers in NUMBERS.items()
              for number in numbers.split()]
    assert sorted(KNOWN) == sorted(wanted)
    assert [e.number for e in KNOWN.values()
            if not e.title or len(e.answer) < 80] == []


def numbers_in(results):
    """All numbers that an exercise returned, however nested."""
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, (str, bool, onp.bool_)):
        return []
    if isinstance(results, (int, float, onp.number)):
        return [results]
    return [x for part in results for x in numbers_in(part)]


def untold(text, results):
    """The numbers in an answer that round no number of its results.

    Those without a sign may round its opposite. Numbers of one or two digits
    are not looked at.
    """
    values = numbers_in(results)
    return [''.join(found) for found in NUMBER.findall(SETTING.sub('', text))
            if re.search(r'[.e]|\d.?\d\d', found[1])
            and not any(is_rounded(x, *found) for x in values)]


def is_rounded(x, sign, digits, percent):
    mantissa, _, exponent = digits.replace(',', '').partition('e')
    form = f'.{len(mantissa.partition(".")[2])}{"e" if exponent else "f"}'
    told = float(f'{sign}{mantissa}e{exponent or 0}')
    x = x * 100 if percent else x
    return told in [float(format(y, form)) for y in (
        [x] if sign else [x, -x])]


@pytest.mark.parametrize('text, wrong', [
    ('0.853, 0.85 and 85.3 % round it', []), ('0.854', ['0.854']),
    ('-1.7e-5', []), ('+1.7e-5', ['+1.7e-5']), ('1.7e-05', []),
    ('1.8e-5', ['1.8e-5']), ('65,792 weights', []), ('65,793', ['65,793']),
    ('lr `0.9`, section 4.7, exercise 4.6.1, 3 of 12', []),
    ('0.8533.', ['0.8533']), ('+0.85 of 100', ['100']),
    ('0.1 percent more', []), ('0.2 percent', ['0.2 percent'])])
def test_a_number_that_no_result_has_is_told(text, wrong):
    results = {'rows': [['0.854', 0.85321], [65792, -1.74e-5]], 'd': 0.00123}
    assert untold(text, results) == wrong


def test_every_number_of_an_answer_is_of_its_stored_results():
    """All exercises were measured in full, from seed 0, on one machine."""
    entries = stored.read()
    assert set(entries) == set(KNOWN)
    assert {entry['seed'] for entry in entries.values()} <= {0}
    for number, entry in entries.items():
        answer = KNOWN[number].answer
        assert '\n\nMeasured: ' in answer, number
        assert untold(answer, entry['results']) == [], number


def test_only_what_ran_is_stored_anew(small, monkeypatch, tmp_path, capsys):
    """With 6 digits; the rest of the file stays. A quick run is refused."""
    monkeypatch.setattr(stored, 'FILE', tmp_path / 'results.json')
    old = {'4.5.4': {'results': 1}, '4.10.1': {'results': {'a': [0.5]}}}
    stored.FILE.write_text(json.dumps(old))
    command = 'exercise', '4.5.4', '--output', tmp_path
    assert command_here(*command, '--store', '--quick') == 2
    assert stored.read() == old
    assert command_here(*command, '--store') == 0
    entry = stored.read()['4.5.4']
    seed(0)
    results = KNOWN['4.5.4'].run()
    assert entry['seed'] == 0 and entry['threads'] >= 1
    assert entry['results'] == pytest.approx(results, rel=1e-5)
    assert entry['results'] != results
    assert stored.read() == {**old, '4.5.4': entry}
    assert list(stored.read()) == ['4.5.4', '4.10.1']
    capsys.readouterr()
    assert command_here(*command) == 0
    assert f'with seed 0, {entry["threads"]} t' in capsys.readouterr().out


@pytest.mark.parametrize('number', KNOWN)
def test_every_exercise_prints_its_numbers_and_saves_its_figures(
        number, small, houses, capsys, tmp_path):
    """All that it returns is finite, and can be read in what it prints."""
    numbers = numbers_in(run(number))
    printed = {word.strip('+.,:;()')
               for word in capsys.readouterr().out.split()}
    assert len(numbers) >= 2
    for x in numbers:
        assert math.isfinite(x)
        assert printed & {f'{x:{f}}' for f in FORMATS}, x
    name = 'exercise_' + number.replace('.', '_')
    assert {path.stem for path in tmp_path.glob('*.png')} == set(
        FIGURES.get(number, [name]))
    for path in tmp_path.glob('*.png'):
        assert plt.imread(path).std() > 0.01  # not an empty page


def test_derivative_of_prelu_is_that_of_finite_differences(small):
    """Errors of a difference of 1e-3 in float64: rounding alone."""
    assert max(run('4.1.1').values()) < 1e-11


def test_a_batch_of_one_tells_nothing(small):
    """Where the batch is standardized, one class is predicted for all."""
    accs = run('4.1.4')
    labels = fashion_mnist.load().test_labels
    shares = onp.bincount(labels, minlength=10) / len(labels)
    assert min(abs(shares - accs['1, any classes'])) < 1e-6
    assert accs['256, any classes'] > accs['1, any classes'] + 0.1


def test_only_a_sign_change_turns_a_relu_network(small):
    changes = run('4.1.2')
    assert changes['ReLU'][1] == changes['pReLU'][1] == 0
    assert changes['ReLU'][0] > 0 and changes['tanh'][1] > 1900


def test_exact_solution_is_that_of_the_normal_equations(small):
    results = run('4.4.1')
    onp.testing.assert_allclose(results['normal'], results['w'], rtol=1e-9)
    assert results['gradient'] < 1e-12


def test_degree_9_goes_through_10_points(small):
    rows = run('4.4.2a')
    assert rows[9][1] < 1e-9 < rows[3][1]


def test_posterior_mode_is_the_penalized_minimum(small):
    results = run('4.5.6')
    onp.testing.assert_allclose(results['bayes'], results['ridge'], rtol=1e-9)


def test_frobenius_norm_has_three_forms(small):
    a, b, c = run('4.5.4').values()
    assert math.isclose(a, b, rel_tol=1e-12)
    assert math.isclose(a, c, rel_tol=1e-12)


def test_tanh_twin_of_a_sigmoid_network_is_the_same_function(small):
    """Roundings of float64 in numbers of size 10."""
    assert max(run('4.1.3').values()) < 1e-13


def test_halving_keeps_the_best_half_at_each_look():
    """The curves cross: 0 leads after 1 epoch, 5 after 2, 6 after 4."""
    curves = onp.zeros((8, 8))
    curves[:, 0] = [9, 1, 2, 3, 6, 7, 8, 4]
    curves[:, 1] = [5, 9, 9, 9, 6, 9, 8, 9]
    curves[:, 3] = [9, 9, 9, 9, 9, 7, 8, 9]
    assert mlp_scratch._halve(curves, onp.arange(8)) == 6


def test_gradients_of_the_l1_and_l2_penalties(small):
    l1, l2 = run('4.5.3')['gradients']
    assert l1 == [-1, -1, 1, 1] and l2 == [-2, -0.5, 0.25, 3]


def test_noise_of_dropped_weights_and_activations(small):
    """The variances are the formula's, and weights decorrelate two units.

    Of 4,000 masks: a variance is off by 2 % or so, a correlation by 1.6 %.
    """
    noise = dropout._noise_of_sums(4000)
    for variance, formula, _ in noise.values():
        assert variance == pytest.approx(formula, rel=0.1)
    assert noise['activations'][2] > 0.5 and abs(noise['weights'][2]) < 0.08


def test_exchange_takes_the_neighbours_activation_of_the_same_unit():
    seed(0)
    H = np.arange(2000).reshape(20, 100)
    noisy, own = dropout.exchange_noise(H, 0.25).asnumpy(), H.asnumpy()
    kept, taken = noisy == own, noisy == onp.roll(own, 1, axis=0)
    assert (kept ^ taken).all()
    assert taken.mean() == pytest.approx(0.25, abs=0.05)


def test_exchange_is_biased_and_its_variant_is_not():
    """The expectation of the noise in one batch, by 1,000 draws.

    A difference is up to 5 errors: of h, a tenth of the spread of its unit.
    """
    seed(0)
    H, p = np.random.normal(1, 1, (8, 5)), 0.25
    own, mean = H.asnumpy(), H.mean(axis=0).asnumpy()
    biased, unbiased = (onp.mean([noise(H, p).asnumpy() for _ in range(
        1000)], axis=0) for noise in (dropout.exchange_noise,
                                      dropout.unbiased_exchange))
    neighbour = onp.roll(own, 1, axis=0)
    assert abs(biased - (1 - p) * own - p * neighbour).max() < 0.1
    assert abs(unbiased - own - p / (1 - p) * (neighbour - mean)).max() < 0.1


def test_variance_of_masked_units_has_the_two_parts_of_the_formula(small):
    """Of the second layer, measured under masks, where they are in place."""
    results = run('4.6.3')
    for row, part in zip((1, 3, 7), results['parts'].values()):
        assert results['rows'][row][1] == pytest.approx(part[2], rel=0.05)


def test_gradient_of_a_trace_has_the_shape_of_its_matrix(small):
    results = run('4.7.1')
    assert results.pop('shape') == (3, 4)
    assert max(results.values()) < 1e-8  # of finite differences


def test_backward_equations_with_a_bias(small):
    """In five draws, as the bias need not turn a unit on or off in one."""
    for results in [run('4.7.2b') for _ in range(5)]:
        for by_autograd, by_differences in results.values():
            assert by_autograd < 1e-13 and by_differences < 1e-8


def test_second_derivatives_are_the_formulas(small):
    results = run('4.7.4')
    assert results['sigmoid'] < 1e-14
    assert max(row[-1] for row in results['rows']) < 1e-6


def test_a_diverged_setting_is_not_chosen(small, monkeypatch):
    """Not even the first, to whose NaN nothing compares."""
    lost, good = ({'hiddens': (8,), 'lr': lr, 'batch_size': 32}
                  for lr in (1e30, 0.1))
    monkeypatch.setattr(mlp_scratch, '_draw_settings',
                        lambda n: [lost, good, lost])
    results = run('4.2.4')
    assert results['search'][0][4] == results['search'][2][4] == 0
    assert results['chosen'] == results['search'][1]
    assert results['chosen'][2:4] == (0.1, 32)


def test_orthogonal_columns_are_learned_at_once():
    """Gradient descent of 100 steps ends at the least squares' losses."""
    seed(0)
    X, y = underfit_overfit._data(200, 6)
    A = underfit_overfit._columns(X)['orthogonal']
    w = least_squares(X[:100], y[:100])
    assert underfit_overfit._descend(A, y, quick=True) == pytest.approx(
        (mean_loss(w, X[:100], y[:100]), mean_loss(w, X[100:], y[100:])))


def test_decay_diverges_from_the_bound_on():
    """A weight grows above it, and shrinks below: half a percent each."""
    X = onp.random.default_rng(0).normal(size=(20, 200))
    _, below, above = weight_decay._bound(X, 0, quick=False)
    assert below < 1e-3 and above > 1e3


def test_mirror_images_are_half_of_them():
    seed(0)
    X = np.random.uniform(size=(400, 1, 28, 28))
    flipped, own = weight_decay._flipped(X).asnumpy(), X.asnumpy()
    same = (flipped == own).all(axis=(1, 2, 3))
    mirrored = (flipped == own[..., ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and 150 < same.sum() < 250


def test_networks_are_averaged_by_their_probabilities():
    """Two of three classes' logits, and the loss of the mean by NumPy."""
    X, y = onp.zeros((2, 3), 'float32'), onp.array([0, 2])
    logits = onp.array([[3., 0, 0], [0, 5, 0]], 'float32'), onp.array(
        [[0., 1, 0], [0, 0, 9]], 'float32')
    nets = [lambda X, o=o: np.array(o) for o in logits]
    acc, loss, train_loss = weight_decay._score(
        nets, (X, y), load_array((X, y), 2, False))
    p = sum(onp.exp(o) / onp.exp(o).sum(axis=1, keepdims=True)
            for o in logits) / 2
    assert acc == 1.0 and train_loss == loss
    assert loss == pytest.approx(-onp.log(p[[0, 1], y]).mean(), rel=1e-5)


@pytest.mark.parametrize('what', ['activations', 'weights'])
def test_masks_of_a_minibatch_are_those_asked_for(what):
    """With ones everywhere, an output counts what its mask has kept: rows
    of the same mask agree, and the units do if activations are dropped."""
    seed(0)
    out = dropout._product(np.ones((12, 400)), np.ones((400, 3)), what, 4,
                           0.5).asnumpy().reshape(4, 3, 3)
    assert out.mean() == pytest.approx(400, rel=0.1)
    assert (out == out[:, :1]).all() and len(onp.unique(out[:, 0, 0])) == 4
    assert (out == out[..., :1]).all() == (what == 'activations')


@pytest.mark.parametrize('a, b, verdict', [
    ([0.1, 0.5, 0.9], [0, 0.3, 0.9], 'a tie'), ([1, 2], [1, 2], 'a tie'),
    ([3, 1, 2], [1, -1, 0], 'more'),
    ([0.1, 0.2, 0.31], [0.2, 0.3, 0.4], 'less')])
def test_a_difference_over_seeds_is_judged_by_a_paired_test(a, b, verdict):
    """By SciPy's t test, unless all pairs differ alike."""
    mean, error, said = paired(a, b)
    assert said == verdict
    assert mean == pytest.approx(onp.mean(a) - onp.mean(b))
    if error > 1e-12:
        t, p = stats.ttest_rel(a, b)
        assert mean / error == pytest.approx(t)
        assert (said == 'a tie') == (p > 0.05)


def test_a_split_network_and_small_batches_have_the_same_gradients(small):
    """To float32 rounding; small batches take less memory."""
    split, batches = run('4.7.5a'), run('4.7.5b')
    assert split['outputs'] == split['gradients'] == 0
    assert max(row[-1] for row in batches) < 1e-5
    # The activations of a batch, not the images, which they share.
    assert batches[-1][2] == pytest.approx(batches[0][2] / 8, rel=0.02)


def test_symmetries_leave_the_function_as_it_is(small):
    results = run('4.8.1')
    changes = results['changes']
    assert changes.pop('scales, tanh') > 0.1
    assert max(changes.values()) < 1e-5  # float32, outputs of size 10
    for kind in ('channels', 'states'):
        assert results[f'equal {kind}'][:2] == [0, 0]
        assert min(results[f'random {kind}'][:2]) > 0.01


def test_eigenvalues_of_a_product_keep_the_bounds(small):
    """And a gradient keeps its norm through orthogonal layers only."""
    results = run('4.8.3')
    assert min(results[b] for b in ('low', 'high', 'cond')) >= 1 - 1e-6
    assert results['nilpotent'] == pytest.approx(9)
    assert results['orthogonal'] == pytest.approx(1, abs=1e-12)
    assert results['normal, sigma 0.01'] < 1e-9
    assert results['normal, sigma 1'] > 1e8


@pytest.mark.parametrize('scale', [1e-6, 1, 1e6])
def test_lars_moves_each_parameter_by_a_share_of_its_norm(scale):
    """Whatever the gradient's scale; one that is 0 takes a plain step."""
    w, b = np.array([3., 4.]), np.zeros(2)
    for param in (w, b):
        param.attach_grad()
        param.grad[:] = scale * np.array([6., 8.])
    numerical_stability_and_init.lars([w, b], 0.5, 2, trust=0.01)
    onp.testing.assert_allclose(w.asnumpy(), [2.985, 3.98], rtol=1e-3
                                if scale < 1 else 1e-6)
    onp.testing.assert_allclose(b.asnumpy(), [-0.015 * scale, -0.02 * scale],
                                rtol=1e-6)


@pytest.mark.parametrize('shift, least, most', [
    (0, 0.001, 1), (0.5, 0, 1), (2, 0, 1e-3)])
def test_a_shift_is_detected_with_the_p_value_of_fair_coins(shift, least,
                                                            most):
    """The exact binomial one, of which the code's is the normal limit."""
    seed(0)
    n = 100
    acc, p = environment.detect(covariate_data((0, 0), n)[0],
                                covariate_data((shift, 0), n)[0])
    hits = range(round(acc * n), n + 1)
    exact = sum(math.comb(n, k) for k in hits) / 2 ** n
    assert p == pytest.approx(exact, abs=0.003)
    assert least <= p <= most


def test_wrong_labels_bias_the_risk_as_the_formula_says(small):
    """1 label in 10 wrong adds 0.1 (1 - 2 risk), copies spread by sqrt(10)
    more; 50 samples of 1,000."""
    results = run('4.9.4')
    (_, _, bias, sd), (_, _, _, copied), (_, _, shifted, _) = (
        results['rows'][3:])
    assert abs(bias) < 4 * sd / 50 ** 0.5
    assert shifted == pytest.approx(0.1 * (1 - 2 * results['risk']),
                                    abs=0.008)
    assert copied / sd == pytest.approx(10 ** 0.5, rel=0.4)


def test_command_answers_and_plots(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'exercise', '4.1.3', '--quick',
         '--output', tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert without_mxnets_log(done.stderr) == ''
    assert done.stdout.startswith('4.1.3 tanh(x) + 1 = 2 sigmoid(2x)\n')
    assert 'by 1.8e-15\non 1000 inputs: rounding.' in done.stdout
    assert done.stdout.count('This run is too short') == 1
    assert (tmp_path / 'exercise_4_1_3.png').stat().st_size > 0
