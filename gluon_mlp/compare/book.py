"""The chapter in the book's own code: its package d2l, and Gluon's classes.

It stands beside our code as a control and as a rival. So it shares nothing
with it but the files of the data, and has constants of its own. A section
yields its trainings in the book's order, and draws what the book draws.

`python -m gluon_mlp.compare.book SECTION SEED [NUM_EPOCHS]` writes the arrays
of each training to standard output, in NumPy's format: `NAME/history`, and
`NAME/0`, `NAME/1` ... for the weights.
"""
import ctypes
import math
import os
import signal
import sys
from functools import partial
from typing import NamedTuple

import numpy as onp
import pandas as pd
from d2l import mxnet as d2l
from mxnet import autograd, gluon, init, np, npx, random
from mxnet.gluon import nn
from mxnet.gluon.data.vision import datasets

from ..files import cache_root

npx.set_np()


class Training(NamedTuple):
    """A training that has ended."""
    what: str      # its name within the section
    history: list  # rows of an epoch, and its losses or accuracies
    weights: list  # NumPy's arrays


def load_data_fashion_mnist():
    """The book's iterators over the files in the cache, of any edition."""
    datasets.download = lambda url, path, sha1_hash: os.path.join(
        path, url.rpartition('/')[2])
    return d2l.load_data_fashion_mnist(256)


def epoch_ch3(net, train_iter, test_iter, updater):
    """An epoch of `d2l.train_ch3`: the three numbers that it plots."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return (*d2l.train_epoch_ch3(net, train_iter, loss, updater),
            d2l.evaluate_accuracy(net, test_iter))


def _train_ch3(section, num_epochs=10):
    """4.2, 4.3 and 4.6: the `NETWORKS` of a section."""
    iters = load_data_fashion_mnist()
    for (slug, what), draw in NETWORKS.items():
        if slug == section:
            net, updater, params = draw()
            history = [(epoch, *epoch_ch3(net, *iters, updater))
                       for epoch in range(1, num_epochs + 1)]
            yield Training(what, history, _weights(params))


def _weights(params):
    """NumPy's copies of a list of arrays, or of a trainer's parameters."""
    if isinstance(params, gluon.Trainer):
        params = [param.data() for param in params._params]
    return [param.asnumpy() for param in params]


def _mlp_scratch():
    """4.2: the network, its updater, and its parameters."""
    W1 = np.random.normal(scale=0.01, size=(784, 256))
    W2 = np.random.normal(scale=0.01, size=(256, 10))
    params = _with_gradients(W1, np.zeros(256), W2, np.zeros(10))

    def net(X):
        W1, b1, W2, b2 = params
        H = np.maximum(np.dot(X.reshape((-1, 784)), W1) + b1, 0)
        return np.dot(H, W2) + b2
    return net, partial(d2l.sgd, params, 0.1), params


def _with_gradients(*params):
    for param in params:
        param.attach_grad()
    return params


def _mlp_concise():
    """4.3: the network, its trainer, and the same as its parameters."""
    return _concise(0.1, nn.Dense(256, activation='relu'), nn.Dense(10))


def _concise(lr, *layers):
    net = nn.Sequential()
    net.add(*layers)
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    return net, trainer, trainer


def _dropout_scratch():
    """4.6.4, after the book has tried dropout on a small array."""
    _drop(np.arange(16).reshape((2, 8)), 0.5)
    W1 = np.random.normal(scale=0.01, size=(784, 256))
    W2 = np.random.normal(scale=0.01, size=(256, 256))
    W3 = np.random.normal(scale=0.01, size=(256, 10))
    params = _with_gradients(W1, np.zeros(256), W2, np.zeros(256), W3,
                             np.zeros(10))

    def net(X):
        W1, b1, W2, b2, W3, b3 = params
        H1 = npx.relu(np.dot(X.reshape((-1, 784)), W1) + b1)
        H1 = _drop(H1, 0.2) if autograd.is_training() else H1
        H2 = npx.relu(np.dot(H1, W2) + b2)
        H2 = _drop(H2, 0.5) if autograd.is_training() else H2
        return np.dot(H2, W3) + b3
    return net, partial(d2l.sgd, params, 0.5), params


def _drop(X, p):
    mask = np.random.uniform(0, 1, X.shape) > p
    return mask.astype('float32') * X / (1.0 - p)


def _dropout_concise():
    """4.6.5."""
    return _concise(0.5, nn.Dense(256, activation='relu'), nn.Dropout(0.2),
                    nn.Dense(256, activation='relu'), nn.Dropout(0.5),
                    nn.Dense(10))


NETWORKS = {('mlp_scratch', 'scratch'): _mlp_scratch,
            ('mlp_concise', 'concise'): _mlp_concise,
            ('dropout', 'scratch'): _dropout_scratch,
            ('dropout', 'concise'): _dropout_concise}


def _train(net, loss, updater, train_iter, evaluate, kept):
    """Train up to the last epoch in `kept`, and evaluate after each."""
    history = []
    for epoch in range(1, max(kept) + 1):
        d2l.train_epoch_ch3(net, train_iter, loss, updater)
        if epoch in kept:
            history.append((epoch, *evaluate()))
    return history


def _losses(net, loss, *iters):
    return lambda: [d2l.evaluate_loss(net, data_iter, loss)
                    for data_iter in iters]


def _underfit_overfit(num_epochs=None):
    """4.4: polynomials of three degrees, fitted to one of degree 3."""
    true_w = np.zeros(20)
    true_w[:4] = np.array([5, 1.2, -3.4, 5.6])
    features = np.random.normal(size=(200, 1))
    np.random.shuffle(features)
    X = np.power(features, np.arange(20).reshape((1, -1)))
    for i in range(20):
        X[:, i] /= math.gamma(i + 1)
    y = np.dot(X, true_w)
    y += np.random.normal(scale=0.1, size=y.shape)
    for what, columns, epochs in (('normal', 4, 400), ('underfit', 2, 400),
                                  ('overfit', 20, 1500)):
        yield _polynomial(what, X[:, :columns], y, num_epochs or epochs)


def _polynomial(what, X, y, num_epochs):
    loss, net = gluon.loss.L2Loss(), nn.Sequential()
    net.add(nn.Dense(1, use_bias=False))
    net.initialize()
    train_iter = d2l.load_array((X[:100], y[:100]), 10)
    test_iter = d2l.load_array((X[100:], y[100:]), 10, is_train=False)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.01})
    history = _train(net, loss, trainer, train_iter,
                     _losses(net, loss, train_iter, test_iter),
                     {1, *range(20, num_epochs + 1, 20), num_epochs})
    return Training(what, history, _weights(trainer))


def _weight_decay(num_epochs=100):
    """4.5: from scratch and concise, without and with the penalty."""
    true_w, true_b = np.ones((200, 1)) * 0.01, 0.05
    train_data = d2l.synthetic_data(true_w, true_b, 20)
    test_data = d2l.synthetic_data(true_w, true_b, 100)
    train_iter = d2l.load_array(train_data, 5)
    test_iter = d2l.load_array(test_data, 5, is_train=False)
    for name, draw in (('scratch_lambd', _decayed_scratch),
                       ('concise_wd', _decayed_concise)):
        for lambd in (0, 3):
            net, loss, objective, updater, params = draw(lambd)
            history = _train(net, objective, updater, train_iter,
                             _losses(net, loss, train_iter, test_iter),
                             {*range(5, num_epochs + 1, 5), num_epochs})
            yield Training(f'{name}_{lambd}', history, _weights(params))


def _decayed_scratch(lambd):
    """The network, its loss, the one with penalty, updater, parameters."""
    w, b = params = _with_gradients(
        np.random.normal(scale=1, size=(200, 1)), np.zeros(1))

    def objective(y_hat, y):
        return d2l.squared_loss(y_hat, y) + lambd * (w ** 2).sum() / 2
    return (lambda X: d2l.linreg(X, w, b), d2l.squared_loss, objective,
            partial(d2l.sgd, params, 0.003), params)


def _decayed_concise(wd):
    net, loss = nn.Sequential(), gluon.loss.L2Loss()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=1))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.003, 'wd': wd})
    for param in net.collect_params('.*bias').values():
        param.wd_mult = 0
    return net, loss, loss, trainer, trainer


def _kaggle_house_price(num_epochs=100):
    """4.10: each of five folds left out, and then all the training data."""
    X, y = _houses()
    fold = onp.arange(len(X)) // (len(X) // 5)
    for i in range(5):
        yield _house_price(f'fold {i + 1}', [
            (X[fold != i], y[fold != i]), (X[fold == i], y[fold == i])
        ], num_epochs)
    yield _house_price('final', [(X, y)], num_epochs)


def _houses():
    """The features and the prices of the training data: NumPy's arrays."""
    path = str(cache_root() / 'kaggle_house' / 'kaggle_house_pred_{}.csv')
    train, test = (pd.read_csv(path.format(name), na_values=['NA'],
                               keep_default_na=False)
                   for name in ('train', 'test'))
    table = pd.concat([train.drop(columns=['Id', 'SalePrice']),
                       test.drop(columns='Id')])
    numeric = table.select_dtypes('number')
    table[numeric.columns] = ((numeric - numeric.mean()) / numeric.std()
                              ).fillna(0)
    table = pd.get_dummies(table, dummy_na=True, dtype=float)
    return (table.values[:len(train)].astype('float32'),
            train.SalePrice.values.reshape(-1, 1).astype('float32'))


