"""4.8 Numerical stability and initialization."""
from typing import NamedTuple

import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

npx.set_np()


def product_of_matrices(num=100):
    """Draw a matrix, and multiply it by `num` others (4.8.1).

    All are (4, 4), float32, of standard normal elements. Returns the first
    and the product; the draws come in the order of the multiplications.
    """
    first = M = np.random.normal(size=(4, 4))
    for _ in range(num):
        M = np.dot(M, np.random.normal(size=(4, 4)))
    return first, M


def get_symmetry_data(num_examples=200):
    """Draw X (n, 2) uniform in [-1, 1) and y (n,): is x_1 x_2 > 0? (4.8.1).

    No single hidden unit can tell: the classes are opposite quadrants.
    """
    X = np.random.uniform(-1, 1, (num_examples, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(X.dtype)


class Symmetry(NamedTuple):
    """What `train_from` saw; a spread is over the hidden units."""
    first_spread: float  # of their gradients in the first step
    last_spread: float  # of their weights after the last
    accuracy: float


def train_from(initializer, X, y, dropout=0.0, num_steps=200, lr=1,
               num_hiddens=8):
    """Train one hidden layer on all of `X` at once; a `Symmetry` (4.8.1).

    Tanh and one output; `initializer` sets the weights, the biases are 0.
    A spread is the largest difference between two hidden units in one of
    their incoming weights, or in its gradient.
    """
    net = nn.Sequential()
    net.add(nn.Dense(num_hiddens, activation='tanh'), nn.Dropout(dropout),
            nn.Dense(1))
    net.initialize(initializer)
    loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    spreads = []
    for _ in range(num_steps):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        spreads.append(_spread(net[0].weight.grad()))
        trainer.step(len(X))
    correct = (net(X).reshape(-1) > 0) == (y > 0)
    return Symmetry(spreads[0], _spread(net[0].weight.data()),
                    float(correct.mean()))


def _spread(W):
    return float((W.max(axis=0) - W.min(axis=0)).max())


def variances(initializer, phi=None, num_layers=50, num_hiddens=256,
              batch_size=64):
    """How activations and gradients go through deep networks (4.8.2).

    `num_layers` dense layers of `num_hiddens` units without biases, each
    followed by `phi` unless it is None; standard normal inputs and, from the
    other end, gradients of the outputs. Returns two NumPy arrays
    (num_layers + 1,): the variance of the inputs and of each layer's
    activations, and that of the loss's gradients with respect to them. In
    float64, whose range the variances do not leave.
    """
    h = np.random.normal(size=(batch_size, num_hiddens), dtype='float64')
    grad = np.random.normal(size=h.shape, dtype='float64')
    layers = []
    for _ in range(num_layers):
        layers.append(nn.Dense(num_hiddens, use_bias=False, activation=phi,
                               in_units=num_hiddens))
        layers[-1].initialize(initializer)  # draws float32 only
        layers[-1].cast('float64')
    hs = [h]
    for layer in layers:
        hs.append(layer(hs[-1]))
    grads = [grad]
    for layer, h in zip(reversed(layers), reversed(hs[:-1])):
        grads.append(_gradient(layer, h, grads[-1]))
    return _variance(hs), _variance(reversed(grads))


def _gradient(layer, h, head_grad):
    h = h.copy()
    h.attach_grad()
    with autograd.record():
        out = layer(h)
    out.backward(head_grad)
    return h.grad


def _variance(arrays):
    return onp.array([float(a.var()) for a in arrays])
