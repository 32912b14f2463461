"""The 49 exercises: each has an answer, and each runs, small."""
import math
import shutil
import subprocess
import sys

import numpy as onp
import pytest
from conftest import without_mxnets_log
from gluon_mlp import fashion_mnist, plot
from gluon_mlp import kaggle_house_price as house
from gluon_mlp.exercises import exercises
from gluon_mlp.training import seed
from house_tables import find_real_tables, sha1, write_tables

NUMBERS = {
    '4.1': '1 2 3 4', '4.2': '1 2 3 4 5 6', '4.3': '1 2 3',
    '4.4': '1 2a 2b 2c 3 4', '4.5': '1 2 3 4 5 6', '4.6': '1 2 3 4 5 6 7',
    '4.7': '1 2a 2b 3 4 5a 5b', '4.8': '1 2 3 4', '4.9': '1 2 3 4',
    '4.10': '1 2 3 4 5 6'}
KNOWN = exercises()


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
    monkeypatch.setattr(plot, 'folder', tmp_path)
    seed(0)


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


@pytest.mark.parametrize('number', KNOWN)
def test_every_exercise_runs(number, small, houses):
    run(number)


def test_derivative_of_prelu_is_that_of_finite_differences(small):
    """Errors of a difference of 1e-3 in float64: rounding alone."""
    assert max(run('4.1.1').values()) < 1e-11


def test_only_a_sign_change_turns_a_relu_network(small):
    changes = run('4.1.2')
    assert changes['ReLU'][1] == changes['pReLU'][1] == 0
    assert changes['ReLU'][0] > 0 and changes['tanh'][1] > 1900


def test_exact_solution_is_that_of_the_normal_equations(small):
    normal, w, gradient = run('4.4.1')
    onp.testing.assert_allclose(normal, w, rtol=1e-9)
    assert gradient < 1e-12


def test_degree_9_goes_through_10_points(small):
    rows = run('4.4.2a')
    assert rows[9][1] < 1e-9 < rows[3][1]


def test_posterior_mode_is_the_penalized_minimum(small):
    bayes, ridge = run('4.5.6')
    onp.testing.assert_allclose(bayes, ridge, rtol=1e-9)


def test_frobenius_norm_has_three_forms(small):
    a, b, c = run('4.5.4').values()
    assert math.isclose(a, b, rel_tol=1e-12)
    assert math.isclose(a, c, rel_tol=1e-12)


def exercise(*args):
    return subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'exercise', *map(str, args)],
        capture_output=True, text=True, check=False)


def test_command_answers_and_plots(tmp_path):
    done = exercise('4.1.3', '--quick', '--figures', tmp_path)
    assert done.returncode == 0
    assert without_mxnets_log(done.stderr) == ''
    assert done.stdout.startswith('4.1.3 tanh(x) + 1 = 2 sigmoid(2x)\n')
    assert (tmp_path / 'exercise_4_1_3.png').stat().st_size > 0


def test_command_lists_all():
    lines = exercise('--list').stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(KNOWN)


@pytest.mark.parametrize('args', [('4.1.9',), ('x',), ()])
def test_wrong_number_is_one_line_and_2(args):
    done = exercise(*args)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
