"""Answers to the exercises of 4.5."""
from functools import partial

import numpy as onp
from mxnet import autograd, gluon, init, lr_scheduler, np, npx
from mxnet.gluon import nn

from ..d2l import fashion_mnist
from ..d2l.data import ArrayIter
from ..d2l.plotting import save_figure
from ..d2l.training import (
    evaluate_accuracy,
    evaluate_loss,
    seed,
    train_epoch_ch3,
)
from ..weight_decay import (
    batch_size,
    decayed_step,
    l2_penalty,
    largest_lambd,
    load_data,
    lr,
    n_train,
    train,
)
from .common import (
    draw_seeds,
    mean_and_error,
    paired,
    plot,
    plot_dots,
    show_table,
)

npx.set_np()

LAMBDS = 0, 0.1, 0.3, 1, 3, 10, 30, 100, 300
NUM_INPUTS = 200
LOSS = gluon.loss.SoftmaxCrossEntropyLoss()


def _losses(lambd, data, number, num_epochs):
    """The last train and held-out loss, from the weights of seed `number`."""
    seed(number)
    _, history = train(lambd, *data, NUM_INPUTS, num_epochs, quiet=True)
    return history[-1][1:]


def exercise_1(quick=False):
    """Training and test error against lambda

    A larger lambda lets the weights fit the training data less, so the
    training loss rises. The test loss falls by orders of magnitude, as the
    random start decays: in the directions of which 20 examples say nothing,
    `180` of `200`, only the penalty moves the weights. It ends near `200 *
    0.01^2 / 2 = 0.01`, the loss of w = 0. Three data sets do not show what
    too large a lambda costs: from 10 on all test losses are a tie.

    Lambda has an upper bound. A step multiplies w by I - lr (lambd I + X'X /
    n), so training diverges once lr (lambd + mu) exceeds 2, for the largest
    eigenvalue mu of X'X / n: here beyond about 650, which is less than `2 /
    lr = 667`.

    Measured: three data sets, each lambda from the same weights; the losses
    leave out the penalty. From lambda 0 to 300 the training loss rises from
    3.9e-6 to 0.0122, and the test loss falls from 82.0 to 0.00999. It is
    0.108 at 3, the section's, which is 0.098 +- 0.015 above that at 300, and
    0.0209 at 10. From 10 on all is a tie with 300: 30 is 0.0015 +- 0.0010
    above it, 100 is 0.0001 +- 0.0002. The bounds are 650.4, 650.3 and 651.3:
    `0.5` % below them SGD on batches of 5 takes a random w to 3.7e-12 of its
    norm or less in `500` epochs, and `0.5` % above them to 1.8e5 times its
    norm or more.
    """
    lambds = LAMBDS[::3] if quick else LAMBDS
    losses, bounds = {lambd: [] for lambd in lambds}, []
    for number in draw_seeds(2 if quick else 3):
        seed(number)
        data = load_data()
        bounds.append(_bound(data[0].first(n_train)[0].asnumpy(), number,
                             quick))
        for lambd in lambds:
            losses[lambd].append(_losses(lambd, data, number + 1,
                                         5 if quick else 100))
    test = {lambd: onp.array(values)[:, 1]
            for lambd, values in losses.items()}
    best = min(test, key=lambda lambd: test[lambd].mean())
    rows = [(lambd, *onp.mean(values, axis=0), *paired(test[lambd], test[
        best])) for lambd, values in losses.items()]
    show_table(['lambd', 'train loss', 'test loss', '- least', '+-', ''],
               rows)
    show_table(['2 / lr - mu', 'norm grows by: 0.5 % below', '0.5 % above'],
               bounds)
    xs, *curves = zip(*(row[:3] for row in rows))
    plot(range(len(rows)), curves, 'lambd', 'loss', ['train', 'test'],
         yscale='log').set_xticks(range(len(rows)), xs)
    save_figure('exercise_4_5_1')
    return {'rows': rows, 'bounds': bounds}


def _bound(X, number, quick):
    """The bound of lambd, and by what w grows 0.5 % below and above it.

    SGD takes the section's steps, on batches of 5, and all labels are 0.
    """
    bound, growth = largest_lambd(X, lr), []
    for lambd in (0.995 * bound, 1.005 * bound):
        rng = onp.random.RandomState(number)
        w = start = rng.normal(size=X.shape[1])
        for _ in range(25 if quick else 500):
            for batch in rng.permutation(X).reshape(-1, batch_size,
                                                    X.shape[1]):
                w = decayed_step(w, batch.T @ (batch @ w) / batch_size, lr,
                                 lambd)
        growth.append(onp.linalg.norm(w) / onp.linalg.norm(start))
    return bound, *growth


