"""Answers to the exercises of 4.8."""
import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from ..d2l import fashion_mnist
from ..d2l.data import load_array
from ..d2l.plotting import plot, save_figure
from ..d2l.training import evaluate_accuracy, seed, sgd, train_epoch_ch3
from ..mlp import forward, get_quadrants
from ..numerical_stability_and_init import train_from
from .common import draw_seeds, legend_beside, plot_dots, show_table

npx.set_np()


def _load(quick):
    """Iterators of the first 5,000 training and all test images."""
    n_train, n_test = (512, 500) if quick else (5000, 10000)
    data = fashion_mnist.load()
    return (load_array((data.train_images[:n_train],
                        data.train_labels[:n_train]), 128),
            load_array((data.test_images[:n_test],
                        data.test_labels[:n_test]), 1000, is_train=False))


def exercise_1(quick=False):
    """Other symmetries, besides that of equal hidden units

    The permutation of the hidden units is one symmetry. Others, each shown
    below to leave the function as it is (scales only with ReLU, not tanh):

    - signs: for an odd activation such as tanh, changing the sign of all
      weights into and out of a unit;
    - scales: for ReLU, multiplying the weights into a unit by c > 0 and
      those out of it by 1 / c;
    - shifts: adding the same number to all the outputs of a softmax.

    The ones that have to be broken are those that the initial point itself
    shares, as then the gradient does too and training cannot leave it:
    equal channels of a convolution, equal heads of attention, equal states
    of a recurrent layer, equal experts of a mixture. Below: channels that
    start equal have equal gradients, random ones not. A symmetry that merely
    relates different points (scales, signs) gives equally good minima, and
    does no harm.
    """
    results = _changes()
    show_table(['change', 'outputs differ by at most'], results.items())
    for initializer in (init.Constant(0.1), init.Normal(0.1)):
        name = f'{type(initializer).__name__.lower()} channels'
        results[name] = _channel_spread(initializer)
        print(f'{name}: their gradients differ by {results[name]:.2g}')
    return results


def _changes():
    """How far the outputs of a small network move, by change of it."""
    X, (W1, W2) = np.random.normal(size=(100, 4)), (
        np.random.normal(size=(4, 5)), np.random.normal(size=(5, 3)))
    b1, b2 = np.random.normal(size=5), np.random.normal(size=3)
    order, sign = np.array([4, 2, 0, 1, 3]), np.array([1, -1, 1, -1, -1])
    c = np.array([0.5, 2, 4, 1, 0.25])
    changed = {'permutation': (np.tanh, W1[:, order], b1[order], W2[order]),
               'signs, tanh': (np.tanh, W1 * sign, b1 * sign,
                               W2 * sign.reshape(-1, 1)),
               'scales, ReLU': (npx.relu, W1 * c, b1 * c,
                                W2 / c.reshape(-1, 1)),
               'scales, tanh': (np.tanh, W1 * c, b1 * c,
                                W2 / c.reshape(-1, 1))}
    results = {}
    for name, (phi, V1, a1, V2) in changed.items():
        results[name] = float(abs(
            forward(X, [(V1, a1), (V2, b2)], phi)
            - forward(X, [(W1, b1), (W2, b2)], phi)).max())
    o = forward(X, [(W1, b1), (W2, b2)], npx.relu)
    results['shift, softmax'] = float(abs(npx.softmax(o + 7)
                                          - npx.softmax(o)).max())
    return results


def _channel_spread(initializer):
    """How the gradients of a convolution's channels differ at the start."""
    net = nn.Sequential()
    net.add(nn.Conv2D(4, 3, activation='relu'), nn.Dense(1))
    net.initialize(initializer)
    X = np.random.normal(size=(8, 1, 6, 6))
    with autograd.record():
        l = (net(X) ** 2).sum()
    l.backward()
    grad = net[0].weight.grad()
    return float((grad.max(axis=0) - grad.min(axis=0)).max())


