"""Tests of section 4.5, weight decay."""
import re

import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import numpy as onp
import pytest
from gluon_mlp import weight_decay
from gluon_mlp.d2l import training
from gluon_mlp.errors import NonFiniteLossError
from mxnet import autograd, gluon, np

EPS = 2.0 ** -23  # spacing of float32 at 1
LR, LAMBD = 0.003, 3


@pytest.fixture
def batch():
    """Four examples of three inputs, float32 in NumPy."""
    rng = onp.random.default_rng(1)
    return (rng.normal(size=(4, 3)).astype('float32'),
            rng.normal(size=(4, 1)).astype('float32'))


@pytest.fixture
def start():
    """A weight (3, 1) and a bias so far from zero that decay would show."""
    return (onp.array([[0.5], [-2], [1]], 'float32'),
            onp.array([4], 'float32'))


def scratch_params(monkeypatch, start):
    """Let `train` begin at `start`. Returns the arrays that it updates."""
    w, b = (np.array(a) for a in start)
    for param in (w, b):
        param.attach_grad()
    monkeypatch.setattr(weight_decay, 'init_params', lambda n: (w, b))
    return w, b


def concise_params(monkeypatch, start):
    """Let `train_concise` begin at `start`. Returns a list, which will hold
    the parameters that it updates."""
    kept, real_trainer = [], gluon.Trainer

    def trainer(params, *args):
        net_params = list(params.values())
        for param, value in zip(net_params, start):
            param.shape = value.T.shape
            param._finish_deferred_init()
            param.set_data(np.array(value.T))
        kept.extend(net_params)
        return real_trainer(params, *args)

    monkeypatch.setattr(weight_decay.gluon, 'Trainer', trainer)
    return kept


def decayed_step(w, b, X, y):
    """One step in float64, by the formula that decays w and not b."""
    w, b, X, y = (a.astype('float64') for a in (w, b, X, y))
    error = X @ w + b - y
    return ((1 - LR * LAMBD) * w - LR * X.T @ error / len(y),
            b - LR * error.mean(axis=0))


def test_l2_penalty_is_half_the_squared_norm_and_its_gradient_is_w():
    w = np.array([[3.0], [-4.0], [0.5]])
    w.attach_grad()
    with autograd.record():
        penalty = weight_decay.l2_penalty(w)
    penalty.backward()
    assert float(penalty) == (9 + 16 + 0.25) / 2
    assert (w.grad == w).all()


def test_a_step_from_scratch_shrinks_w_and_not_b(monkeypatch, batch, start):
    w, b = scratch_params(monkeypatch, start)
    data_iter = [tuple(np.array(a) for a in batch)]
    weight_decay.train(LAMBD, data_iter, data_iter, 3, num_epochs=1, lr=LR)
    new_w, new_b = decayed_step(*start, *batch)
    # Numbers below 4 are rounded by 2 EPS, a few times.
    onp.testing.assert_allclose(w.asnumpy(), new_w, rtol=0, atol=8 * EPS)
    onp.testing.assert_allclose(b.asnumpy(), new_b, rtol=0, atol=8 * EPS)


def test_a_concise_step_shrinks_w_and_not_b(monkeypatch, batch, start):
    params = concise_params(monkeypatch, start)
    data_iter = [tuple(np.array(a) for a in batch)]
    norm, _ = weight_decay.train_concise(LAMBD, data_iter, data_iter,
                                         num_epochs=1, lr=LR)
    weight, bias = params
    new_w, new_b = decayed_step(*start, *batch)
    onp.testing.assert_allclose(weight.data().asnumpy().T, new_w, rtol=0,
                                atol=8 * EPS)
    onp.testing.assert_allclose(bias.data().asnumpy(), new_b, rtol=0,
                                atol=8 * EPS)
    assert norm == pytest.approx(onp.linalg.norm(new_w), rel=4 * EPS)