def exercise_2(quick=False):
    """Lambda chosen on a validation set

    The chosen value is the best for that validation set, a random sample, not
    for all data. It need not be the optimum, and near it that hardly matters,
    as the error is flat at its minimum. Without decay the error is thousands
    of times as large here. That is due to the section's random start, which
    in `180` of `200` directions only the penalty takes away (exercise 4.5.1);
    it says nothing about weights that start at 0.

    Measured: five data sets, validation sets of 20, and lambda of 0, `0.3`,
    3, 30 or `300`. The chosen one is the best for the other `80` test
    examples, in hindsight, in three of five, and else ten times larger or
    smaller. It costs little: its test loss is 1.006 +- 0.005 times that of
    the best. No decay costs 9,857 +- 1,253 times as much.
    """
    repeats, num_epochs = (2, 5) if quick else (5, 100)
    rows = []
    for number in draw_seeds(repeats):
        # Not from this seed, of the weights: they would be the first example.
        train_iter, test_iter = load_data()
        X, y = test_iter.arrays
        valid, test = (X[:20], y[:20]), (X[20:], y[20:])
        rows.append(_choose(train_iter, valid, test, number, num_epochs))
    show_table(['chosen', 'its test loss', 'best in hindsight',
                'its test loss', 'test loss, no decay'], rows)
    _, chosen, _, best, none = onp.transpose(rows)
    ratios = [(name, *mean_and_error(losses / best)) for name, losses in (
        ('chosen', chosen), ('no decay', none))]
    show_table(['test loss / best in hindsight', 'mean', '+-'], ratios)
    plot(range(1, repeats + 1), [none, chosen, best], 'data set', 'test loss',
         ['no decay', 'chosen', 'best in hindsight'], yscale='log',
         fmts=['o', 'x', '+']).set_xticks(range(1, repeats + 1))
    save_figure('exercise_4_5_2')
    return {'rows': rows, 'ratios': ratios}


def _choose(train_iter, valid, test, number, num_epochs):
    held_out = [ArrayIter(part, 20, shuffle=False) for part in (valid, test)]
    lambds = LAMBDS[::2]
    valid_losses, test_losses = (
        [_losses(lambd, (train_iter, part), number, num_epochs)[1]
         for lambd in lambds] for part in held_out)
    chosen, best = onp.argmin(valid_losses), onp.argmin(test_losses)
    return (lambds[chosen], test_losses[chosen], lambds[best],
            test_losses[best], test_losses[0])


def exercise_3(quick=False):
    """The update for an L1 penalty

    With lambd sum |w_i| the gradient gets lambd sign(w) instead of lambd w: w
    <- w - eta lambd sign(w) - eta (mean gradient of the loss). Each step
    takes off the same amount, whatever the size of w, where L2 takes off a
    share. So small weights go to 0, which makes w sparse. As sign jumps at 0,
    weights jitter around it; a proximal step sets them to 0 instead, w <-
    sign(w) max(|w| - eta lambd, 0) after the step of the loss.

    Measured: autograd gives -1, -1, 1, 1 for the L1 penalty of w = (-2,
    `-0.5`, `0.25`, 3), and w itself for L2. 80 steps of the penalty alone,
    proximal for L1, with eta lambd = `0.05`: L1 takes weights of 3 and of
    `0.5` to 0 exactly, L2 leaves 0.0495 and 0.0083.
    """
    w = np.array([-2.0, -0.5, 0.25, 3.0])
    w.attach_grad()
    grads = []
    for penalty in (lambda w: np.abs(w).sum(), l2_penalty):
        with autograd.record():
            l = penalty(w)
        l.backward()
        grads.append(w.grad.tolist())
    show_table(['w', 'gradient of L1', 'gradient of L2'],
               list(zip(w.tolist(), *grads)))
    steps, shrink = onp.arange(81), 0.05  # shrink is eta lambd
    curves = [curve for start in (3, 0.5) for curve in (
        onp.maximum(start - shrink * steps, 0),
        start * (1 - shrink) ** steps)]
    left = [curve[-1] for curve in curves]
    show_table(['from', 'by L1', 'by L2'], [(3, *left[:2]), (0.5, *left[2:])],
               f'w after {steps[-1]} steps of the penalty alone')
    plot(steps, curves,
         'steps of the penalty alone', 'w', [
             f'{name} from {start}' for start in (3, 0.5)
             for name in ('L1', 'L2')])
    save_figure('exercise_4_5_3')
    return {'gradients': grads, 'left': left}


