"""4.5 Weight decay."""
from time import perf_counter

import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from . import experiment
from .d2l.data import load_array, synthetic_data
from .d2l.plotting import Animator, Curve
from .d2l.training import Updater, evaluate_loss, linreg, sgd, squared_loss

npx.set_np()

n_train, n_test, num_inputs, batch_size = 20, 100, 200, 5
num_epochs, lr, lambd = 100, 0.003, 3


def load_data(n_train=n_train, n_test=n_test, num_inputs=num_inputs,
              batch_size=batch_size):
    """Draw y = 0.05 + sum of 0.01 x_i + noise of scale 0.01 (4.5).

    Returns the train and test iterators. Their batches are X (batch,
    num_inputs) and y (batch, 1), float32. With many more inputs than
    examples, a linear model overfits easily.
    """
    true_w, true_b = np.ones((num_inputs, 1)) * 0.01, 0.05
    train_data = synthetic_data(true_w, true_b, n_train)
    train_iter = load_array(train_data, batch_size)
    test_data = synthetic_data(true_w, true_b, n_test)
    return train_iter, load_array(test_data, batch_size, is_train=False)


def init_params(num_inputs):
    """Draw w (num_inputs, 1), standard normal, and make b (1,) zero (4.5)."""
    w = np.random.normal(scale=1, size=(num_inputs, 1))
    b = np.zeros(1)
    for param in (w, b):
        param.attach_grad()
    return w, b


def l2_penalty(w):
    """Half the squared L2 norm of `w`; its gradient is `w` (4.5)."""
    return (w ** 2).sum() / 2


def train(lambd, train_iter, test_iter, num_inputs=num_inputs,
          num_epochs=num_epochs, lr=lr, quiet=False):
    """Train from scratch on the loss plus `lambd` times the penalty (4.5).

    Returns the L2 norm of w and rows of epoch, mean train loss and mean test
    loss, for every 5th epoch and for the last. These losses leave out the
    penalty. With `quiet` nothing is plotted. Raises `NonFiniteLossError`.
    """
    w, b = init_params(num_inputs)
    updater = Updater([w, b], lr)

    def net(X):
        return linreg(X, w, b)

    def objective(y_hat, y):
        # The penalty is added to the loss of each example, because `sgd`
        # divides the gradient of their sum by the batch size.
        return squared_loss(y_hat, y) + lambd * l2_penalty(w)

    history = _train(net, objective, squared_loss, updater, train_iter,
                     test_iter, num_epochs, quiet)
    return float(np.linalg.norm(w)), history


def train_concise(wd, train_iter, test_iter, num_epochs=num_epochs, lr=lr,
                  quiet=False):
    """Train with Gluon's own weight decay `wd`; the bias has none (4.5).

    Returns and raises what `train` does.
    """
    net = nn.HybridSequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=1))
    loss = gluon.loss.L2Loss()
    for block in (net, loss):
        block.hybridize()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr, 'wd': wd})
    for param in net.collect_params('.*bias').values():
        param.wd_mult = 0  # Gluon decays this parameter by wd * wd_mult

    history = _train(net, loss, loss, trainer, train_iter, test_iter,
                     num_epochs, quiet)
    return float(np.linalg.norm(net[0].weight.data())), history


def time_trainings(train_iter, test_iter, num_epochs, repeats=7):
    """Milliseconds an epoch from scratch, concise, and with decay (4.5).

    Returns `repeats` numbers for each: from scratch with decay, concise
    without and with it. The three take turns, and no checkpoint keeps them.
    """
    trainings = [lambda: train(lambd, train_iter, test_iter,
                               num_epochs=num_epochs, quiet=True)]
    trainings += [lambda wd=wd: train_concise(wd, train_iter, test_iter,
                                              num_epochs, quiet=True)
                  for wd in (0, lambd)]
    times = onp.empty((len(trainings), repeats))
    with experiment.use(epochs=experiment.epochs):
        for i in onp.ndindex(repeats, len(trainings)):
            start = perf_counter()
            trainings[i[1]]()
            times[i[::-1]] = 1000 * (perf_counter() - start) / num_epochs
    return times