def exercise_2(quick=False):
    """All weights the same in linear and softmax regression

    Here it is fine. There are no hidden units: each weight belongs to one
    input and one output, so its gradient, (y_hat_k - y_k) x_j summed over
    the examples, differs from the others' because the inputs and the labels
    differ. The loss is convex, so wherever training starts it finds the same
    loss. For an MLP the same start makes all hidden units one unit (the last
    rows: on the quadrants of 4.8, where one unit is not enough).
    """
    data, number = _load(quick), draw_seeds(1)[0]
    results = {f'softmax regression, {name}': _softmax_regression(
        initializer, number, data, 2 if quick else 20)
        for name, initializer in (('zero', init.Zero()),
                                  ('constant 0.5', init.Constant(0.5)),
                                  ('normal 0.01', init.Normal(0.01)))}
    show_table(['start', 'train loss', 'test acc'],
               [(name, *values) for name, values in results.items()])
    X, y = get_quadrants(200)
    for name, initializer in (('constant', init.Constant(0.5)),
                              ('random', init.Normal(0.5))):
        results[f'MLP, {name}'] = train_from(initializer, X, y).accuracy
        print(f'MLP on the quadrants, {name}: training accuracy '
              f'{results[f"MLP, {name}"]:.3f}')
    return results


def _softmax_regression(initializer, number, data, num_epochs):
    """The last training loss and the test accuracy, from one seed."""
    seed(number)
    net = nn.Dense(10)
    net.initialize(initializer)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.03})
    for _ in range(num_epochs):
        l, _ = train_epoch_ch3(
            net, data[0], gluon.loss.SoftmaxCrossEntropyLoss(), trainer)
    return l, evaluate_accuracy(net, data[1])


def exercise_3(quick=False):
    """Bounds on the eigenvalues of a product of two matrices

    For any square A and B, with the singular values s: each eigenvalue of AB
    satisfies s_min(A) s_min(B) <= |lambda| <= s_max(A) s_max(B), because
    ||ABx|| lies between these multiples of ||x||. If both are symmetric and
    positive definite the singular values are the eigenvalues, so
    lambda_min(A) lambda_min(B) <= lambda(AB) <= lambda_max(A) lambda_max(B).
    The absolute product of all eigenvalues is |det A| |det B|, exactly.
    Without symmetry the eigenvalues of A and B bound no single one of AB: A
    with the single entry t off the diagonal, and its transpose, have
    eigenvalues 0 only, their product has t^2.

    For gradients: after L layers the norm lies between the products of the
    smallest and of the largest singular values of the Jacobians. If all
    largest ones are below 1 the gradient vanishes as fast as their power; if
    all smallest ones are above 1 it explodes. To have neither for sure, all
    must be near 1: orthogonal matrices start there (and ReLU or tanh then
    only shrink). Xavier makes the typical, not each, factor 1.
    """
    slack = [_slack(*np.random.normal(size=(2, 4, 4)).asnumpy())
             for _ in range(100 if quick else 2000)]
    low, high = onp.min(slack, axis=0)
    print(f'of {len(slack)} random pairs, |lambda| / lower bound is at least '
          f'{low:.3f}, upper bound / |lambda| at least {high:.3f}')
    A = onp.array([[0, 3.], [0, 0]])
    results = {'low': float(low), 'high': float(high), 'nilpotent': float(
        abs(onp.linalg.eigvals(A @ A.T)).max())}
    print(f'eigenvalues 0 of A and B, largest of AB: {results["nilpotent"]}')
    curves = _gradient_norms(num_layers=10 if quick else 50)
    for name, curve in curves.items():
        results[name] = curve[-1]
        print(f'a gradient of norm 1, {len(curve) - 1} layers on: '
              f'{curve[-1]:.2e} ({name})')
    axes = plot(range(len(curve)), list(curves.values()), 'layer',
                'norm of the gradient', yscale='log')
    legend_beside(axes, curves)
    save_figure('exercise_4_8_3')
    return results


def _slack(A, B):
    """By what factors |eigenvalues| of AB keep off the bounds: 1 or more."""
    sizes = abs(onp.linalg.eigvals(A.astype('float64') @ B))
    bounds = [onp.linalg.svd(A, compute_uv=False),
              onp.linalg.svd(B, compute_uv=False)]
    return (sizes.min() / (bounds[0][-1] * bounds[1][-1]),
            bounds[0][0] * bounds[1][0] / sizes.max())


