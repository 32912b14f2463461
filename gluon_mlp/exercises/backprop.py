"""Answers to the exercises of 4.7."""
import time

import numpy as onp
from mxnet import autograd, cpu, gluon, np, npx
from mxnet.gluon import nn

from ..backprop import (
    OPERATORS,
    VARIABLES,
    autograd_gradient,
    cross_entropy,
    cross_entropy_grad,
    finite_differences,
    memory,
    peak_memory,
    regularization_term,
    relu_grad,
)
from ..d2l.diagram import draw_computational_graph
from ..d2l.plotting import save_figure
from .common import plot, show_table

npx.set_np()


def _normal(*size):
    return np.random.normal(size=size, dtype='float64')


def _difference(a, b):
    a, b = (c.asnumpy() if isinstance(c, np.ndarray) else c for c in (a, b))
    return float(abs(a - b).max())


def exercise_1(quick=False):
    """The shape of the gradient of a scalar function of a matrix

    For f of an n by m matrix X the gradient is n by m too: its element (i, j)
    is df/dX_ij, one for each element of X. It is kept in X's shape so that X
    - lr * grad makes sense and df = sum over i, j of grad_ij dX_ij. (As a
    linear map from matrices to numbers, in the strict layout of derivatives,
    one would write its transpose, m by n.)

    Measured: f(X) = tr(AXB) in float64 with X of `3 by 4`, whose gradient is
    A'B'. The gradient by autograd has X's shape and is that of the formula.
    Central differences are off by 2.0e-11, and the sum of grad_ij dX_ij is
    off f(X + dX) - f(X) by 6.8e-16.
    """
    A, X, B = _normal(2, 3), _normal(3, 4), _normal(4, 2)

    def f(X):  # the gradient of the trace of AXB is A'B'
        return (np.dot(np.dot(A, X), B) * np.eye(2, dtype='float64')).sum()
    grad = autograd_gradient(f, X)
    dX = 1e-3 * _normal(3, 4)
    rows = [('formula', _difference(grad, np.dot(A.T, B.T))),
            ('finite differences', _difference(grad,
                                               finite_differences(f, X))),
            ('f(X + dX) - f(X), summed with dX',
             _difference((grad * dX).sum(), f(X + dX) - f(X)))]
    print(f'f(X) = tr(AXB): X {X.shape}, gradient {grad.shape}')
    show_table(['gradient by autograd, against', 'largest difference'], rows)
    return {'shape': grad.shape, **dict(rows)}


def exercise_2a(quick=False):
    """The computational graph with a bias in the hidden layer

    z = W1 x + b puts one more operator, an addition, between the first
    product (here u) and the activation function. It brings two more
    variables, u and the leaf b. The penalty s does not take b in: the book
    penalizes weights only.

    Measured: nothing but the graph, which has 12 variables and 7 operators,
    where there were 10 and 6.
    """
    def shift(place):
        column, row = place
        # The penalty one row up, for the arrow from W1 to pass over b.
        return column + 2 * (column >= 2), row + (row == 2)
    variables = {name: shift(place) for name, place in VARIABLES.items()}
    variables.update(u=(2, 0), b=(3, 1))
    operators = [(symbol, shift(place), inputs, output)
                 for symbol, place, inputs, output in OPERATORS[1:]]
    operators += [(r'\times', (1, 0), ['x', 'W^{(1)}'], 'u'),
                  ('+', (3, 0), ['u', 'b'], 'z')]
    draw_computational_graph(variables, operators)
    save_figure('exercise_4_7_2a')
    print(f'{len(variables)} variables and {len(operators)} operators, '
          f'where there were {len(VARIABLES)} and {len(OPERATORS)}')
    return {'variables': len(variables), 'operators': len(operators)}