def test_scratch_and_concise_from_the_same_start_end_alike(monkeypatch,
                                                           start):
    training.seed(1)
    train_iter, test_iter = weight_decay.load_data(num_inputs=3)
    w, b = scratch_params(monkeypatch, start)
    onp.random.seed(2)
    norm, history = weight_decay.train(LAMBD, train_iter, test_iter, 3,
                                       num_epochs=11)
    params = concise_params(monkeypatch, start)
    onp.random.seed(2)  # the same batches
    norm_concise, history_concise = weight_decay.train_concise(
        LAMBD, train_iter, test_iter, num_epochs=11)
    # Each of the 44 steps shrinks what was rounded before, so the roundings
    # add up to 44 at most, of numbers below 4.
    onp.testing.assert_allclose(params[0].data().asnumpy().T, w.asnumpy(),
                                rtol=0, atol=44 * 2 * EPS)
    assert norm == pytest.approx(norm_concise, abs=44 * 2 * EPS)
    assert [row[0] for row in history] == [5, 10, 11]
    onp.testing.assert_allclose(history, history_concise, rtol=1e-4)


def test_trainings_that_are_timed_draw_nothing(monkeypatch):
    """A notebook would show each of them, and the time would be the plot's.
    """
    monkeypatch.setattr(weight_decay, 'Animator', None)
    train_iter, test_iter = weight_decay.load_data()
    times = weight_decay.time_trainings(train_iter, test_iter, 1, repeats=2)
    assert times.shape == (3, 2) and (times > 0).all()


def test_data_are_the_linear_function_with_small_noise():
    training.seed(0)
    train_iter, test_iter = weight_decay.load_data(n_train=7, batch_size=5)
    assert [X.shape for X, _ in train_iter] == [(5, 200), (2, 200)]
    X, y = (onp.concatenate([batch[i].asnumpy() for batch in test_iter])
            for i in (0, 1))
    assert X.shape == (100, 200) and y.shape == (100, 1)
    noise = y - 0.01 * X.sum(axis=1, keepdims=True) - 0.05
    # The standard deviation of 100 normal draws of scale 0.01 has a standard
    # error of 0.01 / sqrt(200). Five of them are allowed.
    assert noise.std() == pytest.approx(0.01, abs=5 * 0.01 / 200 ** 0.5)


def test_divergence_is_named(batch):
    data_iter = [tuple(np.array(a) for a in batch)]
    with pytest.raises(NonFiniteLossError, match='in epoch 5: try a lower'):
        weight_decay.train(3, data_iter, data_iter, 3, num_epochs=9, lr=1e20)


@pytest.mark.mxnet
@pytest.mark.slow
def test_the_norms_are_the_published_ones():
    training.seed(0)
    train_iter, test_iter = weight_decay.load_data()
    data_iters = train_iter, test_iter
    norms, histories = zip(
        weight_decay.train(0, *data_iters, 200),
        weight_decay.train(3, *data_iters, 200),
        weight_decay.train_concise(0, *data_iters),
        weight_decay.train_concise(3, *data_iters))
    # d2l-zh, MXNet, 2022: 13.259393, 0.38249096, 15.01407, 0.33991298
    assert [f'{norm:.4f}' for norm in norms] == ['13.2594', '0.3825',
                                                 '15.0141', '0.3399']
    # The test losses of the last epoch, read from the book's figures. The
    # book did not seed its shuffle.
    assert [history[-1][0] for history in histories] == [100] * 4
    assert [history[-1][2] for history in histories] == pytest.approx(
        [60.2215, 0.0950164, 94.6468, 0.0735612], rel=2e-3)


