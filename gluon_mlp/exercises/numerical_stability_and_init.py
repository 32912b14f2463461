"""Answers to the exercises of 4.8."""
import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from ..d2l import fashion_mnist
from ..d2l.data import load_array, synthetic_data
from ..d2l.plotting import save_figure
from ..d2l.training import evaluate_accuracy, seed, sgd, train_epoch_ch3
from ..mlp import forward, get_quadrants
from ..numerical_stability_and_init import spread, train_from
from .common import (
    draw_seeds,
    legend_beside,
    mean_and_error,
    paired,
    plot,
    plot_dots,
    show_table,
)

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
    """Other symmetries that have to be broken

    What has to be broken is a symmetry that the initial point itself shares.
    Then the gradient shares it, too, and training cannot leave it. That is so
    wherever several copies see the same input and are treated alike behind:
    the channels of a convolution, the states of a recurrent layer, the heads
    of attention, the experts of a mixture. Copies that start equal remain one
    copy. Random weights break it.

    Other symmetries only relate different points of the same function: signs
    (for an odd activation such as tanh, those of all weights into and out of
    a unit), scales (for ReLU, c > 0 into a unit and 1 / c out of it), and the
    same shift of all the outputs of a softmax. Their minima are equally good,
    and they need not be broken. Scales are not harmless, though: weights c
    times as large have a gradient of 1 / c, so one learning rate does not fit
    both.

    Measured: 4 channels, and 4 recurrent states, learn the outputs of a
    network like their own; 3 seeds. From equal weights the gradients of the 4
    are equal (their spread is 0), and so are the weights after `500` steps of
    Adam. The loss is then 0.247 of the outputs' variance with channels, and
    0.547 with states. From random weights it is 0.100 and 0.044, less by
    0.147 +- 0.032 and by 0.503 +- 0.082. Heads and experts were not tried.
    Permutation, signs, scales and the shift leave the outputs as they are, to
    3.0e-7, but scales with tanh move them by 1.9.
    """
    results = _changes()
    show_table(['change', 'outputs differ by at most'], results.items())
    seeds, rows, gains = draw_seeds(2 if quick else 3), {}, {}
    starts = {'equal': init.Constant(0.3), 'random': init.Normal(0.3)}
    for kind in ('channels', 'states'):
        runs = {name: onp.array([_learn_from_teacher(
            kind, initializer, number, 5 if quick else 500)
            for number in seeds]) for name, initializer in starts.items()}
        for name, run in runs.items():
            rows[f'{name} {kind}'] = run.mean(axis=0).tolist()
        gains[kind] = paired(runs['random'][:, 2], runs['equal'][:, 2])
    show_table(['start', 'spread of the units, first gradient',
                'after training', 'loss / variance'],
               [(name, *row) for name, row in rows.items()])
    show_table(['loss / variance, random - equal', 'mean', '+-', ''],
               [(name, *gain) for name, gain in gains.items()])
    return {'changes': results, **rows, 'gains': gains}


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


def _student(kind, initializer, X):
    """A layer of 4 channels, or of 4 recurrent states, and one output."""
    net = nn.Sequential()
    net.add(nn.Conv2D(4, 3, activation='tanh') if kind == 'channels' else
            rnn.RNN(4, activation='tanh', layout='NTC'), nn.Dense(1))
    net.initialize(initializer)
    net(X)  # now the shapes are known
    return net


def _learn_from_teacher(kind, initializer, number, num_steps, lr=0.01):
    """Learn the outputs of such a network whose weights are random.

    Returns how far the units' weights differ in the first gradient and after
    training, and twice the loss as a share of the outputs' variance.
    """
    seed(number)
    X = np.random.normal(size=(256, 1, 6, 6) if kind == 'channels' else
                         (256, 6, 6))
    y = _student(kind, init.Normal(1), X)(X)
    net, loss = _student(kind, initializer, X), gluon.loss.L2Loss()
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr})
    W = next(iter(net[0].collect_params().values()))
    first, l = _descend(net, X, y, loss, trainer, num_steps, W)
    return (_spread(first) / len(X), _spread(W.data()),
            2 * float(l.mean() / y.var()))


def _descend(net, X, y, loss, trainer, num_steps, param):
    """Train on all of the data; the first gradient of `param`, the last loss.
    """
    for step in range(num_steps):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        if step == 0:
            first = param.grad().copy()
        trainer.step(len(X))
    return first, l


def _spread(W):
    """The section's `spread` of the weights from the inputs."""
    if W.ndim == 1:  # MXNet 2 has one array for an RNN, the inputs' first
        W = W[:4 * 6].reshape(4, 6)
    return spread(W)