def exercise_2b(quick=False):
    """Forward and backward propagation with a bias in the hidden layer

    Forward, with an input x and its class y:

        u = W1 x       z = u + b       h = phi(z)       o = W2 h
        L = l(o, y)    s = lambda / 2 (||W1||^2 + ||W2||^2)    J = L + s

    Backward, from J on:

        dJ/dL = dJ/ds = 1                dJ/do = softmax(o) - onehot(y)
        dJ/dW2 = dJ/do h' + lambda W2    dJ/dh = W2' dJ/do
        dJ/dz = dJ/dh * phi'(z)          dJ/db = dJ/du = dJ/dz
        dJ/dW1 = dJ/du x' + lambda W1

    An addition passes its gradient on unchanged to both of its inputs, so
    those of b and u are that of z. The penalty adds nothing to dJ/db.

    Measured: these equations in float64 with `4` inputs, `5` hidden units and
    `3` classes. For b and W1 they give the bits of autograd, for W2 they are
    off by 1.4e-17. Finite differences are off by 8.5e-11 at most.
    """
    x, W1, W2, b = _normal(4), _normal(5, 4), _normal(3, 5), _normal(5)
    y, lambd = 0, 0.1

    def J(W1=W1, b=b, W2=W2):
        return _with_bias(x, y, W1, b, W2, lambd)[0]
    _, dW1, db, dW2 = _with_bias(x, y, W1, b, W2, lambd)
    results = {}
    for name, by_hand, f, a in (
            ('b', db, lambda b: J(b=b), b), ('W1', dW1, J, W1),
            ('W2', dW2, lambda W2: J(W2=W2), W2)):
        results[name] = (_difference(by_hand, autograd_gradient(f, a)),
                         _difference(by_hand, finite_differences(f, a)))
    show_table(['dJ/d', 'autograd', 'finite differences'],
               [(name, *row) for name, row in results.items()],
               'largest difference of the equations from')
    return results


def _with_bias(x, y, W1, b, W2, lambd):
    """The objective J with a bias b, and dJ/dW1, dJ/db, dJ/dW2."""
    u = np.dot(W1, x)
    z = u + b
    h = npx.relu(z)
    o = np.dot(W2, h)
    J = cross_entropy(o, y) + regularization_term(W1, W2, lambd)
    do = cross_entropy_grad(o, y)
    dW2 = np.outer(do, h) + lambd * W2
    dh = np.dot(W2.T, do)
    dz = dh * relu_grad(z)
    du = db = dz
    dW1 = np.outer(du, x) + lambd * W1
    return J, dW1, db, dW2


def exercise_3(quick=False):
    """The memory that training and prediction take

    The section's model has W1 (h by d) and W2 (q by h), and no biases. So its
    parameters are h d + q h numbers. Training has as many again for their
    gradients (SGD keeps nothing more). Both are independent of the batch
    size.

    An input x takes d numbers in both. Training keeps for the backward
    equations what these read: x (for dJ/dW1), z (for phi'), h (for dJ/dW2)
    and o (for softmax), which is d + 2h + q numbers an example. So it grows
    with the batch. Prediction forgets a layer's input once its output is
    there, so an example takes max(d + h, h + q), if h may overwrite z. With
    more layers prediction still takes that of the two widest neighbours, and
    training the sum over all. The penalty s keeps nothing for an example, as
    its gradient reads the weights themselves. But in training the squares of
    a weight matrix take an array of its size for a while, and so does its
    product with lambda, whatever the batch size.

    Measured: `d = 784`, `h = 256`, `q = 10` in float32. The parameters are
    203,264 numbers or 0.813 MB, and the gradients as much. The penalty is
    left out. Beyond these and the inputs, the arrays that are alive at a time
    are 512 numbers an example in prediction and 768 in training, at each
    batch size from 64 to 4,096 (to the profiler's four digits). The first is
    2h: MXNet does not overwrite z by h. The second is 3h: h and the gradients
    of h and z. MXNet takes ReLU's derivative from h, and gives z and o back
    before that. So the peak is in the backward pass, and it is less than what
    the equations read plus the gradients.
    """
    d, h, q = 784, 256, 10
    net = nn.Sequential()
    net.add(nn.Dense(h, use_bias=False, in_units=d), nn.Activation('relu'),
            nn.Dense(q, use_bias=False, in_units=h))
    net.initialize()
    rows = []
    for n in (32, 64) if quick else (64, 256, 1024, 4096):
        predict, train = _memory_of(net, np.ones((n, d)), np.zeros(n))
        rows.append((n, predict / 1e6, train / 1e6, predict / (4 * n),
                     train / (4 * n)))
    show_table(['batch size', 'prediction, MB', 'training, MB',
                'numbers an example', 'in training'], rows,
               'most that is alive at a time, without parameters and inputs')
    results = {'rows': rows, 'parameters': h * d + q * h, 'MB of them':
               4e-6 * (h * d + q * h), 'x, z, h, o': d + 2 * h + q,
               '2 h': 2 * h, '3 h': 3 * h, 'h + q': h + q}
    show_table(['by the formulas', ''], list(results.items())[1:])
    sizes, *curves = zip(*rows)
    plot(sizes, curves[:2], 'batch size', 'MB', ['prediction', 'training'])
    save_figure('exercise_4_7_3')
    return results


