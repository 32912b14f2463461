"""Section 4.8."""
import numpy as onp
import pytest
from gluon_mlp.d2l import training
from gluon_mlp.mlp import get_quadrants
from gluon_mlp.numerical_stability_and_init import (
    product_of_matrices,
    train_from,
    variances,
)
from mxnet import init, np

# Published by the book's MXNet edition: first row of the matrix, and of
# its product with 100 others.
ONE_MATRIX = [2.2122064, 1.1630787, 0.7740038, 0.4838046]
PRODUCT = [3.4459714e+23, -7.804068e+23, 5.9973287e+23, 4.522999e+23]
UNIT = 2.0 ** -24  # of rounding, in float32


def rounding_bound(matrices):
    """The product, and how far float32 may be off in each element.

    To first order, a product of two 4x4 matrices is off by at most 4 UNIT
    of |A||B|, and the remaining matrices multiply that error.
    """
    partial = [matrices[0]]
    for A in matrices[1:]:
        partial.append(partial[-1] @ A)
    bound, rest = onp.zeros((4, 4)), onp.eye(4)
    for P, A in zip(partial[-2::-1], matrices[:0:-1]):
        bound += 4 * UNIT * abs(P) @ abs(A) @ abs(rest)
        rest = A @ rest
    return partial[-1], bound


def test_the_product_is_that_of_the_same_draws_in_float64():
    training.seed(0)
    _, product = product_of_matrices()
    training.seed(0)
    matrices = [np.random.normal(size=(4, 4)).asnumpy().astype(float)
                for _ in range(101)]
    expected, bound = rounding_bound(matrices)
    assert (abs(product.asnumpy() - expected) <= bound).all()
    assert (bound < 1e-3 * abs(expected)).all()


def test_the_matrices_are_the_published_ones():
    training.seed(0)
    M, product = product_of_matrices()
    # A unit in the last place between two machines' logarithms: 1.2e-7.
    onp.testing.assert_allclose(M.asnumpy()[0], ONE_MATRIX, rtol=1.3e-7)
    # Twice the rounding of 1.9e-4 that the bound above allows.
    onp.testing.assert_allclose(product.asnumpy()[0], PRODUCT, rtol=4e-4)


def symmetry(initializer, dropout=0):
    training.seed(0)
    return train_from(initializer, *get_quadrants(200), dropout)


def test_equal_weights_stay_equal_and_one_unit_is_not_enough():
    result = symmetry(init.Constant(0.5))
    # 200 terms, each below 1/2, summed in float32.
    assert result.first_spread <= 200 * UNIT * 200 * 0.5
    assert result.last_spread <= 200 * UNIT * 200 * 0.5
    assert result.accuracy < 0.8


def test_unequal_weights_break_the_symmetry_and_learn():
    result = symmetry(init.Normal(0.5))
    assert result.first_spread > 0.1 and result.last_spread > 0.1
    assert result.accuracy > 0.95


def test_dropout_breaks_the_symmetry_of_equal_weights():
    result = symmetry(init.Constant(0.5), dropout=0.5)
    assert result.first_spread > 0.1 and result.last_spread > 0.1


@pytest.mark.parametrize('initializer, factor', [
    (init.Normal(0.01), 100 * 0.01 ** 2), (init.Normal(1), 100),
    (init.Xavier(), 1)])
def test_each_linear_layer_multiplies_the_variance_by_its_factor(
        initializer, factor):
    """With n inputs and outputs it is n sigma^2 both ways, and 1 for Xavier.
    One random layer is off by sqrt(2 / n), and the mean of 50 by less."""
    training.seed(0)
    forward, backward = variances(initializer, None, 50, 100, 32)
    assert forward.shape == backward.shape == (51,)
    assert forward[0] == pytest.approx(1, abs=0.1)
    assert backward[-1] == pytest.approx(1, abs=0.1)
    # Four standard deviations of the mean of 50 log factors, and their bias.
    tolerance = 4 * (2 / 100 / 50) ** 0.5 + 1 / 100
    for a in (forward, backward[::-1]):
        slope = onp.log(a[-1] / a[0]) / 50
        assert slope == pytest.approx(onp.log(factor), abs=tolerance)


def test_large_weights_saturate_tanh_and_its_derivative_counts():
    """The activations stay below 1. Each layer multiplies the variance of the
    gradients by n sigma^2 times the mean square of the derivative."""
    training.seed(0)
    forward, backward = variances(init.Normal(1), 'tanh', 20, 100, 32)
    assert 0.8 < forward[-1] <= 1
    # E[tanh'(z)^2] for z of standard deviation 10, by quadrature
    z, step = onp.linspace(-80, 80, 160001, retstep=True)
    sd = (100 * forward[5:-1].mean()) ** 0.5
    density = onp.exp(-(z / sd) ** 2 / 2) / (sd * (2 * onp.pi) ** 0.5)
    factor = 100 * (density * (1 - onp.tanh(z) ** 2) ** 2).sum() * step
    slope = onp.log(backward[5] / backward[-1]) / 15
    assert slope == pytest.approx(onp.log(factor), abs=0.25)


def test_gradients_shrink_most_where_tanh_is_least_linear():
    """Xavier's activations shrink towards the outputs: there tanh' is 1."""
    training.seed(0)
    _, backward = variances(init.Xavier(), 'tanh', 50, 100, 32)
    # About 0.5 and 1; a random layer is off by sqrt(2 / 100).
    assert backward[0] / backward[1] < 0.7 < backward[49] / backward[50]


def test_relu_halves_the_variance_and_sigmoid_takes_a_sixteenth_or_less():
    """A layer multiplies by n sigma^2 times the mean square derivative."""
    training.seed(0)
    for phi, magnitude, factor in (('relu', 3, 1 / 2), ('relu', 6, 1)):
        _, backward = variances(init.Xavier(magnitude=magnitude), phi, 50,
                                100, 32)
        slope = onp.log(backward[0] / backward[-1]) / 50
        assert slope == pytest.approx(onp.log(factor), abs=0.15)
    _, backward = variances(init.Xavier(), 'sigmoid', 20, 100, 32)
    assert onp.log(backward[0] / backward[-1]) / 20 < onp.log(1 / 16) + 0.1


def figures(tmp_path):
    return sorted(path.stem.replace('numerical_stability_and_init_', '')
                  for path in (tmp_path / 'figures').iterdir())


def test_book_only_ends_after_the_matrices(run_script, tmp_path):
    done = run_script('numerical_stability_and_init', '--book-only')
    assert (done.returncode, done.stderr) == (0, '')
    training.seed(0)
    first, product = product_of_matrices()
    _, *lines = done.stdout.splitlines()  # the first one names the figure
    assert '\n'.join(lines) == (f'a single matrix\n{first}\n'
                                f'after multiplying 100 matrices\n{product}')
    assert figures(tmp_path) == ['sigmoid']


@pytest.mark.slow
@pytest.mark.mxnet
def test_the_whole_script_adds_symmetry_and_variances(run_script, tmp_path):
    book_only = run_script('numerical_stability_and_init', '--book-only')
    done = run_script('numerical_stability_and_init')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(book_only.stdout)
    training.seed(0)
    product_of_matrices()
    result = train_from(init.Constant(0.5), *get_quadrants(200))
    lines = done.stdout[len(book_only.stdout):].splitlines()
    assert lines[3].split()[:2] == ['constant', '0']
    assert lines[3].split()[-1] == f'{result.accuracy:.3f}'
    assert figures(tmp_path) == [
        'activations', 'linear_activations', 'linear_gradients', 'sigmoid',
        'tanh_activations', 'tanh_gradients']
