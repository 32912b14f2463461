"""4.1: activation functions, their gradients, and affine layers in a row."""
import numpy as onp
import pytest
from gluon_mlp.d2l.training import seed
from gluon_mlp.mlp import (
    as_one_layer,
    fit,
    forward,
    get_quadrants,
    num_params,
    prelu,
    relu,
    sigmoid,
    sigmoid_by_softmax,
    tangent,
    tanh,
    value_and_grad,
)
from mxnet import autograd, np, npx

npx.set_np()

EPS = onp.finfo('float32').eps
# The values take a few float32 operations on numbers up to 1, or are exact.
# The gradients y (1 - y) and 1 - y^2 take a few more.
ROUNDING = 8 * EPS

REFERENCE = {  # in float64, as section 4.1 defines them
    relu: lambda x: onp.maximum(x, 0),
    sigmoid: lambda x: 1 / (1 + onp.exp(-x)),
    tanh: lambda x: (1 - onp.exp(-2 * x)) / (1 + onp.exp(-2 * x)),
}
# Points of the book's figures, read back from its MXNet edition (2022).
PUBLISHED = {
    (relu, 'value'): [(-8.0, 0.0), (7.9, 7.9)],
    (relu, 'grad'): [(-8.0, 0.0), (0.0, 0.0), (0.1, 1.0), (7.9, 1.0)],
    (sigmoid, 'value'): [
        (-8.0, 0.000335356), (-4.0, 0.0179862), (-1.0, 0.268941),
        (0.6, 0.645656), (3.5, 0.970688), (7.9, 0.999629)],
    (sigmoid, 'grad'): [
        (-8.0, 0.000335238), (-2.5, 0.0701037), (-0.5, 0.235004),
        (0.0, 0.25), (1.3, 0.168298), (7.9, 0.000370483)],
    (tanh, 'value'): [
        (-8.0, -1.0), (-2.1, -0.970452), (-0.6, -0.537049),
        (0.3, 0.291313), (1.5, 0.905148), (4.3, 0.999632)],
}


@pytest.fixture
def x():
    return np.arange(-8.0, 8.0, 0.1)


@pytest.mark.parametrize('f', REFERENCE)
def test_value_is_the_definition_in_float64(f, x):
    y, _ = value_and_grad(f, x)
    expected = REFERENCE[f](x.asnumpy().astype('float64'))
    onp.testing.assert_allclose(y.asnumpy(), expected, 0, ROUNDING)


@pytest.mark.parametrize('f', REFERENCE)
def test_gradient_is_the_difference_quotient(f, x):
    _, grad = value_and_grad(f, x)
    # The error of central differences is h^2 / 6 times the third derivative,
    # which is 2 at most: 3e-9, far below float32 rounding. ReLU has no
    # derivative at 0.
    x64, h = x.asnumpy().astype('float64'), 1e-4
    expected = (REFERENCE[f](x64 + h) - REFERENCE[f](x64 - h)) / (2 * h)
    smooth = x64 != 0
    onp.testing.assert_allclose(grad.asnumpy()[smooth], expected[smooth], 0,
                                ROUNDING)


@pytest.mark.parametrize('f, grad_at_0', [
    (relu, 0), (sigmoid, 0.25), (tanh, 1),
    (lambda x: prelu(x, 0.125), 0.125)])
def test_gradient_at_0_is_the_left_one(f, grad_at_0):
    assert float(value_and_grad(f, np.zeros(1))[1]) == grad_at_0


@pytest.mark.parametrize('f, what', PUBLISHED)
def test_curve_goes_through_the_points_that_the_book_published(f, what, x):
    curve = value_and_grad(f, x)[what == 'grad'].asnumpy()
    points, y = onp.array(PUBLISHED[f, what]).T
    ours = curve[onp.rint((points + 8) / 0.1).astype(int)]
    # We know six digits. They were read from an SVG figure that is 138.6
    # points high and gives the point and two tick marks to 6 decimals. And
    # float32 on another machine may round differently.
    digit = 10 ** (onp.floor(onp.log10(abs(y) + 1e-300)) - 5)
    svg = 3 * 0.5e-6 / 138.6 * 1.1 * onp.ptp(curve)
    assert (abs(ours - y) <= digit / 2 + svg + 2 * EPS * abs(y)).all()


