"""Section 4.7."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest
from conftest import ROOT, without_mxnets_log
from gluon_mlp import backprop
from gluon_mlp.d2l import draw_computational_graph, training
from mxnet import np

NAMES = backprop.Gradients._fields
LAMBD, Y = 0.1, 2


@pytest.fixture
def example():
    """x (4,), W1 (5, 4), W2 (3, 5), float64."""
    training.seed(0)
    return [np.random.normal(size=size, dtype='float64')
            for size in [(4,), (5, 4), (3, 5)]]


def tanh_grad(z):
    return 1 - np.tanh(z) ** 2


ACTIVATIONS = pytest.mark.parametrize('phi, phi_grad', [
    (backprop.npx.relu, backprop.relu_grad), (np.tanh, tanh_grad)])


def objective(x, W1, W2, phi, added):
    """J in NumPy. `added` has what to add to a value, by its name."""
    def plus(name, value):
        return value + added.get(name, 0)
    W1, W2_used = plus('W1', W1), plus('W2', W2)
    o = plus('o', W2_used @ plus('h', phi(plus('z', W1 @ x))))
    L = plus('L', onp.log(onp.exp(o).sum()) - o[Y])
    return L + plus('s', LAMBD / 2 * ((W1 ** 2).sum()
                                      + (W2_used ** 2).sum()))


def gradients_of(example, phi, phi_grad):
    x, W1, W2 = example
    values = backprop.forward(x, Y, W1, W2, LAMBD, phi)
    return backprop.backward(x, Y, W1, W2, LAMBD, values, phi_grad)


def test_forward_agrees_with_numpy(example):
    x, W1, W2 = (a.asnumpy() for a in example)
    values = backprop.forward(example[0], Y, *example[1:], LAMBD)
    expected = objective(x, W1, W2, lambda z: onp.maximum(z, 0), {})
    assert float(values.J) == pytest.approx(expected, rel=1e-13)


@ACTIVATIONS
@pytest.mark.parametrize('name', NAMES)
def test_the_chain_rule_agrees_with_finite_differences_in_numpy(
        example, phi, phi_grad, name):
    grad = getattr(gradients_of(example, phi, phi_grad), name).asnumpy()
    f = onp.tanh if phi is np.tanh else (lambda z: onp.maximum(z, 0))
    arrays, eps = [a.asnumpy() for a in example], 1e-5
    for i in onp.ndindex(grad.shape):
        step = onp.zeros(grad.shape)
        step[i] = eps
        numeric = (objective(*arrays, f, {name: step})
                   - objective(*arrays, f, {name: -step})) / (2 * eps)
        # Rounding of J (about 10) over eps: 1e-15 * 10 / 1e-5.
        assert grad[i] == pytest.approx(numeric, abs=1e-9)


@ACTIVATIONS
def test_the_chain_rule_agrees_with_autograd(example, phi, phi_grad):
    x, W1, W2 = example
    functions = backprop.partial_functions(x, Y, W1, W2, LAMBD, phi)
    for grad, (f, a) in zip(gradients_of(example, phi, phi_grad), functions):
        by_autograd = backprop.autograd_gradient(f, a)
        assert grad.shape == a.shape
        onp.testing.assert_allclose(grad.asnumpy(), by_autograd.asnumpy(),
                                    rtol=1e-12, atol=1e-14)


def test_the_gradient_of_relu_is_one_above_zero():
    grad = backprop.relu_grad(np.array([-1.0, 0.0, 1e-6, 2.0]))
    assert grad.tolist() == [0, 0, 1, 1]


def test_finite_differences_of_a_cubic_are_its_derivative():
    a = np.array([[1.0, -2.0], [0.5, 3.0]], dtype='float64')
    grad = backprop.finite_differences(lambda a: (a ** 3).sum(), a)
    onp.testing.assert_allclose(grad, 3 * a.asnumpy() ** 2, atol=1e-8)


def test_finite_differences_refuse_float32():
    with pytest.raises(TypeError, match='need float64, not .*float32'):
        backprop.finite_differences(lambda a: a.sum(), np.zeros(2))


def test_training_keeps_every_layer_and_prediction_does_not():
    """Training keeps an array for each layer. Prediction has two at a time,
    the output of a layer before and after ReLU."""
    one_array = 256 * 128 * 4
    predict, train = zip(*(backprop.memory(n, 128) for n in (2, 12)))
    assert predict[0] / one_array == pytest.approx(2, abs=1.05)
    assert predict[1] / one_array == pytest.approx(2, abs=1.05)
    kept = (train[1] - train[0]) / one_array
    assert kept == pytest.approx(10, abs=1.05)  # one may be released late


def test_the_graph_has_every_value_and_an_arrow_for_each_use():
    axes = draw_computational_graph(backprop.VARIABLES, backprop.OPERATORS)
    labels = [patch.get_label() for patch in axes.patches]
    assert {'z', 'h', 'o', 'L', 's', 'J'} <= set(labels)
    arrows = [p for p in axes.patches if hasattr(p, 'get_arrowstyle')]
    assert len(arrows) == 11 + 6  # uses of a value, and results
    assert len({str(a.get_path()) for a in arrows}) == len(arrows)


def figures(tmp_path):
    return {path.stem for path in (tmp_path / 'figures').iterdir()}


def test_book_only_leaves_out_the_memory(example, run_script, tmp_path):
    """What the script prints are the values and gradients computed here."""
    done = run_script('backprop', '--book-only')
    assert (done.returncode, done.stderr) == (0, '')
    assert figures(tmp_path) == {'backprop_graph'}
    x, W1, W2 = example
    values = backprop.forward(x, 0, W1, W2, LAMBD)
    gradients = backprop.backward(x, 0, W1, W2, LAMBD, values)
    lines = done.stdout.splitlines()
    assert lines[1:7] == [f'{name} = {value}'
                          for name, value in values._asdict().items()]
    assert [line.split()[:1] for line in lines[10:]] == [
        [f'dJ/d{name}'] for name in NAMES]
    for line, grad in zip(lines[10:], gradients):
        *_, norm, by_autograd, numeric = line.split()
        assert norm == f'{onp.linalg.norm(grad.asnumpy()):.4f}'
        assert float(by_autograd) < 1e-12 and float(numeric) < 1e-9


@pytest.mark.slow
@pytest.mark.mxnet
def test_the_whole_script_adds_the_memory(run_script, tmp_path):
    book_only = run_script('backprop', '--book-only')
    done = run_script('backprop')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(book_only.stdout + '\npeak memory in MB')
    assert figures(tmp_path) == {'backprop_graph', 'backprop_memory_layers',
                                 'backprop_memory_batch_size'}


def test_measuring_the_memory_leaves_no_file(tmp_path):
    """Nor does it replace /dev/null by the profiler's file."""
    done = subprocess.run(
        [sys.executable, '-c', 'from gluon_mlp import backprop as b; '
         'print(b.memory(1, 2)[0] > 0)'], cwd=tmp_path, text=True,
        capture_output=True, check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'TMPDIR': str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, 'True\n')
    assert without_mxnets_log(done.stderr) == ''
    assert list(tmp_path.iterdir()) == []
    assert Path(os.devnull).is_char_device()
