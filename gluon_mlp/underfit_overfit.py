"""4.4 Model selection, underfitting and overfitting."""
import math

import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from .d2l.data import load_array
from .d2l.plot import Animator
from .d2l.training import check_finite, evaluate_loss
from .run import checkpoint

npx.set_np()

TRUE_W = (5, 1.2, -3.4, 5.6)  # y = 5 + 1.2x - 3.4x^2/2! + 5.6x^3/3! + noise


def get_data(num_examples=200, max_degree=20):
    """Draw the examples of the cubic polynomial `TRUE_W` (4.4).

    Returns features (n, 1), standard normal; poly_features (n, max_degree),
    x^i / i! for i from 0; labels (n,), with noise of scale 0.1. All float32.
    `max_degree`, the number of powers, is 4 or more.
    """
    features = np.random.normal(size=(num_examples, 1))
    np.random.shuffle(features)
    poly_features = np.power(features, np.arange(max_degree).reshape(1, -1))
    for i in range(max_degree):
        poly_features[:, i] /= math.gamma(i + 1)  # i!, keeps x^i small
    labels = np.dot(poly_features[:, :len(TRUE_W)], np.array(TRUE_W))
    labels += np.random.normal(scale=0.1, size=labels.shape)
    return features, poly_features, labels


def train(train_features, test_features, train_labels, test_labels,
          num_epochs=400, lr=0.01, batch_size=10):
    """Linear regression of the labels (n,) on features (n, d) by SGD (4.4).

    Returns the weight (d,) as a NumPy array, and of the first epoch, every
    20th and the last (epoch, mean train loss, mean test loss). Raises
    `NonFiniteLossError`.
    """
    loss = gluon.loss.L2Loss()
    net = nn.HybridSequential()
    # No bias: the polynomial's column of ones stands for it.
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
    """Train for `num_epochs`; plot and return the losses."""
    animator = Animator(xlabel='epoch', ylabel='loss', yscale='log',
                        xlim=[1, num_epochs], ylim=[1e-3, 1e2],
                        legend=['train', 'test'])
    history = []

    def record(row):
        history.append(row)
        animator.add(row[0], row[1:])

    for epoch in checkpoint.epochs(num_epochs, history, record, trainer):
        for X, y in train_iter:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(X.shape[0])
        if epoch == 1 or epoch % 20 == 0 or epoch == num_epochs:
            losses = [evaluate_loss(net, data_iter, loss)
                      for data_iter in (train_iter, test_iter)]
            check_finite(losses[0], epoch)
            record((epoch, *losses))
    return history


def least_squares(X, y):
    """The weight (d,) of the least mean loss on X (n, d) and y (n,).

    Where SGD would end after endless epochs, and at once, so that many fits
    can be compared. In NumPy and float64: x^i / i! is tiny for a large i.
    """
    X, y = onp.asarray(X, 'float64'), onp.asarray(y, 'float64')
    # rcond=0 drops no direction, however flat the loss is along it.
    return onp.linalg.lstsq(X, y, rcond=0)[0]


def mean_loss(w, X, y):
    """Half the mean squared error of X (n, d) times w (d,) against y (n,)."""
    error = onp.asarray(X, 'float64') @ w - onp.asarray(y, 'float64')
    return float((error ** 2).mean() / 2)


def get_k_fold_data(k, i, X, y):
    """Split off fold `i` of `k`, consecutive rows, for validation (4.10).

    NumPy's arrays or MXNet's. Returns X_train, y_train, X_valid, y_valid.
    Every row is in one fold, whose sizes differ by one at most: the book's
    folds, and where `k` does not divide the rows, those that it leaves out,
    too. Raises `ValueError` unless there are 2 folds or more with an example
    each, and `i` is one of them.
    """
    if not 2 <= k <= len(X):
        raise ValueError(f'{len(X)} examples cannot make {k} folds')
    if not 0 <= i < k:
        raise ValueError(f'no fold {i} among {k}, numbered from 0')
    start, stop = len(X) * i // k, len(X) * (i + 1) // k
    X_train, y_train = (onp.concatenate([a[:start], a[stop:]])
                        for a in (X, y))
    return X_train, y_train, X[start:stop], y[start:stop]


def k_fold(k, X, y, fit=least_squares):
    """The mean training and validation loss of `k` fits to NumPy arrays.

    Each trains on k - 1 folds, `fit(X, y)` giving its weight (d,), and is
    validated on the one left out (4.4). Raises what `get_k_fold_data` does.
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
    """Choose the degree of the polynomial by `k`-fold cross-validation.

    Returns the degree of the least validation loss and, for each degree
    from 0 that `poly_features` (n, max_degree) allows, (degree, training
    loss, validation loss) (4.4).
    """
    X, y = poly_features.asnumpy(), labels.asnumpy()
    rows = [(degree, *k_fold(k, X[:, :degree + 1], y))
            for degree in range(X.shape[1])]
    return min(rows, key=lambda row: row[2])[0], rows


def learning_curve(sizes, degree=3, num_draws=50, n_test=10000):
    """The training and generalization error by number of examples (4.4).

    Returns (n, training error, generalization error) for each n in `sizes`:
    medians over `num_draws` data sets, as a mean over few examples is ruled
    by rare bad draws. `n_test` other examples stand for infinitely many.
    """
    rows = []
    for n in sizes:
        _, X, y = (a.asnumpy() for a in get_data(
            n_test + num_draws * n, max(degree + 1, len(TRUE_W))))
        X = X[:, :degree + 1]
        losses = []
        for start in range(n_test, len(y), n):
            data = X[start:start + n], y[start:start + n]
            w = least_squares(*data)
            losses.append((mean_loss(w, *data),
                           mean_loss(w, X[:n_test], y[:n_test])))
        rows.append((n, *onp.median(losses, axis=0).tolist()))
    return rows
