"""4.7 Forward propagation, backward propagation, computational graphs."""
import json
import os
import secrets
import tempfile
from collections import namedtuple

import mxnet as mx
import numpy as onp
from mxnet import autograd, np, npx
from mxnet.gluon import nn

npx.set_np()

# The graph of `forward`, as `draw_computational_graph` takes it.
VARIABLES = {'x': (0, 0), 'W^{(1)}': (1, 1), 'z': (2, 0), 'h': (4, 0),
             'W^{(2)}': (5, 1), 'o': (6, 0), 'y': (7, 1), 'L': (8, 0),
             's': (7, 2), 'J': (10, 0)}
OPERATORS = [(r'\times', (1, 0), ['x', 'W^{(1)}'], 'z'),
             (r'\phi', (3, 0), ['z'], 'h'),
             (r'\times', (5, 0), ['h', 'W^{(2)}'], 'o'),
             ('l', (7, 0), ['o', 'y'], 'L'),
             (r'\ell_2', (5, 2), ['W^{(1)}', 'W^{(2)}'], 's'),
             ('+', (9, 0), ['L', 's'], 'J')]
# What `forward` and `backward` return, in the order of their computation.
Forward = namedtuple('Forward', 'z h o L s J')
Gradients = namedtuple('Gradients', 'L s o W2 h z W1')  # of J, by each


def cross_entropy(o, y):
    """Cross-entropy of softmax(`o`), shape (q,), for the class `y` (3.4)."""
    return -npx.log_softmax(o)[y]


def cross_entropy_grad(o, y):
    """The gradient of the cross-entropy: softmax(o) - onehot(y) (3.4)."""
    return npx.softmax(o) - np.eye(o.size, dtype=o.dtype, ctx=o.ctx)[y]


def relu_grad(z):
    """The derivative of ReLU, which is 0 at 0 (4.1)."""
    return (z > 0).astype(z.dtype)


def regularization_term(W1, W2, lambd):
    """lambd / 2 times the sum of all squared weights (4.7.1)."""
    return lambd / 2 * ((W1 ** 2).sum() + (W2 ** 2).sum())


def forward(x, y, W1, W2, lambd, phi=npx.relu):
    """Propagate one example forward: its loss and the objective J (4.7.1).

    `x` (d,) is the example and the int `y` its class. `W1` (h, d) and `W2`
    (q, h) are the weights; there are no biases. `phi` is the activation
    function.
    """
    z = np.dot(W1, x)
    h = phi(z)
    o = np.dot(W2, h)
    L = cross_entropy(o, y)
    s = regularization_term(W1, W2, lambd)
    J = L + s
    return Forward(z, h, o, L, s, J)


def backward(x, y, W1, W2, lambd, values, phi_grad=relu_grad):
    """Propagate backward: the gradients of J, by the chain rule (4.7.3).

    `values` is what `forward` returned, and `phi_grad` the derivative of its
    `phi`. A gradient with respect to an array has the shape of that array.
    """
    dL = np.ones_like(values.L)
    ds = np.ones_like(values.s)
    do = dL * cross_entropy_grad(values.o, y)
    dW2 = np.outer(do, values.h) + ds * lambd * W2
    dh = np.dot(W2.T, do)
    dz = dh * phi_grad(values.z)
    dW1 = np.outer(dz, x) + ds * lambd * W1
    return Gradients(dL, ds, do, dW2, dh, dz, dW1)


def partial_functions(x, y, W1, W2, lambd, phi=npx.relu):
    """For each of the `Gradients`: J as a function of the value, the value.

    The function recomputes what depends on its argument. Everything else
    keeps the value that `forward` gave it.
    """
    _, h, o, L, s, _ = values = forward(x, y, W1, W2, lambd, phi)
    return Gradients(
        L=(lambda L: L + s, L),
        s=(lambda s: L + s, s),
        o=(lambda o: cross_entropy(o, y) + s, o),
        W2=(lambda W2: cross_entropy(np.dot(W2, h), y)
            + regularization_term(W1, W2, lambd), W2),
        h=(lambda h: cross_entropy(np.dot(W2, h), y) + s, h),
        z=(lambda z: cross_entropy(np.dot(W2, phi(z)), y) + s, values.z),
        W1=(lambda W1: forward(x, y, W1, W2, lambd, phi).J, W1))


def autograd_gradient(f, a):
    """The gradient at `a` of the scalar function `f`, by autograd (2.5)."""
    a = a.copy()
    a.attach_grad()
    with autograd.record():
        l = f(a)
    l.backward()
    return a.grad


def finite_differences(f, a, eps=1e-5):
    """The gradient at `a` of the scalar function `f`, by differences.

    They are central differences of step `eps`. Raises `TypeError` unless `a`
    is float64: rounding to float32 would swamp them.
    """
    if a.dtype != onp.float64:
        raise TypeError(f'finite differences need float64, not {a.dtype}')
    grad = onp.zeros(a.shape)
    for i in onp.ndindex(a.shape):
        step = onp.zeros(a.shape)
        step[i] = eps
        step = np.array(step, dtype='float64', ctx=a.ctx)
        grad[i] = float(f(a + step) - f(a - step)) / (2 * eps)
    return grad


def peak_memory(f, repeats=10):
    """The peak memory of the arrays that a call of `f` makes (4.7.4).

    In bytes, to four digits, as MXNet's storage profiler counts them on the
    current device. The work space of operators counts, too. The engine may
    release an array late, so this is the least of `repeats` calls.
    """
    return min(_peak_memory(f) for _ in range(repeats))


def _peak_memory(f):
    device = mx.context.current_context()
    # The profiler writes a file now and then, and when the process ends. It
    # cannot, as there is no such folder.
    nowhere = os.path.join(tempfile.gettempdir(), secrets.token_hex(16))
    mx.profiler.set_config(profile_memory=True, aggregate_stats=True,
                           filename=os.path.join(nowhere, 'profile.json'))
    npx.waitall()
    mx.profiler.set_state('run')
    mark = np.zeros(1)  # the profiler records the level before `f`
    f()
    npx.waitall()
    mx.profiler.set_state('stop')
    stats = json.loads(mx.profiler.dumps(reset=True, format='json'))
    count = stats['Memory']['Device Storage'][
        f'Memory: {device.device_type}/{device.device_id}']
    return 1000 * (count['Max'] - count['Min']) + 4 * mark.size


def memory(num_layers, batch_size, num_hiddens=256):
    """The `peak_memory` of prediction and of training (4.7.4).

    The network has `num_layers` dense layers with ReLU, each `num_hiddens`
    wide. Inputs, weights and the gradients of weights exist before, so they
    do not count. Training means one forward and one backward pass.
    """
    net = nn.Sequential()
    for _ in range(num_layers):
        net.add(nn.Dense(num_hiddens, activation='relu',
                         in_units=num_hiddens))
    net.initialize()
    X = np.ones((batch_size, num_hiddens))

    def train():
        with autograd.record():
            l = net(X)
        l.backward()
    return peak_memory(lambda: net(X)), peak_memory(train)
