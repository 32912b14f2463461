"""4.4 Model selection, underfitting and overfitting."""
import math

import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from . import experiment
from .d2l.data import load_array
from .d2l.plotting import Animator, Curve
from .d2l.training import (
    evaluate_accuracy,
    evaluate_loss,
    train_epoch_ch3,
)
from .kaggle_house_price import get_k_fold_data

npx.set_np()

max_degree, n_train, n_test = 20, 100, 100
true_w = (5, 1.2, -3.4, 5.6)  # y = 5 + 1.2x - 3.4x^2/2! + 5.6x^3/3! + noise
num_epochs, num_epochs_overfit, lr, batch_size = 400, 1500, 0.01, 10


def get_data(num_examples=n_train + n_test, max_degree=max_degree):
    """Draw the examples of the cubic polynomial `true_w` (4.4).

    Returns features (n, 1), standard normal; poly_features (n, max_degree),
    which are x^i / i! from i = 0; and labels (n,) with noise of scale 0.1.
    All are float32. `max_degree` is the number of powers, at least 4.
    """
    features = np.random.normal(size=(num_examples, 1))
    np.random.shuffle(features)
    poly_features = np.power(features, np.arange(max_degree).reshape(1, -1))
    for i in range(max_degree):
        poly_features[:, i] /= math.gamma(i + 1)  # i! keeps x^i small
    labels = np.dot(poly_features[:, :len(true_w)], np.array(true_w))
    labels += np.random.normal(scale=0.1, size=labels.shape)
    return features, poly_features, labels


def train(train_features, test_features, train_labels, test_labels,
          num_epochs=num_epochs, lr=lr, batch_size=batch_size):
    """Fit labels (n,) to features (n, d) by linear regression (4.4).

    Trains by SGD. Returns the weight (d,), a NumPy array, and rows of epoch,
    mean train loss and mean test loss: for the first epoch, for every 20th
    and for the last. Raises `NonFiniteLossError`.
    """
    loss = gluon.loss.L2Loss()
    net = nn.HybridSequential()
    # No bias, because the first feature is 1.
    net.add(nn.Dense(1, use_bias=False))
    net.initialize()
    for block in (net, loss):
        block.hybridize()
    batch_size = min(batch_size, len(train_labels))
    train_iter = load_array((train_features, train_labels), batch_size)
    test_iter = load_array((test_features, test_labels), batch_size,
                           is_train=False)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    history = _train(net, loss, trainer, train_iter, test_iter, num_epochs)
    return net[0].weight.data().asnumpy()[0], history


def _train(net, loss, trainer, train_iter, test_iter, num_epochs):
    """Train for `num_epochs`, plot the losses and return their rows."""
    workers = experiment.current.workers
    history = Curve(Animator(xlabel='epoch', ylabel='loss', yscale='log',
                             xlim=[1, num_epochs], ylim=[1e-3, 1e2],
                             legend=['train', 'test']))
    for epoch in experiment.current.epochs(num_epochs, history, trainer):
        batches, step = workers.share(net, train_iter, trainer)
        for X, y in batches:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            step(X.shape[0])
        if epoch == 1 or epoch % 20 == 0 or epoch == num_epochs:
            history.append((epoch, evaluate_loss(net, train_iter, loss),
                            evaluate_loss(net, test_iter, loss)))
    return history


def least_squares(X, y):
    """The weight (d,) that minimizes the mean loss on X (n, d) and y (n,).

    This is the exact minimizer, which SGD approaches only in the limit. It
    is computed in float64, because x^i / i! is tiny for a large i.
    """
    X, y = onp.asarray(X, 'float64'), onp.asarray(y, 'float64')
    # With rcond=0 no direction is dropped, however flat the loss is there.
    return onp.linalg.lstsq(X, y, rcond=0)[0]


def mean_loss(w, X, y):
    """Half the mean squared error of Xw, for X (n, d), w (d,) and y (n,)."""
    error = onp.asarray(X, 'float64') @ w - onp.asarray(y, 'float64')
    return float((error ** 2).mean() / 2)