def exercise_2(quick=False):
    """All weights the same in linear and softmax regression

    Yes. There are no hidden units: each weight belongs to one input and one
    output, so its gradient, (y_hat_k - y_k) x_j summed over the examples,
    differs from the others' because the inputs and the labels differ. And the
    loss is convex, so training goes to the same loss from everywhere, if at
    its own pace.

    In softmax regression a constant is even the same start as zero. With
    equal columns it adds one number to all the outputs of an example, and
    softmax ignores that. So these two runs must be equal, which proves
    nothing; the random starts are what to compare with. In linear regression
    the constant is another start. For an MLP equal weights make all hidden
    units one unit.

    Measured: 3 seeds. Linear regression by gradient descent on all of `200`
    examples ends within 3.3e-7 of the weights of least squares, from zero,
    from `0.5` and from random weights alike; from equal weights, the first
    gradient already differs from weight to weight, by 2.00 at zero and by
    2.08 at `0.5`. Softmax regression on `5000` images, `50` epochs, has the
    training loss 0.474 and the test accuracy 0.782 from zero, from `0.5` and
    from weights of scale `0.01`: the last one differs from zero by 0.00003 +-
    0.00015 and 0.0005 +- 0.0002, both a tie. Weights of scale `0.5` are too
    far for `50` epochs, with a loss of 0.720. So equal weights do no harm
    here, and large random ones do. The control, an MLP on the quadrants of
    section 4.8: from equal weights its gradients are equal (to 0) and the
    accuracy is 0.498, from random ones 0.982, a difference of 0.48 +- 0.08.
    """
    data, seeds = _load(quick), draw_seeds(2 if quick else 3)
    starts = {'zero': init.Zero(), 'constant 0.5': init.Constant(0.5),
              'normal 0.01': init.Normal(0.01),
              'normal 0.5': init.Normal(0.5)}
    return {'linear': _linear_starts(starts, seeds, 10 if quick else 200),
            'softmax': _softmax_starts(starts, seeds, data, 1 if quick else
                                       50),
            'MLP': _mlp_starts(seeds, 20 if quick else 200)}


def _linear_starts(starts, seeds, num_steps):
    """Linear regression: how far each start ends from least squares.

    Beside it stands how much the weights differ in the first gradient. Both
    are the largest of the seeds.
    """
    rows = {name: onp.max([_linear_regression(initializer, number, num_steps)
                           for number in seeds], axis=0).tolist()
            for name, initializer in starts.items()}
    show_table(['linear regression', 'spread of the first gradient',
                'weights off least squares'],
               [(name, *row) for name, row in rows.items()])
    return rows


def _linear_regression(initializer, number, num_steps, lr=0.3):
    """Gradient descent on data of this seed from one start."""
    seed(number)
    X, y = synthetic_data(np.random.normal(size=(5, 1)), 4.2, 200)
    net, loss = nn.Dense(1), gluon.loss.L2Loss()
    net.initialize(initializer)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    first, _ = _descend(net, X, y, loss, trainer, num_steps, net.weight)
    A = onp.hstack([X.asnumpy(), onp.ones((len(X), 1))])
    exact = onp.linalg.lstsq(A, y.asnumpy(), rcond=None)[0][:-1, 0]
    return _spread(first.T) / len(X), float(abs(net.weight.data()[0].asnumpy()
                                 - exact).max())


def _softmax_starts(starts, seeds, data, num_epochs):
    """Softmax regression: each start, and its difference from zero."""
    runs = {name: onp.array([_softmax_regression(initializer, number, data,
                                                 num_epochs)
                             for number in seeds])
            for name, initializer in starts.items()}
    rows = {name: [*run.mean(axis=0).tolist(), *(
        x for i in (0, 1) for x in paired(run[:, i], runs['zero'][:, i]))]
        for name, run in runs.items()}
    show_table(['softmax regression', 'train loss', 'test acc'],
               [(name, *row[:2]) for name, row in rows.items()])
    show_table(['start - zero', 'loss', '+-', '', 'test acc', '+-', ''],
               [(name, *row[2:]) for name, row in rows.items()])
    return rows


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


