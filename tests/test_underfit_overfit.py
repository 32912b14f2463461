"""Tests of section 4.4, underfitting and overfitting."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import math

import numpy as onp
import pytest
from gluon_mlp import mlp_concise
from gluon_mlp import underfit_overfit as section
from gluon_mlp.d2l import fashion_mnist, training
from gluon_mlp.errors import NonFiniteLossError
from gluon_mlp.kaggle_house_price import get_k_fold_data
from mxnet import np
from mxnet.gluon import nn

EPS = 2.0 ** -23  # spacing of float32 at 1
TRUE_W = 5, 1.2, -3.4, 5.6


def book_data():
    training.seed(0)
    return section.get_data()


def test_the_first_draws_are_the_published_ones():
    features, poly_features, labels = book_data()
    assert str(features[:2]) == '[[-0.03716067]\n [-1.1468065 ]]'
    # Kernels round differently when they add up the four terms, which are of
    # size 5 at most.
    assert labels[:2].tolist() == pytest.approx([5.1432443, -0.06415121],
                                                rel=0, abs=5 * EPS)
    # The powers come from the C library, so the last bit may differ.
    published = [1, -1.1468065, 0.65758252, -0.25137332, 0.072069131,
                 -0.016529869, 0.0031594271, -0.00051760738, 7.419943e-05,
                 -9.4547095e-06, 1.0842722e-06, -1.1304095e-07,
                 1.0803007e-08, -9.529969e-10, 7.8064499e-11,
                 -5.9683248e-12, 4.2778208e-13, -2.885784e-14,
                 1.8385756e-15, -1.1097316e-16]
    onp.testing.assert_allclose(poly_features[1].asnumpy(), published,
                                rtol=EPS)


def test_poly_features_are_powers_over_factorials_and_labels_are_cubic():
    features, poly_features, labels = (a.asnumpy() for a in book_data())
    x = features.astype('float64')
    expected = onp.hstack([x ** i / math.gamma(i + 1) for i in range(20)])
    # A power is off by one EPS at most; the quotient and its divisor are
    # rounded, too. The smallest float32 numbers are multiples of 2^-149.
    onp.testing.assert_allclose(poly_features, expected, rtol=3 * EPS,
                                atol=2.0 ** -149)
    noise = labels - expected[:, :4] @ TRUE_W
    # The scale of 200 draws has a standard error of 0.1 / 20.
    assert noise.std() == pytest.approx(0.1, abs=5 * 0.1 / 20)
    assert abs(noise.mean()) < 5 * 0.1 / 200 ** 0.5


def test_training_is_gradient_descent_on_the_mean_loss():
    rng = onp.random.default_rng(1)
    X, y = rng.normal(size=(4, 2)), rng.normal(size=4)
    data = [np.array(a, dtype='float32') for a in (X, X[:3], y, y[:3])]
    training.seed(3)
    w = section.train(*data, num_epochs=1, lr=1e-12)[0].astype('float64')
    training.seed(3)  # all four are one batch, so their order is irrelevant
    weight, history = section.train(*data, num_epochs=21, lr=0.1)
    losses = {}
    for epoch in range(1, 22):
        w -= 0.1 * X.T @ (X @ w - y) / 4
        losses[epoch] = [((X[:n] @ w - y[:n]) ** 2).mean() / 2
                         for n in (4, 3)]
    # There are 21 steps, each with a few roundings of numbers near 1.
    onp.testing.assert_allclose(weight, w, rtol=0, atol=21 * 4 * EPS)
    assert [row[0] for row in history] == [1, 20, 21]
    onp.testing.assert_allclose([row[1:] for row in history],
                                [losses[row[0]] for row in history],
                                rtol=1e-5)


def test_divergence_is_named():
    X, y = np.ones((4, 2)), np.ones(4)
    with pytest.raises(NonFiniteLossError, match='in epoch 20: try a lower'):
        section.train(X, X, y, y, num_epochs=30, lr=1e9)


@pytest.mark.mxnet
@pytest.mark.slow
def test_the_normal_training_ends_where_the_published_one_did():
    _, poly_features, labels = book_data()
    X, y = poly_features[:, :4], labels
    weight, history = section.train(X[:100], X[100:], y[:100], y[100:])
    # The book did not seed its shuffle. Over three shuffles the weights came
    # within 0.0004 of the book's, and the losses of epoch 400 within 0.001.
    onp.testing.assert_allclose(
        weight, [5.019083, 1.2223408, -3.4236875, 5.5720234], atol=0.001)
    assert history[-1] == pytest.approx((400, 0.00478493, 0.00621586),
                                        rel=0.002)


@pytest.mark.parametrize('n, k', [(100, 5), (11, 4), (3, 3)])
def test_folds_are_disjoint_consecutive_and_cover_all_rows(n, k):
    X, y = onp.arange(2 * n).reshape(n, 2), onp.arange(n)
    valid_rows = []
    for i in range(k):
        X_train, y_train, X_valid, y_valid = get_k_fold_data(k, i, X, y)
        assert (X_train == X[y_train]).all() and (X_valid == X[y_valid]).all()
        assert sorted([*y_train, *y_valid]) == list(range(n))
        assert n // k <= len(y_valid) <= -(-n // k)
        valid_rows += y_valid.tolist()
    assert valid_rows == list(range(n))


@pytest.mark.parametrize('k, i, message', [
    (1, 0, '3 examples cannot make 1 folds'), (4, 0, 'cannot make 4 folds'),
    (3, 3, 'no fold 3 among 3'), (3, -1, 'no fold -1 among 3')])
def test_impossible_folds_are_refused(k, i, message):
    with pytest.raises(ValueError, match=message):
        get_k_fold_data(k, i, onp.ones((3, 1)), onp.ones(3))


def test_k_fold_averages_the_losses_of_each_fold():
    # The fit is the mean label: 3 for (2, 4), and 0 for (0, 0).
    X, y = onp.ones((4, 1)), onp.array([0.0, 0, 2, 4])
    train_loss, valid_loss = section.k_fold(2, X, y)
    assert train_loss == pytest.approx((1 + 0) / 2 / 2)
    assert valid_loss == pytest.approx((9 + 10) / 2 / 2)


def test_least_squares_is_where_the_gradient_vanishes():
    rng = onp.random.default_rng(2)
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    w = section.least_squares(X, y)
    onp.testing.assert_allclose(X.T @ (X @ w - y), 0, atol=1e-12)
    assert section.mean_loss(w, X, y) == pytest.approx(
        sum((X[i] @ w - y[i]) ** 2 / 2 for i in range(30)) / 30)


def test_cross_validation_chooses_the_cubic():
    _, poly_features, labels = book_data()
    chosen, rows = section.choose_degree(5, poly_features[:100],
                                         labels[:100])
    assert chosen == 3
    assert [row[0] for row in rows] == list(range(20))
    train_losses = [row[1] for row in rows]
    assert train_losses == sorted(train_losses, reverse=True)


def test_the_gap_closes_with_the_number_of_examples():
    training.seed(0)
    rows = section.learning_curve([10, 40, 160])
    gaps = [test_loss - train_loss for _, train_loss, test_loss in rows]
    assert [row[0] for row in rows] == [10, 40, 160]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0
    # A line underfits: its training error stays large with more examples.
    line, = section.learning_curve([160], degree=1)
    assert line[1] > 10 * rows[-1][1]


def test_bias_and_variance_are_those_of_least_squares():
    """With f(x) the powers: w is normal, of covariance noise^2 inv(X'X)."""
    training.seed(0)
    x, degree, n, noise, num_draws = onp.linspace(-1, 1, 9), 4, 30, 2.0, 4000
    true_y, (line, quartic) = section.fit_draws((1, degree), x, n, noise,
                                                num_draws)
    onp.testing.assert_allclose(
        true_y, 5 + 1.2 * x - 3.4 * x ** 2 / 2 + 5.6 * x ** 3 / 6)
    training.seed(0)
    X = section.get_data(n, degree + 1)[1].asnumpy().astype('float64')
    powers = x[:, None] ** onp.arange(5) / [1, 1, 2, 6, 24]
    variance = noise ** 2 * onp.diag(
        powers @ onp.linalg.inv(X.T @ X) @ powers.T)
    # An estimated variance is off by sqrt(2 / draws), a mean by less.
    onp.testing.assert_allclose(quartic.var(axis=0), variance,
                                rtol=5 * (2 / num_draws) ** 0.5)
    bias, mean_variance = section.bias_and_variance(true_y, quartic)
    assert mean_variance == pytest.approx(variance.mean(), rel=0.1)
    assert bias < 25 * variance.max() / num_draws
    w = onp.linalg.lstsq(X[:, :2], X[:, :4] @ section.true_w, rcond=None)[0]
    missed = ((powers[:, :2] @ w - true_y) ** 2).mean()
    bias, less = section.bias_and_variance(true_y, line)
    assert bias == pytest.approx(missed, rel=0.1) and less < mean_variance


@pytest.mark.mxnet
@pytest.mark.slow
def test_a_hidden_layer_pays_with_thousands_of_images(real_data):
    """The recipe is the same, and so is the number of steps."""
    training.seed(0)
    (linear,), (deep,) = (
        section.by_num_images(get_net, real_data, (16000,))
        for get_net in (lambda: nn.Dense(10), mlp_concise.get_net))
    assert deep - linear > 0.01  # three standard errors of an accuracy


def test_by_num_images_gives_an_accuracy_for_each_size(few_images):
    data = fashion_mnist.load()
    accs = section.by_num_images(lambda: nn.Dense(10), data, (2, 50), 30)
    assert 0 < accs[0] < accs[1] < 1


def test_the_script_runs(run_script, tmp_path, real_data):
    done = run_script('underfit_overfit', '--num-epochs', 1,
                      '--num-epochs-overfit', 2)
    assert done.returncode == 0, done.stderr
    assert '     3    0.004585    0.005143  <- chosen' in done.stdout
    assert done.stderr == ''
    assert {path.name for path in (tmp_path / 'figures').iterdir()} == {
        f'underfit_overfit_{name}.png'
        for name in ('normal', 'underfit', 'overfit', 'k_fold', 'gap',
                     'bias_variance', 'by_num_images')}