def exercise_4(quick=False):
    """What |w|^2 = w'w is for a matrix

    The squared Frobenius norm, |W|_F^2 = sum of W_ij^2 = tr(W'W): that of all
    elements as one long vector, and the sum of the squared singular values.

    Measured: for a random matrix of 4 rows and 3 columns all three are
    18.5802.
    """
    W = np.random.normal(0, 1, (4, 3), dtype='float64').asnumpy()
    rows = [('sum of squares', (W ** 2).sum()), ("tr(W'W)",
                                                 onp.trace(W.T @ W)),
            ('squared singular values',
             (onp.linalg.svd(W, compute_uv=False) ** 2).sum())]
    show_table(['a random matrix', 'value'], rows)
    return dict(rows)


def exercise_5(quick=False):
    """Other ways against overfitting

    Apart from decay, more data and a smaller model: stop early, by the loss
    on held-out data; put noise on the inputs, or on the hidden units
    (dropout, section 4.6); vary the data by what leaves the label as it is
    (augmentation); average several models; share weights (convolution);
    penalize in another way, such as L1. All keep a network from relying on
    what only its sample has. None is free: a way helps where its assumption
    holds and what it costs is little.

    Measured: an MLP of `256` hidden units on `200` images, which it learns by
    heart: a train loss of 0.015, a test loss of 0.913 and a test accuracy of
    0.746. Three seeds, `60` epochs at a rate that falls to 0. Dropout of
    `0.5` lowers the loss by 0.046 +- 0.010, but does not raise the accuracy
    (a tie). Stopping early, by the loss on a fifth of the images, lowers the
    accuracy by 0.034 +- 0.005. Its control, which trains on the other four
    fifths to the end, has 0.024 +- 0.002 less, so most of that is due to the
    missing images. The control's test loss is above by 0.056 +- 0.011, and
    stopping takes that back, to a tie with none. Noise of scale `0.2` (loss
    above by 0.016 +- 0.004) and the mean of three networks (less by 0.014 +-
    0.006) are ties. Mirror images harm the loss by 0.020 +- 0.001, perhaps
    since shoes all point one way here.
    """
    num_epochs = 2 if quick else 60
    results = {name: [] for name in WAYS}
    for number in draw_seeds(2 if quick else 3):
        for name, way in WAYS.items():
            results[name].append(way(_few(quick), number, num_epochs))
    accs, losses, train_losses = (
        {name: onp.array(values)[:, i] for name, values in results.items()}
        for i in range(3))
    rows = [(name, train_losses[name].mean(), accs[name].mean(),
             *paired(accs[name], accs['none']), losses[name].mean(),
             *paired(losses[name], losses['none'])) for name in results]
    for what, part in ('test acc', slice(2, 6)), ('test loss', slice(6, 10)):
        show_table(['', 'train loss', what, '- none', '+-', ''],
                   [(*row[:2], *row[part]) for row in rows])
    plot_dots(list(results), [[row[2] for row in rows]], 'test acc')
    save_figure('exercise_4_5_5')
    return rows


def _few(quick):
    """200 images to train on, as arrays, and the test images."""
    data = fashion_mnist.load()
    n, m = (100, 300) if quick else (200, 10000)
    return ([data.train_images[:n], data.train_labels[:n]],
            ArrayIter([data.test_images[:m], data.test_labels[:m]], 1000,
                      shuffle=False))


def _network(number, dropout=0):
    """784-256-10 with dropout on the hidden units, from this seed."""
    seed(number)
    net = nn.HybridSequential()
    net.add(nn.Dense(256, activation='relu'), nn.Dropout(dropout),
            nn.Dense(10))
    net.initialize(init.Xavier())
    net.hybridize()
    return net


def _fit(net, arrays, num_epochs, change=lambda X: X, each=lambda: None):
    """Train by SGD on images that `change` has changed, anew each epoch.

    The learning rate falls to 0. Calls `each()` after each epoch.
    """
    train_iter = ArrayIter(arrays, 20, shuffle=True)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {
        'lr_scheduler': lr_scheduler.PolyScheduler(
            num_epochs * len(train_iter), 0.3, pwr=1)})
    for _ in range(num_epochs):
        train_epoch_ch3(net, [(change(X), y) for X, y in train_iter], LOSS,
                        trainer)
        each()