def test_the_script_runs(run_script, tmp_path):
    done = run_script('weight_decay', '--num-epochs', 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('L2 norm of w: ') == 4
    assert len(re.findall(r'wd = 3  .*\d+\.\d\d \(', done.stdout)) == 1
    least_squares, penalty, noise = [
        onp.fromstring(line.split('[')[1].rstrip(']'), sep=' ') for line in
        done.stdout.splitlines() if line.endswith(']')]
    assert abs(penalty - noise).max() < 0.05
    assert abs(least_squares - noise).max() > 0.05
    largest, difference = map(float, re.findall(
        r'w up to ([\d.]+), they differ by at most ([-.\de]+)', done.stdout
    )[0])
    assert 0 <= difference <= 4 * EPS * largest
    assert done.stderr == ''
    assert {path.name for path in (tmp_path / 'figures').iterdir()} == {
        f'weight_decay_{name}_{decay}.png'
        for name in ('scratch', 'concise') for decay in (0, 3)}


@pytest.mark.parametrize('factor, grows', [(0.99, False), (1.01, True)])
def test_the_steps_diverge_from_the_largest_lambd_on(factor, grows):
    """Also with batches of 5, for which the bound is not exact."""
    training.seed(0)
    train_iter, _ = weight_decay.load_data()
    X = train_iter.first(20)[0].asnumpy().astype('float64')
    lambd = factor * weight_decay.largest_lambd(X, LR)
    w = onp.random.normal(size=200)
    for _ in range(100):
        for rows in onp.random.permutation(20).reshape(-1, 5):
            grad = X[rows].T @ (X[rows] @ w) / 5
            w = weight_decay.decayed_step(w, grad, LR, lambd)
    assert (onp.linalg.norm(w) > 14) == grows  # it starts at 14


@pytest.mark.parametrize('lambd', [0.5, 20])
def test_the_share_of_noise_that_is_fitted_is_that_of_the_eigenvalues(lambd):
    """1 - mean((lambd / (mu + lambd))^2), for the eigenvalues of XX' / n."""
    X = onp.random.default_rng(0).normal(size=(20, 200))
    mu = onp.linalg.eigvalsh(X @ X.T / 20)
    share, norm = weight_decay.noise_fitted(X, lambd, 20000)
    assert share == pytest.approx(
        1 - ((lambd / (mu + lambd)) ** 2).mean(), abs=0.01)
    assert norm ** 2 == pytest.approx((mu / (mu + lambd) ** 2).sum() / 20,
                                      rel=0.1)


def test_the_penalized_step_is_the_decayed_step_to_rounding():
    """Both results of `step_both_ways` are those of the formula in float64.

    `unit` bounds one relative rounding. The bound adds up the roundings of
    the last subtraction, of the four products of the decay, and of the sum
    over the batch, whose terms contain the rounded errors.
    """
    training.seed(0)
    d, n, unit = 20, 5, EPS / 2
    X, y = np.random.normal(size=(n, d)), np.random.normal(size=(n, 1))
    start = np.random.normal(size=(d, 1))
    w64, X64, y64 = (a.asnumpy().astype(float) for a in (start, X, y))
    w, by_formula = weight_decay.step_both_ways(start, X, y, LR, LAMBD)
    error = X64 @ w64 - y64
    want = weight_decay.decayed_step(w64, X64.T @ error / n, LR, LAMBD)
    terms = abs(X64) @ abs(w64) + abs(y64)
    bound = unit * (abs(want) + 8 * LR * LAMBD * abs(w64) + LR / n * (
        abs(X64.T) @ ((d + 2) * terms + (n + 6) * abs(error))))
    assert (abs(w.asnumpy() - want) <= bound).all()
    assert (abs(by_formula.asnumpy() - want) <= bound).all()
    assert (start.asnumpy() == w64).all()
    assert (bound < 4 * unit * (abs(w64) + 1)).all()  # the last bit or two
    assert (abs(w.asnumpy() - w64) > 100 * bound).any()  # w has moved


def noisy_regression():
    rng = onp.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=40)


def test_tikhonov_is_least_squares_of_data_with_the_penalty_as_rows():
    X, y = noisy_regression()
    n, lambd = len(X), 0.3
    rows = onp.vstack([X, (n * lambd) ** 0.5 * onp.eye(3)])
    want = onp.linalg.lstsq(rows, onp.append(y, [0, 0, 0]), rcond=None)[0]
    onp.testing.assert_allclose(weight_decay.tikhonov(X, y, lambd), want,
                                rtol=1e-10)


def test_input_noise_is_tikhonov_in_closed_form():
    """Least squares on many noisy copies of the data is close to the
    expectation; the error is about 1 / sqrt(40 * 5000)."""
    X, y = noisy_regression()
    rng, sigma = onp.random.default_rng(1), 0.6
    copies = onp.tile(X, (5000, 1))
    copies += sigma * rng.normal(size=copies.shape)
    w = onp.linalg.lstsq(copies, onp.tile(y, 5000), rcond=None)[0]
    want = weight_decay.tikhonov(X, y, sigma ** 2)
    onp.testing.assert_allclose(w, want, atol=0.02)
    assert abs(w - weight_decay.tikhonov(X, y, 0)).max() > 0.2


def test_training_with_input_noise_finds_the_tikhonov_solution():
    X, y = noisy_regression()
    training.seed(0)
    w = weight_decay.train_with_input_noise(X, y, 0.6, num_steps=2000)
    onp.testing.assert_allclose(w, weight_decay.tikhonov(X, y, 0.36),
                                atol=0.05)
    assert abs(w - weight_decay.tikhonov(X, y, 0)).max() > 0.2