def _house_price(what, parts, num_epochs):
    """Train on the first of the `parts` of the data; evaluate on each."""
    loss, net = gluon.loss.L2Loss(), nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize()
    parts = [(np.array(X), np.array(y)) for X, y in parts]
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': 5, 'wd': 0})

    def log_rmse(X, y):
        y_hat = np.clip(net(X), 1, float('inf'))
        return float(np.sqrt(2 * loss(np.log(y_hat), np.log(y)).mean()))
    history = _train(net, loss, lambda n: trainer.step(64),
                     d2l.load_array(parts[0], 64),
                     lambda: [log_rmse(X, y) for X, y in parts],
                     range(1, num_epochs + 1))
    return Training(what, history, _weights(trainer))


SECTIONS = {'mlp_scratch': partial(_train_ch3, 'mlp_scratch'),
            'mlp_concise': partial(_train_ch3, 'mlp_concise'),
            'underfit_overfit': _underfit_overfit,
            'weight_decay': _weight_decay,
            'dropout': partial(_train_ch3, 'dropout'),
            'kaggle_house_price': _kaggle_house_price}


def trainings(section, seed, num_epochs=None):
    """Yield each `Training` of a section.

    Each has as many epochs as in the book, or `num_epochs`.
    """
    random.seed(seed)
    onp.random.seed(seed)
    yield from SECTIONS[section](*([num_epochs] if num_epochs else []))


def main(section, seed, num_epochs=0):
    """Write the arrays of all trainings; end when the parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    arrays = {}
    for what, history, weights in trainings(section, int(seed),
                                            int(num_epochs)):
        arrays[f'{what}/history'] = onp.array(history, dtype=float)
        arrays.update((f'{what}/{i}', a) for i, a in enumerate(weights))
    onp.savez(sys.stdout.buffer, **arrays)


if __name__ == '__main__':
    main(*sys.argv[1:])
