"""4.8 Numerical stability and initialization."""
from typing import NamedTuple

import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

npx.set_np()


def product_of_matrices(num=100):
    """Draw a random matrix, and multiply it by `num` others (4.8.1).

    All are 4 x 4, float32, and their elements are standard normal. They are
    drawn in the order of the multiplications. Returns the first matrix and
    the product.
    """
    first = M = np.random.normal(size=(4, 4))
    for _ in range(num):
        M = np.dot(M, np.random.normal(size=(4, 4)))
    return first, M


class Symmetry(NamedTuple):
    """How much the hidden units differ from each other (4.8.1).

    A spread is the largest difference between two units in the same incoming
    weight, or in its gradient.
    """
    first_spread: float  # of the gradients in the first step
    last_spread: float  # of the weights after the last step
    accuracy: float


def train_from(initializer, X, y, dropout=0.0, num_steps=200, lr=1,
               num_hiddens=8):
    """Train a network whose weights `initializer` sets; a `Symmetry` (4.8.1).

    It has one hidden layer with tanh, and one output. `X` (n, 2) and `y`
    (n, 1) are meant to come from `mlp.get_quadrants`: one hidden unit alone
    cannot separate these classes. Each step takes all of `X`.
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
        spreads.append(spread(net[0].weight.grad()))
        trainer.step(len(X))
    correct = (net(X) > 0) == (y > 0)
    return Symmetry(spreads[0], spread(net[0].weight.data()),
                    float(correct.mean()))


def spread(W):
    """The largest difference between two units in one of their weights."""
    return float((W.max(axis=0) - W.min(axis=0)).max())


def variances(initializer, phi=None, num_layers=50, num_hiddens=256,
              batch_size=64):
    """The variance of activations and gradients, layer by layer (4.8.2).

    The network has `num_layers` dense layers of `num_hiddens` units without
    biases. The activation function `phi` follows each of them, unless it is
    None. The inputs are standard normal, and so are the gradients of the
    loss in the outputs, which are propagated backward.

    Returns two NumPy arrays (num_layers + 1,), inputs first: the variance of
    the inputs and of each layer's activations, and the variance of the
    gradients with respect to them. Everything is computed in float64, whose
    range these numbers do not leave.
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