@pytest.mark.parametrize('alpha', [-1, 0, 0.25, 1, 2])
def test_prelu_is_max_plus_alpha_min(alpha, x):
    y, grad = value_and_grad(lambda x: prelu(x, alpha), x)
    x = x.asnumpy()
    onp.testing.assert_array_equal(
        y.asnumpy(), onp.maximum(0, x) + alpha * onp.minimum(0, x))
    onp.testing.assert_array_equal(grad.asnumpy(), onp.where(x > 0, 1, alpha))


def test_alpha_of_prelu_can_be_learned(x):
    alpha = np.array(0.25)
    alpha.attach_grad()
    with autograd.record():
        y = prelu(x, alpha)
    y.backward()
    expected = onp.minimum(0, x.asnumpy().astype('float64')).sum()
    # A sum of 80 terms, all of the same sign.
    assert float(alpha.grad) == pytest.approx(expected, rel=80 * EPS)


def test_extreme_inputs_give_the_limits():
    x = np.array([-onp.inf, -1e4, 1e4, onp.inf])
    assert relu(x).tolist() == [0, 0, 1e4, onp.inf]
    assert sigmoid(x).tolist() == [0, 0, 1, 1]
    assert tanh(x).tolist() == [-1, -1, 1, 1]


def test_value_and_grad_leaves_the_gradient_of_its_argument_alone(x):
    x.attach_grad()
    x.grad[:] = 7
    value_and_grad(sigmoid, x)
    assert (x.grad == 7).all()


@pytest.fixture
def layers():
    """Affine layers 6-5-4-3: pairs (W, b) of float64 NumPy arrays."""
    rng = onp.random.default_rng(0)
    return [(rng.normal(size=(n, m)), rng.normal(size=m))
            for n, m in [(6, 5), (5, 4), (4, 3)]]


@pytest.fixture
def X():
    return onp.random.default_rng(1).normal(size=(50, 6))


def in_float64(X, layers, activation=lambda X: X):
    (W1, b1), (W2, b2), (W3, b3) = layers
    H = activation(activation(X @ W1 + b1) @ W2 + b2)
    return H @ W3 + b3


def mxnet(layers):
    return [(np.array(W), np.array(b)) for W, b in layers]


def assert_close(ours, expected, X, layers):
    """Both agree up to float32 rounding.

    Each layer adds n + 2 roundings at most, for sums of n terms. A rounding
    is relative to the same expression in absolute values.
    """
    bound = in_float64(abs(X), [(abs(W), abs(b)) for W, b in layers])
    num_roundings = sum(len(W) + 2 for W, _ in layers)
    assert (abs(ours.asnumpy() - expected)
            <= num_roundings * EPS * bound).all()


def test_affine_layers_without_activation_are_one_affine_layer(X, layers):
    W, b = as_one_layer(mxnet(layers))
    assert W.shape == (6, 3) and b.shape == (3,)
    one_layer = forward(np.array(X), [(W, b)])
    stacked = forward(np.array(X), mxnet(layers))
    expected = in_float64(X, layers)
    assert_close(one_layer, expected, X, layers)
    assert_close(stacked, expected, X, layers)


def test_relu_between_affine_layers_makes_them_more_than_one(X, layers):
    ours = forward(np.array(X), mxnet(layers), relu)
    expected = in_float64(X, layers, lambda X: onp.maximum(X, 0))
    assert_close(ours, expected, X, layers)
    # Even the best affine layer cannot do the same.
    A = onp.column_stack([X, onp.ones(len(X))])
    best = A @ onp.linalg.lstsq(A, expected, rcond=None)[0]
    assert abs(best - expected).max() > 0.1


