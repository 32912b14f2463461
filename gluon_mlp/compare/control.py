"""The book's own loop beside ours: a control without any published number.

`d2l.train_ch3` of the installed package trains the networks of 4.2, 4.3 and
4.6 as the book writes them, from the same start and on the same batches as
our functions do. A difference from the published curves that it shares with
ours is the data's or the shuffle's, not the port's.
"""
import contextlib
import io

import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from .. import dropout, mlp_concise, mlp_scratch
from ..d2l import data, plot, training
from .rows import Control

npx.set_np()

# Each number is rounded to float32 at each step. Ours does the same
# operations in the same order, unless it is made faster: then the roundings
# of an epoch's 235 steps add up, at most.
STEPS = 235


def control(section, what, num_epochs):
    """Train both ways for `num_epochs`; how far they differ, a `Control`."""
    ours, book = PAIRS[section, what]
    with contextlib.redirect_stdout(io.StringIO()):
        our_history, our_weights = _train(ours, num_epochs, training.train_ch3)
        book_history, weights = _train(book, num_epochs, _book_train_ch3)
    plot.plt.close('all')
    history = onp.abs(onp.array(our_history) / onp.array(book_history) - 1)
    differences = [onp.abs(a - b).max() / onp.abs(b).max()
                   for a, b in zip(our_weights, weights)]
    return Control(section, what, num_epochs, float(history.max()),
                   float(max(differences)),
                   float(onp.finfo('float32').eps) * STEPS * num_epochs)


def _train(start, num_epochs, train_ch3):
    """Train what `start` draws; the history and the weights."""
    training.seed(0)
    net, updater, weights = start()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    history = train_ch3(net, *data.load_data_fashion_mnist(256), loss,
                        num_epochs, updater)
    return history, [w.asnumpy() for w in weights()]


def _book_train_ch3(*args):
    """`d2l.train_ch3`, which returns nothing, with its history."""
    from d2l import mxnet as d2l
    history = []

    class Recorder:
        def __init__(self, **kwargs):
            pass

        def add(self, epoch, metrics):
            history.append(metrics)

    animator, d2l.Animator = d2l.Animator, Recorder
    try:
        d2l.train_ch3(*args)
    except AssertionError:
        pass  # it insists on a good result, after the last epoch
    finally:
        d2l.Animator = animator
    return history


def _ours_scratch():
    params = mlp_scratch.init_params()
    return (lambda X: mlp_scratch.net(X, params),
            lambda n: training.sgd(params, 0.1, n), lambda: params)


def _book_scratch():
    from d2l import mxnet as d2l
    W1, b1 = d2l.normal(scale=0.01, size=(784, 256)), d2l.zeros(256)
    W2, b2 = d2l.normal(scale=0.01, size=(256, 10)), d2l.zeros(10)
    params = _with_gradients([W1, b1, W2, b2])

    def net(X):
        H = np.maximum(d2l.matmul(d2l.reshape(X, (-1, 784)), W1) + b1, 0)
        return d2l.matmul(H, W2) + b2

    return net, lambda n: d2l.sgd(params, 0.1, n), lambda: params


def _ours_dropout_scratch():
    params = dropout.init_params()
    return (lambda X: dropout.net(X, params, 0.2, 0.5),
            lambda n: training.sgd(params, 0.5, n), lambda: params)


def _book_dropout_scratch():
    from d2l import mxnet as d2l
    sizes = [(784, 256), (256, 256), (256, 10)]
    params = _with_gradients([p for size in sizes for p in (
        d2l.normal(scale=0.01, size=size), d2l.zeros(size[1]))])

    def drop(H, p):
        if not autograd.is_training():
            return H
        mask = np.random.uniform(0, 1, H.shape) > p
        return d2l.astype(mask, 'float32') * H / (1.0 - p)

    def net(X):
        W1, b1, W2, b2, W3, b3 = params
        H1 = npx.relu(d2l.matmul(d2l.reshape(X, (-1, 784)), W1) + b1)
        H2 = npx.relu(d2l.matmul(drop(H1, 0.2), W2) + b2)
        return d2l.matmul(drop(H2, 0.5), W3) + b3

    return net, lambda n: d2l.sgd(params, 0.5, n), lambda: params


def _with_gradients(params):
    for param in params:
        param.attach_grad()
    return params


def _gluon(net, lr):
    net.initialize(init.Normal(sigma=0.01))
    params = net.collect_params()
    return (net, gluon.Trainer(params, 'sgd', {'learning_rate': lr}),
            lambda: [p.data() for p in params.values()])


def _sequential(*layers):
    net = nn.Sequential()
    net.add(*layers)
    return net


PAIRS = {
    ('mlp_scratch', 'scratch'): (_ours_scratch, _book_scratch),
    ('mlp_concise', 'concise'): (
        lambda: _gluon(mlp_concise.get_net(), 0.1),
        lambda: _gluon(_sequential(nn.Dense(256, activation='relu'),
                                   nn.Dense(10)), 0.1)),
    ('dropout', 'scratch'): (_ours_dropout_scratch, _book_dropout_scratch),
    ('dropout', 'concise'): (
        lambda: _gluon(dropout.get_net(0.2, 0.5), 0.5),
        lambda: _gluon(_sequential(
            nn.Dense(256, activation='relu'), nn.Dropout(0.2),
            nn.Dense(256, activation='relu'), nn.Dropout(0.5),
            nn.Dense(10)), 0.5)),
}
