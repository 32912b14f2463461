"""4.5 Weight decay."""
from functools import partial

import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from .d2l.data import load_array, synthetic_data
from .d2l.plot import Animator
from .d2l.training import (
    check_finite,
    evaluate_loss,
    linreg,
    sgd,
    squared_loss,
)
from .run import checkpoint

npx.set_np()


def load_data(n_train=20, n_test=100, num_inputs=200, batch_size=5):
    """Draw y = 0.05 + sum of 0.01 x_i + noise of scale 0.01 (4.5).

    Returns the train and test iterators: X float32 (batch, num_inputs),
    y (batch, 1). So few examples for so many inputs make overfitting easy.
    """
    true_w, true_b = np.ones((num_inputs, 1)) * 0.01, 0.05
    train_data = synthetic_data(true_w, true_b, n_train)
    train_iter = load_array(train_data, batch_size)
    test_data = synthetic_data(true_w, true_b, n_test)
    return train_iter, load_array(test_data, batch_size, is_train=False)


def init_params(num_inputs):
    """Draw w (num_inputs, 1), standard normal; b (1,) is zero (4.5)."""
    w = np.random.normal(scale=1, size=(num_inputs, 1))
    b = np.zeros(1)
    for param in (w, b):
        param.attach_grad()
    return w, b


def l2_penalty(w):
    """Half the squared L2 norm of `w`, whose gradient is `w` (4.5)."""
    return (w ** 2).sum() / 2


def train(lambd, train_iter, test_iter, num_inputs, num_epochs=100, lr=0.003):
    """Train by hand, the loss plus `lambd` times the L2 penalty (4.5).

    Returns the L2 norm of w, and of every 5th epoch and the last
    (epoch, mean train loss, mean test loss), both without the penalty.
    Raises `NonFiniteLossError`.
    """
    w, b = init_params(num_inputs)
    updater = partial(sgd, [w, b], lr)

    def net(X):
        return linreg(X, w, b)

    def update(X, y):
        with autograd.record():
            # The penalty, a number, is added to the loss of each example:
            # `sgd` divides the gradient of their sum by the batch size.
            l = squared_loss(net(X), y) + lambd * l2_penalty(w)
        l.backward()
        updater(X.shape[0])

    history = _train(net, squared_loss, update, updater, train_iter,
                     test_iter, num_epochs)
    return float(np.linalg.norm(w)), history


def train_concise(wd, train_iter, test_iter, num_epochs=100, lr=0.003):
    """Train with Gluon's own weight decay `wd`, the bias not decayed (4.5).

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
        param.wd_mult = 0  # this parameter's own factor of `wd`

    def update(X, y):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(X.shape[0])

    history = _train(net, loss, update, trainer, train_iter, test_iter,
                     num_epochs)
    return float(np.linalg.norm(net[0].weight.data())), history


def decayed_step(w, grad, lr, lambd):
    """The step on loss and penalty in one formula (4.5.1).

    (1 - lr lambd) w - lr grad, `grad` being the gradient of the loss alone:
    the weight decays first, hence the name.
    """
    return (1 - lr * lambd) * w - lr * grad


def step_both_ways(w, X, y, lr, lambd):
    """Two new w after one step: `sgd` on loss + penalty, and `decayed_step`.

    w (d, 1), left as it is; X (n, d), y (n, 1). They are equal to the
    rounding of float32 (4.5.1).
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

    NumPy arrays X (n, d), y (n,): solves (X'X / n + lambd I) w = X'y / n.
    """
    n, d = X.shape
    return onp.linalg.solve(X.T @ X / n + lambd * onp.eye(d), X.T @ y / n)


def train_with_input_noise(X, y, sigma, num_steps=20000, lr=0.05):
    """Linear regression, fresh noise of scale `sigma` on X each step.

    NumPy arrays X (n, d), y (n,), all of them in each step. The mean loss
    over the noise is that of `tikhonov` with lambd = sigma^2 (Bishop, 1995):
    E((x + e)w - y)^2 = (xw - y)^2 + sigma^2 ||w||^2. Returns the mean of w
    over the second half of the steps, as each single w is random.
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


def _train(net, loss, update, updater, train_iter, test_iter, num_epochs):
    """Call `update(X, y)` for each batch; plot and return the losses.

    `updater` is what `update` steps with.
    """
    animator = Animator(xlabel='epochs', ylabel='loss', yscale='log',
                        xlim=[min(5, num_epochs), num_epochs],
                        legend=['train', 'test'])
    history = []

    def record(row):
        history.append(row)
        animator.add(row[0], row[1:])

    for epoch in checkpoint.epochs(num_epochs, history, record, updater):
        for X, y in train_iter:
            update(X, y)
        if epoch % 5 == 0 or epoch == num_epochs:
            losses = [evaluate_loss(net, data_iter, loss)
                      for data_iter in (train_iter, test_iter)]
            check_finite(losses[0], epoch)
            record((epoch, *losses))
    return history