@pytest.mark.parametrize('f, offset, slope', [
    (sigmoid, 0.5, 0.25), (tanh, 0, 1)])
def test_near_0_the_function_is_close_to_its_tangent(f, offset, slope):
    """The next term of the series is x^3 / 48, or x^3 / 3."""
    x = np.linspace(-0.1, 0.1, 21)
    line = tangent(f, x).asnumpy()
    onp.testing.assert_allclose(line, offset + slope * x.asnumpy(), atol=1e-6)
    assert 1e-5 < abs(f(x).asnumpy() - line).max() < 0.1 ** 3 / 2


def test_sigmoid_is_the_softmax_of_x_and_0():
    x = np.arange(-8.0, 8.0, 0.1)
    onp.testing.assert_allclose(sigmoid_by_softmax(x).asnumpy(),
                                sigmoid(x).asnumpy(), rtol=1e-5)


def test_the_parameters_are_the_weights_and_the_biases():
    assert num_params((784, 10)) == 7850
    assert num_params((784, 256, 10)) == 784 * 256 + 256 + 256 * 10 + 10


@pytest.mark.slow
@pytest.mark.mxnet
def test_script_draws_ten_figures_and_shows_the_claim_in_numbers(
        run_script, tmp_path):
    result = run_script('mlp', '--alpha', 0.5)
    assert result.returncode == 0, result.stderr
    assert 'prelu: values from -4.0000 to 7.9000; ' in result.stdout
    curves = [f'mlp_{prefix}{f}' for prefix in ('', 'grad_of_')
              for f in ('relu', 'prelu', 'sigmoid', 'tanh')]
    figures = {path.stem: path for path in (tmp_path / 'figures').iterdir()}
    assert set(figures) == {'mlp_softmax_regression', 'mlp_one_hidden_layer',
                            *curves}
    for path in figures.values():
        assert f'figure: {path}' in result.stdout
        assert path.read_bytes().startswith(b'\x89PNG\r\n\x1a\n')
    without, with_relu = (
        float(line.split()[-1]) for line in result.stdout.splitlines()
        if 'differ by at most' in line)
    assert without < 1e-5 and with_relu > 1


def test_book_only_is_the_networks_and_the_three_functions(run_script,
                                                           tmp_path):
    result = run_script('mlp', '--book-only')
    assert result.returncode == 0, result.stderr
    names = ['mlp_softmax_regression', 'mlp_one_hidden_layer',
             *(f'mlp_{prefix}{f}' for f in ('relu', 'sigmoid', 'tanh')
               for prefix in ('', 'grad_of_'))]
    assert result.stdout.splitlines() == [
        f"figure: {tmp_path / 'figures' / name}.png" for name in names]


def test_a_linear_model_fails_on_quadrants_and_a_hidden_layer_does_not():
    """A line is right about 3 of the 4 quadrants at most, as for XOR. The
    loss of the linear model stays near log 2, the loss of guessing."""
    seed(0)
    X, y = get_quadrants(400)
    l, acc = fit(X, y, (2, 1), num_steps=200)
    assert acc < 0.75
    # Chance alone lets a fit with two slopes lower the loss by half a
    # chi-square of 2 degrees of freedom, over n. It exceeds 20 less often
    # than once in a million draws.
    assert onp.log(2) - 20 / 400 < l <= onp.log(2)
    l, acc = fit(X, y, (2, 16, 1), num_steps=700)
    assert l < 0.15 and acc > 0.95


def test_logistic_regression_takes_the_step_of_its_gradient():
    """Two of three equal inputs are of class 1, so sigmoid(b) nears 2/3."""
    X, y = np.zeros((3, 2)), np.array([[1.], [0.], [1.]])
    l, acc = fit(X, y, (2, 1), num_steps=200)
    entropy = -(2 * onp.log(2 / 3) + onp.log(1 / 3)) / 3
    assert l == pytest.approx(entropy, abs=1e-6)
    assert acc == pytest.approx(2 / 3)
