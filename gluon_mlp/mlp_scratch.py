"""4.2 Implementation of multilayer perceptrons from scratch."""
from time import perf_counter

import numpy as onp
from mxnet import autograd, gluon, np, npx

npx.set_np()

num_inputs, num_outputs, num_hiddens = 784, 10, 256
num_epochs, lr, batch_size = 10, 0.1, 256


def init_params(num_hiddens=num_hiddens):
    """Draw W1, b1, W2, b2: weights of scale 0.01, zero biases (4.2.1).

    The shapes are (784, h), (h,), (h, 10) and (10,), all float32. Each array
    has a gradient attached.
    """
    W1 = np.random.normal(scale=0.01, size=(num_inputs, num_hiddens))
    b1 = np.zeros(num_hiddens)
    W2 = np.random.normal(scale=0.01, size=(num_hiddens, num_outputs))
    b2 = np.zeros(num_outputs)
    params = [W1, b1, W2, b2]
    for param in params:
        param.attach_grad()
    return params


def relu(X):
    """max(X, 0), elementwise; the gradient at 0 is 1 (4.2.2).

    MXNet's `np.maximum` passes the gradient to its first argument where both
    are equal. The gradient of `npx.relu` at 0 is 0, as in 4.1.
    """
    return np.maximum(X, 0)


def net(X, params):
    """The outputs (n, 10) of the network for images `X` (4.2.3)."""
    W1, b1, W2, b2 = params
    X = X.reshape(-1, num_inputs)
    H = relu(np.dot(X, W1) + b1)
    return np.dot(H, W2) + b2


def time_widths(widths, repeats=40):
    """The median milliseconds of a training step by its width (4.2.1).

    The widths take turns, so that each meets the same machine. The images
    and labels are random.
    """
    X, y = np.random.uniform(size=(batch_size, 784)), np.zeros(batch_size)
    loss, seconds = gluon.loss.SoftmaxCrossEntropyLoss(), []
    networks = [init_params(num_hiddens) for num_hiddens in widths]
    for _ in range(repeats + 5):
        for params in networks:
            npx.waitall()
            start = perf_counter()
            with autograd.record():
                l = loss(net(X, params), y)
            l.backward()
            for param in params:
                param -= lr * param.grad / batch_size
            npx.waitall()
            seconds.append(perf_counter() - start)
    rounds = onp.reshape(seconds, (-1, len(widths)))[5:]  # warm by then
    return (1000 * onp.median(rounds, axis=0)).tolist()
