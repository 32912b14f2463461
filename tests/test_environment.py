"""4.9: the weights against the true densities and label distributions."""
import subprocess
import sys

import numpy as onp
import pytest
from conftest import ROOT
from gluon_mlp import environment as env
from gluon_mlp.d2l import training
from mxnet import gluon, np, npx
from mxnet.gluon import nn

npx.set_np()


def test_the_classifier_finds_the_true_density_ratio():
    """log p(x)/q(x) of two normals of unit variance is linear in x.

    With 4000 inputs of each, the standard error of a maximum likelihood
    coefficient is about 0.04 (the inverse Fisher information): 4 of them.
    """
    training.seed(0)
    X, _ = env.covariate_data(env.mean_train, 4000)
    X_test, _ = env.covariate_data(env.mean_test, 4000)
    h = env.train_domain_classifier(X, X_test, 20, 0.1, 100)
    q, p = onp.array(env.mean_train), onp.array(env.mean_test)
    slope, offset = p - q, (q @ q - p @ p) / 2
    onp.testing.assert_allclose(h.weight.data().asnumpy()[0], slope,
                                atol=0.16)
    onp.testing.assert_allclose(h.bias.data().asnumpy(), offset, atol=0.16)


def test_weights_are_exp_of_h_cut_at_c():
    X = np.array([[0., 1.], [2., 0.], [-1., 3.]])
    weights = env.covariate_weights(lambda X: X[:, :1], X, c=2).asnumpy()
    onp.testing.assert_allclose(weights, [1, 2, onp.exp(-1)], rtol=1e-6)


def test_effective_size_of_equal_weights_is_their_number():
    assert env.effective_size(np.full(7, 3.)) == pytest.approx(7)
    assert env.effective_size(np.array([1., 0., 0.])) == pytest.approx(1)


def test_weighted_training_is_gradient_descent_on_the_weighted_mean():
    """Full-batch steps of softmax regression, in NumPy float64."""
    rng = onp.random.default_rng(0)
    X = rng.normal(size=(12, 4)).astype('float32')
    y = rng.integers(0, 3, 12).astype('int32')
    beta = rng.uniform(0, 3, 12).astype('float32')
    net = nn.Dense(3, in_units=4)
    training.seed(0)
    net.initialize()
    w, b = [p.data().asnumpy().astype(float)
            for p in (net.weight, net.bias)]
    training.seed(0)
    other = nn.Dense(3, in_units=4)
    env.train_weighted(other, np.array(X), np.array(y), np.array(beta),
                       gluon.loss.SoftmaxCrossEntropyLoss(), 5, 0.5, 12)
    for _ in range(5):
        o = X @ w.T + b
        probs = onp.exp(o) / onp.exp(o).sum(axis=1, keepdims=True)
        g = beta[:, None] * (probs - onp.eye(3)[y]) / 12
        w, b = w - 0.5 * g.T @ X, b - 0.5 * g.sum(axis=0)
    onp.testing.assert_allclose(other.weight.data().asnumpy(), w, atol=2e-6)
    onp.testing.assert_allclose(other.bias.data().asnumpy(), b, atol=2e-6)


def test_covariate_shift_costs_accuracy_and_the_weights_win_it_back():
    training.seed(0)
    X, y = env.covariate_data(env.mean_train, 1000)
    X_test, y_test = env.covariate_data(env.mean_test, 1000)
    h = env.train_domain_classifier(X, X_test, 20, 0.1, 100)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    accs = []
    for beta in (np.ones(1000), env.covariate_weights(h, X)):
        net = nn.Dense(2)
        env.train_weighted(net, X, y, beta, loss, 20, 0.1, 100)
        accs.append(env.evaluate(net, X_test, y_test))
    assert accs[1] > accs[0] + 0.05  # 5 standard errors of an accuracy


def test_the_learned_boundary_is_where_the_outputs_agree():
    net = nn.Dense(2, in_units=2)
    net.initialize()
    x = onp.array([-1., 0.5])
    X = onp.stack([x, env.boundary(net, x)], axis=1)
    o = net(np.array(X, dtype='float32')).asnumpy()
    scale = abs(X).max()
    onp.testing.assert_allclose(o[:, 0], o[:, 1], atol=1e-6 * scale)


def test_drawn_labels_have_the_distribution_and_no_example_comes_twice():
    onp.random.seed(0)
    labels = onp.arange(3000) % 3
    q = onp.array([0.6, 0.3, 0.1])
    rows = env.draw_with_labels(labels, q, 1000)
    assert len(set(rows)) == 1000
    share = onp.bincount(labels[rows]) / 1000
    assert (abs(share - q) < 4 * onp.sqrt(q * (1 - q) / 1000)).all()
    assert set(labels[rows[:30]]) == {0, 1, 2}  # in random order
    with pytest.raises(ValueError, match='larger sample than population'):
        env.draw_with_labels(labels, [1, 0, 0], 1001)