def decayed_step(w, grad, lr, lambd):
    """One step of SGD with the penalty: (1 - lr lambd) w - lr grad (4.5.1).

    `grad` is the gradient of the loss without the penalty. The factor before
    w shrinks the weight, which is why this is called weight decay.
    """
    return (1 - lr * lambd) * w - lr * grad


def largest_lambd(X, lr):
    """The lambd from which on training diverges, for inputs X (n, d) (4.5.1).

    A step multiplies w by I - lr (lambd I + X'X / n). It grows w once
    lr (lambd + mu) exceeds 2, where mu is the largest eigenvalue of X'X / n.
    """
    mu = onp.linalg.norm(X, 2) ** 2 / len(X)
    return float(2 / lr - mu)


def step_both_ways(w, X, y, lr, lambd):
    """Take one step by `sgd` on loss + penalty, and by `decayed_step`.

    w (d, 1) stays as it is; X (n, d), y (n, 1). Returns both new weights,
    which are equal up to the rounding of float32 (4.5.1).
    """
    w = w.copy()
    w.attach_grad()
    with autograd.record():
        l = squared_loss(linreg(X, w, 0), y)
    l.backward()
    by_formula = decayed_step(w, w.grad / len(X), lr, lambd)
    with autograd.record():
        l = squared_loss(linreg(X, w, 0), y) + lambd * l2_penalty(w)
    l.backward()
    sgd([w], lr, len(X))
    return w, by_formula


def tikhonov(X, y, lambd):
    """The w (d,) that minimizes mean (Xw - y)^2 / 2 + lambd ||w||^2 / 2.

    Solves (X'X / n + lambd I) w = X'y / n for NumPy arrays X (n, d), y (n,).
    For y (n, m), w is (d, m).
    """
    n, d = X.shape
    return onp.linalg.solve(X.T @ X / n + lambd * onp.eye(d), X.T @ y / n)


def noise_fitted(X, lambd, num_draws=50):
    """The capacity of linear regression on X (n, d), at most 1 (4.4).

    It is the share of the variance of labels that are nothing but noise
    which `tikhonov` fits. Returns this share and the mean norm of w.
    """
    y = onp.random.normal(size=(len(X), num_draws))
    w = tikhonov(X, y, lambd)
    return (1 - float(((X @ w - y) ** 2).sum() / (y ** 2).sum()),
            float(onp.linalg.norm(w, axis=0).mean()))


def train_with_input_noise(X, y, sigma, num_steps=20000, lr=0.05):
    """Linear regression with fresh noise of scale `sigma` on X in each step.

    Each step takes all of X (n, d) and y (n,), NumPy arrays. On average over
    the noise, the loss is that of `tikhonov` with lambd = sigma^2, since
    E((x + e)w - y)^2 = (xw - y)^2 + sigma^2 ||w||^2 (Bishop, 1995). The noise
    makes each w random, so the mean over the second half of the steps is
    returned.
    """
    X, y = (np.array(a, dtype='float32') for a in (X, y.reshape(-1, 1)))
    w, total = np.zeros((X.shape[1], 1)), np.zeros((X.shape[1], 1))
    w.attach_grad()
    for step in range(num_steps):
        noisy = X + np.random.normal(scale=sigma, size=X.shape)
        with autograd.record():
            l = squared_loss(linreg(noisy, w, 0), y)
        l.backward()
        sgd([w], lr, len(X))
        if step >= num_steps // 2:
            total += w
    return total.asnumpy()[:, 0] / (num_steps - num_steps // 2)


def _train(net, objective, loss, updater, train_iter, test_iter, num_epochs,
           quiet):
    """Minimize the `objective`, plot the `loss` and return its rows."""
    workers = experiment.current.workers
    history = Curve(None if quiet else Animator(
        xlabel='epochs', ylabel='loss', yscale='log',
        xlim=[min(5, num_epochs), num_epochs], legend=['train', 'test']))
    for epoch in experiment.current.epochs(num_epochs, history, updater):
        batches, step = workers.share(net, train_iter, updater)
        for X, y in batches:
            with autograd.record():
                l = objective(net(X), y)
            l.backward()
            step(X.shape[0])
        if epoch % 5 == 0 or epoch == num_epochs:
            history.append((epoch, evaluate_loss(net, train_iter, loss),
                            evaluate_loss(net, test_iter, loss)))
    return history