def _gradient_norms(num_layers, d=64):
    """The norm of a gradient through linear layers, by what they are."""
    curves = {'normal, sigma 0.01': [1.0], 'normal, sigma 1': [1.0],
              'variance 1 / d': [1.0], 'orthogonal': [1.0]}
    grads = {name: onp.eye(d)[0] for name in curves}
    for _ in range(num_layers):
        M = np.random.normal(size=(d, d)).asnumpy().astype('float64')
        for name, W in zip(curves, (0.01 * M, M, M / d ** 0.5,
                                    onp.linalg.qr(M)[0])):
            grads[name] = W.T @ grads[name]
            curves[name].append(float(onp.linalg.norm(grads[name])))
    return curves


def lars(params, lr, batch_size, trust=0.01, eps=1e-9):
    """A step of `sgd` whose rate is another for each parameter, in place.

    That rate is lr times trust ||w|| / ||grad||: no parameter changes by
    more than lr * trust of its own norm. A parameter of norm 0 (a bias at
    the start) has no scale of its own and takes a step of `sgd` at the rate
    lr * trust.
    """
    for param in params:
        grad = param.grad / batch_size
        norm, grad_norm = np.linalg.norm(param), np.linalg.norm(grad)
        rate = np.where(norm > 0, trust * norm / (grad_norm + eps), trust)
        param[:] = param - lr * rate * grad


def exercise_4(quick=False):
    """If terms diverge, can it be mended afterwards?

    To a degree: by looking at the sizes while training instead of trusting
    the initialization. Layer-wise adaptive rate scaling (LARS; You, Gitman
    and Ginsburg, 2017) gives each layer the rate
    lr * trust * ||w|| / ||gradient||, so a step changes each layer by the
    same share of its norm, however large or small the gradient came to it.
    It takes away the scale of the gradients; it does not give back what is
    lost in them (a gradient that underflowed to 0, outputs that overflowed,
    or a sigmoid so saturated that only noise is left). Clipping the
    gradient's norm and normalizing the activations work in the same spirit.

    Below: five hidden layers started too small, by Xavier, and too large,
    with plain SGD of one learning rate and with LARS of one; a loss that is
    not finite counts as diverged. LARS saves the start that diverges, and
    only begins to move the one that is too small: ten epochs do not make up
    for a good initialization.
    """
    data, number, results = _load(quick), draw_seeds(1)[0], {}
    for name, initializer in (('sigma 0.01', init.Normal(0.01)),
                              ('Xavier', init.Xavier()),
                              ('sigma 0.3', init.Normal(0.3))):
        for step, lr in ((sgd, 0.1), (lars, 1)):
            seed(number)
            results[name, step.__name__] = _train_deep(
                initializer, step, lr, data, 2 if quick else 10)
    show_table(['start', 'step', 'train loss', 'test acc'],
               [(*key, *values) for key, values in results.items()])
    plot_dots([', '.join(key) for key in results],
              [[acc for _, acc in results.values()]], 'test acc')
    save_figure('exercise_4_8_4')
    return results


def _train_deep(initializer, step, lr, data, num_epochs):
    """Train five hidden layers; the last training loss, test accuracy."""
    net = nn.Sequential()
    for _ in range(5):
        net.add(nn.Dense(64, activation='relu'))
    net.add(nn.Dense(10))
    net.initialize(initializer)
    net(next(iter(data[0]))[0])  # now the shapes are known
    params = net.collect_params().values()

    def updater(batch_size):
        for param in params:
            w = param.data()
            step([w], lr, batch_size)
    for _ in range(num_epochs):
        l, _ = train_epoch_ch3(net, data[0],
                               gluon.loss.SoftmaxCrossEntropyLoss(), updater)
        if not onp.isfinite(l):
            return 'diverged', evaluate_accuracy(net, data[1])
    return l, evaluate_accuracy(net, data[1])