def test_confusion_matrix_counts_each_class_by_prediction():
    y = onp.array([0, 0, 0, 0, 1, 1, 2])
    y_hat = onp.array([0, 0, 0, 1, 1, 2, 2])
    assert env.confusion_matrix(y_hat, y, 3).tolist() == [
        [0.75, 0, 0], [0.25, 0.5, 0], [0, 0.5, 1]]
    with pytest.raises(ValueError, match='no validation data of class 3'):
        env.confusion_matrix(y_hat, y, 4)


def test_the_linear_system_gives_back_the_label_distribution():
    C = onp.array([[0.8, 0.1, 0.2], [0.1, 0.7, 0.2], [0.1, 0.2, 0.6]])
    q = onp.array([0.1, 0.2, 0.7])
    onp.testing.assert_allclose(
        env.estimate_label_distribution(C, C @ q), q, rtol=1e-12)
    p = env.estimate_label_distribution(C, onp.array([0.05, 0.9, 0.05]))
    assert p.min() == 0 and p.sum() == pytest.approx(1)  # was negative


def test_test_labels_are_estimated_through_a_poor_classifier():
    """A fixed rule of known errors: one label in five is taken for the next.

    The share of 20000 predictions has a standard error below 0.0036, and
    the inverse of C multiplies it by less than 2: 4 of them is 0.03.
    """
    rng = onp.random.default_rng(0)
    q = onp.array([0.7, 0.2, 0.1])

    def draw(distribution):
        y = rng.choice(3, 20000, p=distribution)
        y_hat = (y + (rng.random(20000) < 0.2)) % 3
        return onp.eye(3, dtype='float32')[y_hat], y

    X_valid, y_valid = draw(onp.full(3, 1 / 3))
    X_test, _ = draw(q)
    q_hat = env.estimate_test_labels(lambda X: X, X_valid, y_valid, X_test, 3)
    onp.testing.assert_allclose(q_hat, q, atol=0.03)
    assert abs(X_test.mean(axis=0) - q).max() > 0.1  # without C: far off


def test_label_weights_are_test_share_by_train_share():
    labels = onp.array([0, 0, 0, 1])
    weights = env.label_weights(labels, onp.array([0.5, 0.5])).asnumpy()
    onp.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2], rtol=1e-6)
    assert weights.dtype == onp.float32


@pytest.mark.parametrize('degrees, inside, outside', [
    (0, (0, 1), (0, -1)), (90, (-1, 0), (1, 0)), (180, (0, -1), (0, 1))])
def test_class_1_lies_above_the_line_that_turns(degrees, inside, outside):
    training.seed(0)
    X, y = env.concept_data(onp.radians(degrees), 2000)
    assert abs(X.mean(axis=0)).max() < 5 / 2000 ** 0.5  # at any angle
    inside, outside = (X.asnumpy() @ point > 0.01 for point in
                       (inside, outside))
    assert (y.asnumpy()[inside] == 1).all()
    assert (y.asnumpy()[outside] == 0).all()


def test_training_goes_on_from_the_weights_that_the_network_has():
    """Two times two epochs of full batches are four."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = env.concept_data(1, 30)
    nets = []
    for first in (2, 4):
        training.seed(0)
        nets.append(env.train_weighted(nn.Dense(2), X, y, np.ones(30), loss,
                                       first, 0.5, 30))
    env.train_on(nets[0], X, y, np.ones(30), loss, 2, 0.5, 30)
    a, b = (net.weight.data().asnumpy() for net in nets)
    onp.testing.assert_allclose(a, b, atol=1e-5)


def test_a_network_that_goes_on_training_follows_a_concept_shift():
    training.seed(0)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = env.concept_data(0, 1000)
    old, new = (env.train_weighted(nn.Dense(2), X, y, np.ones(1000), loss,
                                   5, 0.1, 100) for _ in range(2))
    for angle in onp.radians(range(0, 91, 10)):
        X_test, y_test = env.concept_data(angle, 1000)
        accs = [env.evaluate(net, X_test, y_test) for net in (old, new)]
        X, y = env.concept_data(angle, 50)
        env.train_on(new, X, y, np.ones(50), loss, 20, 0.1, 50)
    assert accs[0] < 0.6 and accs[1] > 0.75  # half of the labels are others


RECORD = """
import runpy, sys
from gluon_mlp import environment

def record(net, X, y, weights, loss, *settings):
    print('trained with', *settings)
    return train(net, X, y, weights, loss, *settings)

train, environment.train_weighted = environment.train_weighted, record
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.slow
@pytest.mark.mxnet
def test_the_options_reach_all_seven_trainings(real_data, tmp_path):
    """With --book-only: the section has no listings to end after."""
    done = subprocess.run(
        [sys.executable, '-c', RECORD, 'chapters/environment.py',
         '--book-only', '--num-epochs', '2', '--lr', '0.2', '--batch-size',
         '20', '--output', tmp_path], cwd=ROOT, text=True,
        capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('trained with 2 0.2 20\n') == 7
    assert done.stdout.count('trained with') == 7
    for kind in ('covariate', 'label'):
        assert f'{kind} shift, test acc: 0.' in done.stdout
    assert '\n      180    0.' in done.stdout
    for kind in ('covariate', 'label', 'concept'):
        assert (tmp_path / f'environment_{kind}_shift.png').exists()