def _mlp_starts(seeds, num_steps):
    """The control, on the quadrants of 4.8: equal and random weights.

    Of each the spread of the first gradient and the accuracy in training.
    """
    runs = {'equal': [], 'random': []}
    for number in seeds:
        seed(number)
        X, y = get_quadrants(200)
        for name, initializer in (('equal', init.Constant(0.5)),
                                  ('random', init.Normal(0.5))):
            one = train_from(initializer, X, y, num_steps=num_steps)
            runs[name].append((one.first_spread, one.accuracy))
    rows = {name: onp.mean(run, axis=0).tolist()
            for name, run in runs.items()}
    gain = paired(*([acc for _, acc in runs[name]]
                        for name in ('random', 'equal')))
    show_table(['MLP', 'spread of the first gradient', 'train acc'],
               [(name, *row) for name, row in rows.items()])
    print(f'random - equal: {gain[0]:.4g} +- {gain[1]:.4g}, {gain[2]}')
    return {**rows, 'random - equal': gain}


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
    eigenvalues 0 only, and their product has t^2.

    For gradients: after L layers the norm lies between the products of the
    smallest and of the largest singular values of the Jacobians. If all
    largest ones are below some c < 1 the gradient vanishes as fast as c^L; if
    all smallest ones are above some c > 1 it explodes. The ratio of the two
    is the condition number, and cond(AB) <= cond(A) cond(B): it may grow with
    each layer, and all stay well-conditioned for sure only if each one is. To
    have all of this, all singular values must be near 1: orthogonal matrices
    start there (and ReLU or tanh then only shrink). Xavier makes the typical
    factor 1, not each.

    Measured: of `2000` random pairs of `4 by 4` none breaks the bounds: the
    eigenvalues keep off the lower bound by a factor of 1.06 at least and off
    the upper by 1.09, and cond(A) cond(B) is 1.06 times cond(AB) at least.
    With t = 3 the product has the eigenvalue 9. A gradient of norm 1, 50
    linear layers of `64` units on, has the norm 5.7e-56 for weights of scale
    `0.01`, 5.7e44 for scale `1`, 0.40 for the variance 1 / d and 1 for
    orthogonal ones. (One draw of the matrices each.)
    """
    slack = [_slack(*np.random.normal(size=(2, 4, 4)).asnumpy())
             for _ in range(100 if quick else 2000)]
    low, high, cond = onp.min(slack, axis=0).tolist()
    print(f'of {len(slack)} random pairs, |lambda| / lower bound is at least '
          f'{low:.3f}, upper bound / |lambda| at least {high:.3f}, '
          f'cond(A) cond(B) / cond(AB) at least {cond:.3f}')
    A = onp.array([[0, 3.], [0, 0]])
    results = {'low': low, 'high': high, 'cond': cond, 'nilpotent': float(
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
    """By what factors |eigenvalues| of AB keep off the bounds: 1 or more.

    The last factor is by how much cond(A) cond(B) is more than cond(AB).
    """
    AB = A.astype('float64') @ B
    sizes = abs(onp.linalg.eigvals(AB))
    bounds = [onp.linalg.svd(M, compute_uv=False) for M in (A, B)]
    return (sizes.min() / (bounds[0][-1] * bounds[1][-1]),
            bounds[0][0] * bounds[1][0] / sizes.max(),
            onp.linalg.cond(A) * onp.linalg.cond(B) / onp.linalg.cond(AB))


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
    and Ginsburg, `2017`) gives each layer the rate lr * trust * ||w|| /
    ||gradient||, so a step changes each layer by the same share of its norm,
    however large or small the gradient came to it. It takes away the scale of
    the gradients; it does not give back what is lost in them (a gradient that
    underflowed to 0, outputs that overflowed, or a sigmoid so saturated that
    only noise is left). Clipping the gradient's norm and normalizing the
    activations work in the same spirit.

    Measured: five hidden layers of `64` units, `5` epochs of `5000` images, 3
    seeds; a loss that is not finite counts as diverged. From weights of scale
    `0.3` SGD at the rate `0.1` diverges in 2 of 3 runs, and the other one
    stays at the accuracy of a guess, 0.100. LARS reaches 0.593 +- 0.040
    there. A smaller rate mends it, too: SGD at `0.001` has 0.481 +- 0.032.
    From Xavier's start that rate has only 0.130 +- 0.020, and `0.1` has 0.510
    +- 0.021, while LARS with the same rate as before has 0.598 +- 0.014. So
    neither rate of SGD suits both starts; none between the two was tried.
    From scale `0.01` SGD stays at 0.100 at both rates, and LARS only begins
    to move, with 0.199 +- 0.001: it does not replace a good initialization.
    """
    data, seeds = _load(quick), draw_seeds(2 if quick else 3)
    starts = {'sigma 0.01': init.Normal(0.01), 'Xavier': init.Xavier(),
              'sigma 0.3': init.Normal(0.3)}
    rates = {sgd: (0.001, 0.1), lars: (1,)}
    results = {}
    for name, initializer in starts.items():
        for step, lrs in rates.items():
            for lr in lrs[:1] if quick else lrs:
                runs = [_train_deep(initializer, step, lr, data, number,
                                    1 if quick else 5) for number in seeds]
                results[f'{name}, {step.__name__}, lr {lr}'] = _summary(runs)
    show_table(['start, step', 'diverged', 'train loss', 'test acc', '+-'],
               [(name, *row) for name, row in results.items()])
    plot_dots(list(results), [[row[2] for row in results.values()]],
              'test acc')
    save_figure('exercise_4_8_4')
    return results


def _summary(runs):
    """How many of the `runs` diverged; mean loss, accuracy, its error.

    The loss is that of the runs that did not diverge, or a dash.
    """
    losses, accs = zip(*runs)
    finite = [l for l in losses if onp.isfinite(l)]
    return (len(runs) - len(finite), onp.mean(finite) if finite else '-',
            *mean_and_error(accs))


def _train_deep(initializer, step, lr, data, number, num_epochs):
    """Train five hidden layers; the last training loss, test accuracy."""
    seed(number)
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
            break
    return l, evaluate_accuracy(net, data[1])