def k_fold(k, X, y, fit=least_squares):
    """The mean training and validation loss over `k` folds (4.4).

    For each fold `fit(X, y)` gives the weight (d,) from the other k - 1
    folds. X and y are NumPy arrays. Raises what `get_k_fold_data` raises.
    """
    losses = []
    for i in range(k):
        X_train, y_train, X_valid, y_valid = get_k_fold_data(k, i, X, y)
        w = fit(X_train, y_train)
        losses.append((mean_loss(w, X_train, y_train),
                       mean_loss(w, X_valid, y_valid)))
    train_loss, valid_loss = onp.mean(losses, axis=0).tolist()
    return train_loss, valid_loss


def choose_degree(k, poly_features, labels):
    """Choose the polynomial's degree by `k`-fold cross-validation (4.4).

    Returns the degree with the smallest validation loss, and a row of degree,
    training loss and validation loss for each degree from 0 to the largest
    one in `poly_features` (n, max_degree).
    """
    X, y = poly_features.asnumpy(), labels.asnumpy()
    rows = [(degree, *k_fold(k, X[:, :degree + 1], y))
            for degree in range(X.shape[1])]
    return min(rows, key=lambda row: row[2])[0], rows


def learning_curve(sizes, degree=3, num_draws=50, n_test=10000):
    """Training and generalization error by the number of examples (4.4).

    Returns a row of n, training error and generalization error for each n in
    `sizes`. The errors are medians over `num_draws` data sets: with few
    examples, rare bad draws dominate the mean. The generalization error is
    measured on `n_test` other examples.
    """
    rows = []
    for n in sizes:
        _, X, y = (a.asnumpy() for a in get_data(
            n_test + num_draws * n, max(degree + 1, len(true_w))))
        X = X[:, :degree + 1]
        losses = []
        for start in range(n_test, len(y), n):
            data = X[start:start + n], y[start:start + n]
            w = least_squares(*data)
            losses.append((mean_loss(w, *data),
                           mean_loss(w, X[:n_test], y[:n_test])))
        rows.append((n, *onp.median(losses, axis=0).tolist()))
    return rows


def fit_draws(degrees, x, num_examples=50, noise=3.0, num_draws=100):
    """Exact fits to the same inputs with other noise in each draw (4.6.1).

    Returns the true polynomial at `x` (m,), and for each of the `degrees`
    an array of fits there (num_draws, m). The inputs are drawn as by
    `get_data`, and `noise` is the scale of the labels' noise.
    """
    most = max(*degrees, len(true_w) - 1)
    _, X, _ = get_data(num_examples, most + 1)
    X = X.asnumpy().astype('float64')
    powers = onp.stack([x ** i / math.gamma(i + 1)
                        for i in range(most + 1)], axis=1)
    true_y, y = (a[:, :len(true_w)] @ true_w for a in (powers, X))
    labels = y + noise * onp.random.normal(size=(num_draws, num_examples))
    return true_y, [(powers[:, :d + 1] @ least_squares(X[:, :d + 1],
                                                       labels.T)).T
                    for d in degrees]


def bias_and_variance(true_y, fits):
    """Squared bias and variance of fits, as means over their x (4.6.1).

    The bias is how far the mean of the fits (n, m) is from `true_y` (m,),
    and the variance is that of the fits about their mean.
    """
    bias = fits.mean(axis=0) - true_y
    return float((bias ** 2).mean()), float(fits.var(axis=0).mean())


def by_num_images(get_net, data, sizes, num_steps=1000, batch_size=64):
    """The test accuracy of a network after training on n images (4.4).

    Returns one for each n in `sizes`. `get_net` makes the network, which
    Adam trains for `num_steps`, and `data` comes from `fashion_mnist.load`.
    """
    loss, accs = gluon.loss.SoftmaxCrossEntropyLoss(), []
    test_iter = load_array((data.test_images, data.test_labels), 1000, False)
    for n in sizes:
        net = get_net()
        net.initialize(init.Xavier())
        train_iter = load_array((data.train_images[:n],
                                 data.train_labels[:n]), min(batch_size, n))
        trainer = gluon.Trainer(net.collect_params(), 'adam',
                                {'learning_rate': 1e-3})
        for _ in experiment.progress(-(-num_steps // len(train_iter))):
            train_epoch_ch3(net, train_iter, loss, trainer)
        accs.append(evaluate_accuracy(net, test_iter))
    return accs