def _memory_of(net, X, y):
    """The `peak_memory` of a prediction and of a step of training."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def train():
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
    return peak_memory(lambda: net(X)), peak_memory(train)


SECOND_ORDER = (
    {'x': (0, 1), 'w': (0, 4), 'z': (2, 3), 'h': (4, 3), r'\dot h': (4, 1),
     r'\dot z': (6, 1), r'\dot w': (8, 0), r'\dot x': (8, 4)},
    [(r'\times', (1, 3), ['x', 'w'], 'z'), (r'\phi', (3, 3), ['z'], 'h'),
     (r"\phi'", (5, 1), ['z', r'\dot h'], r'\dot z'),
     (r'\times', (7, 0), [r'\dot z', 'x'], r'\dot w'),
     (r'\times', (7, 4), [r'\dot z', 'w'], r'\dot x')])


def _hessian(grad, w, eps=1e-5):
    """The matrix of second derivatives (d, d): two gradients a column."""
    steps = eps * np.eye(w.size, dtype='float64')
    return onp.stack([(grad(w + step) - grad(w - step)).asnumpy()
                      / (2 * eps) for step in steps])


def exercise_4(quick=False):
    """Second derivatives: what happens to the graph, and how long it takes

    The backward pass is itself a computation. Each operator adds one or more
    operators, which read the gradient from above and the forward values (dots
    in the figure: the gradients). Second derivatives are those of this longer
    graph, forward and backward, so the graph about doubles again, and all the
    forward values stay in memory. A weight enters it more than once. W2 acts
    on o in the forward half, and on dh = W2' do in the backward half, so the
    derivative of dW1 by W2 has paths through both halves, and one of the
    backward half alone: W2 -> dh -> dz -> dW1.

    One product of the Hessian with a vector is a derivative of a scalar and
    costs a constant times a gradient. The whole Hessian of d parameters has
    d^2 elements and takes d such products: O(d) gradients. For a network of
    10^5 parameters that is 10^5 times the time of a step and 40 GB in
    float32.

    Measured: autograd differentiates the sigmoid twice in float64, and gives
    y (1 - y) (1 - 2 y) to the bit. MXNet cannot do that through `np.dot`, so
    the Hessian of a logistic loss over `200` examples is from central
    differences, by construction two gradients a column. The product with one
    vector was not measured. The Hessian is off the formula by 2.2e-9 at most.
    Its time grows about as the number of gradients that it computes, 20 for
    10 parameters and `320` for `160`. (The table has these times, which are
    those of one run.)
    """
    draw_computational_graph(*SECOND_ORDER)
    save_figure('exercise_4_7_4')
    x = np.array([0.5, 1.0], dtype='float64')
    x.attach_grad()
    with autograd.record():
        first = autograd.grad(npx.sigmoid(x), x, create_graph=True)[0]
    first.backward()
    y = 1 / (1 + onp.exp(-x.asnumpy()))
    error = _difference(x.grad, y * (1 - y) * (1 - 2 * y))
    print("sigmoid'' by autograd, twice; off y(1 - y)(1 - 2y) by "
          f'{error:.1e}')
    rows, X = [], _normal(200, 200)
    for d in (4, 8) if quick else (10, 20, 40, 80, 160):
        rows.append((d, *_time_hessian(X[:, :d])))
    show_table(['parameters', 'gradient, s', 'Hessian, s', 'gradients',
                'largest error'], rows)
    return {'sigmoid': error, 'rows': rows}


def _time_hessian(X):
    """Seconds of a gradient and a Hessian, their ratio, the error of it."""
    w = _normal(X.shape[1]) / X.shape[1] ** 0.5

    def grad(w):  # of the sum of log(1 + exp(Xw))
        grad = autograd_gradient(
            lambda w: npx.activation(np.dot(X, w), 'softrelu').sum(), w)
        grad.wait_to_read()
        return grad
    grad(w)  # warm
    times = []
    for _ in range(20):
        start = time.perf_counter()
        grad(w)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    H = _hessian(grad, w)
    seconds = time.perf_counter() - start
    A, p = X.asnumpy(), npx.sigmoid(np.dot(X, w)).asnumpy()
    error = _difference(H, (A.T * (p * (1 - p))) @ A)
    gradient = float(onp.median(times))
    return gradient, seconds, seconds / gradient, error


def _layers(num_layers, num_hiddens, device):
    net = nn.Sequential()
    for _ in range(num_layers):
        net.add(nn.Dense(num_hiddens, activation='relu',
                         in_units=num_hiddens))
    net.initialize(ctx=device)
    return net


def exercise_5a(quick=False):
    """A graph that is too large for one GPU: split over several

    Yes. Cut it between layers: the first device computes its layers and sends
    their output, n h numbers, to the next; backward the gradient of it, as
    many, comes back. Each device keeps the parameters, gradients and
    activations of its own layers only. The price is that one waits while the
    other computes, unless a minibatch is cut into parts that follow one
    another as on a belt. (Cutting within a layer, by its columns, keeps both
    busy but sends activations at each layer.)

    Measured: `8` layers of `256` units and a batch of `256`, cut in the
    middle, on two devices that are both the CPU. Outputs and gradients are
    those of the whole network, to the bit. The arrays of a step take 2.6 MB
    in the whole network, and 1.6 MB in one of `4` layers by itself, which
    stands for a half: the memory of the split run was not measured. By the
    formula 0.524 MB are sent.
    """
    L, h, n = (4, 32, 16) if quick else (8, 256, 256)
    whole = _layers(L, h, cpu(0))
    first, second = _layers(L // 2, h, cpu(0)), _layers(L // 2, h, cpu(1))
    for layer, copy in zip(whole, [*first, *second]):
        copy.weight.set_data(layer.weight.data())
    X = np.random.normal(size=(n, h))
    outputs = []
    for f in (whole, lambda X: second(first(X).as_in_ctx(cpu(1)))):
        with autograd.record():
            outputs.append(f(X))
        outputs[-1].backward()
    by_layer = [_difference(a.weight.grad(), b.weight.grad())
                for a, b in zip(whole, [*first, *second])]
    results = {'outputs': _difference(*outputs), 'gradients': max(by_layer),
               'MB, whole': memory(L, n, h)[1] / 1e6,
               'MB, each half': memory(L // 2, n, h)[1] / 1e6,
               'MB sent, both ways': 2 * 4 * n * h / 1e6}
    show_table(['split against whole', ''], list(results.items()))
    return results


def exercise_5b(quick=False):
    """A split against smaller minibatches

    Smaller minibatches are simpler: activations shrink in proportion, and
    nothing is sent. But the parameters do not shrink with them, so they do
    not help where these alone are too large. A step on n / k examples has a
    gradient of k times the variance, uses a GPU's parallel units worse, and
    wants another learning rate. If the step shall stay the same, add the
    gradients of k small batches before one update: it is the same gradient,
    to rounding, with the small batch's memory. But the k passes follow one
    another, and together they take longer than one pass over all. (The time
    was not measured.)

    The split pays where even one example or the parameters do not fit, or
    where a bigger batch is needed and devices are there. It adds their
    memory, but waits for the transfer at each step.

    Measured: the network of exercise 4.7.5a. A batch of 256 examples takes
    2.6 MB of arrays, and 8 batches of 32, whose gradients are added, 0.3 MB.
    The sums of the gradients differ by 3.9e-7 of the largest at most.
    """
    L, h, n = (4, 32, 64) if quick else (8, 256, 256)
    net, X, rows = _layers(L, h, cpu(0)), np.random.normal(size=(n, h)), []
    grads = []
    for k in (1, 2, 4, 8):
        for param in net.collect_params().values():
            param.grad_req = 'add'
            param.grad()[:] = 0

        def train(k=k):
            for i in range(0, n, n // k):
                with autograd.record():
                    l = net(X[i:i + n // k])
                l.backward()
                npx.waitall()  # for its arrays to go before the next come
        train()
        grad = net[0].weight.grad().copy()
        grads.append(grad)
        rows.append((k, n // k, peak_memory(train) / 1e6, _difference(
            grad, grads[0]) / float(abs(grads[0]).max())))
    show_table(['batches', 'examples in each', 'MB of arrays',
                'relative difference of the sum of gradients'], rows)
    return rows