def _score(nets, arrays, test_iter):
    """Test accuracy, and test and train loss, of mean probabilities."""
    def log_mean(X):
        return np.log(sum(npx.softmax(net(X)) for net in nets) / len(nets))
    train_iter = ArrayIter(arrays, len(arrays[0]), shuffle=False)
    return (evaluate_accuracy(log_mean, test_iter),
            evaluate_loss(log_mean, test_iter, LOSS),
            evaluate_loss(log_mean, train_iter, LOSS))


def _plain(data, number, num_epochs, dropout=0, **how):
    arrays, test_iter = data
    net = _network(number, dropout)
    _fit(net, arrays, num_epochs, **how)
    return _score([net], arrays, test_iter)


def _stopped(data, number, num_epochs):
    """Of all epochs the one of the least loss on a fifth of the images."""
    arrays, test_iter = data
    n = len(arrays[0]) // 5
    valid_iter = ArrayIter([a[:n] for a in arrays], n, shuffle=False)
    net, found = _network(number), []

    def each():
        loss = evaluate_loss(net, valid_iter, LOSS)
        if not found or loss < found[-1][0]:
            found.append((loss, _score([net], arrays, test_iter)))
    _fit(net, [a[n:] for a in arrays], num_epochs, each=each)
    return found[-1][1]


def _fewer(data, *args):
    """The control of `_stopped`: the images that it trains on, to the end."""
    arrays, test_iter = data
    return _plain(([a[len(a) // 5:] for a in arrays], test_iter), *args)


def _ensemble(data, number, num_epochs):
    arrays, test_iter = data
    nets = [_network(number + i) for i in range(3)]
    for net in nets:
        _fit(net, arrays, num_epochs)
    return _score(nets, arrays, test_iter)


def _noisy(X):
    return X + np.random.normal(scale=0.2, size=X.shape)


def _flipped(X):
    """Each image or its mirror image."""
    flip = np.random.uniform(size=(len(X), 1, 1, 1)) < 0.5
    return np.where(flip, X[..., ::-1], X)


WAYS = {'none': _plain, 'four fifths': _fewer, 'stopped': _stopped,
        'noisy': partial(_plain, change=_noisy),
        'mirrored': partial(_plain, change=_flipped),
        'dropout': partial(_plain, dropout=0.5),
        '3 nets': _ensemble}


def exercise_6(quick=False):
    """The prior that a penalty stands for

    By Bayes, P(w | data) is proportional to P(data | w) P(w), so its maximum
    minimizes -log P(data | w) - log P(w): the loss plus a penalty. Normal
    weights, P(w) ~ exp(-|w|^2 / 2 tau^2), give |w|^2 / 2 tau^2, the L2
    penalty; with noise of variance s^2 and the mean over n examples of half
    the squared error, lambd = s^2 / (n tau^2). A Laplace prior ~ exp(-|w|_1 /
    b) gives L1. No penalty is a flat prior.

    Measured: for 20 random examples of 5 features, s = `0.5` and tau = 2, the
    most probable w by the formula for normal variables, and the minimum of
    the penalized loss, by linear equations in float64, agree to 3.4e-14.
    """
    n, d, s, tau = 20, 5, 0.5, 2.0
    X = np.random.normal(0, 1, (n, d), dtype='float64').asnumpy()
    y = np.random.normal(0, 1, n, dtype='float64').asnumpy()
    covariance = tau ** 2 * X @ X.T + s ** 2 * onp.eye(n)
    bayes = tau ** 2 * X.T @ onp.linalg.solve(covariance, y)
    lambd = s ** 2 / (n * tau ** 2)
    ridge = onp.linalg.solve(X.T @ X / n + lambd * onp.eye(d), X.T @ y / n)
    show_table(['posterior mode', 'penalized loss'], list(zip(bayes, ridge)))
    difference = abs(bayes - ridge).max()
    print(f'largest difference: {difference:.1e}')
    w = onp.linspace(-3, 3, 121)
    plot(w, [w ** 2 / 2, abs(w), 0 * w], 'w', '-log P(w) + constant',
         ['normal: L2', 'Laplace: L1', 'flat: none'])
    save_figure('exercise_4_5_6')
    return {'bayes': bayes, 'ridge': ridge, 'difference': difference}
