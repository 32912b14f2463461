"""Answers to the exercises of 4.5."""
import numpy as onp
from mxnet import autograd, np, npx

from ..d2l.data import ArrayIter
from ..d2l.plotting import plot, plt, save_figure
from ..d2l.training import seed
from ..weight_decay import (
    l2_penalty,
    largest_lambd,
    load_data,
    lr,
    n_train,
    train,
)
from .common import draw_seeds, show_table

npx.set_np()

LAMBDS = (0, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
NUM_INPUTS = 200


def _losses(lambd, data, number, num_epochs):
    """The last train and held-out loss, from the weights of seed `number`."""
    seed(number)
    _, history = train(lambd, *data, NUM_INPUTS, num_epochs)
    plt.close()
    return history[-1][1:]


def exercise_1(quick=False):
    """Training and test error against lambda

    A larger lambda lets the weights fit the training data less, so the
    training loss rises. The test loss falls by orders of magnitude, as the
    random start decays: in the directions of which 20 examples say nothing,
    180 of 200, only the penalty moves the weights. From about 30 on it is
    flat, near the 200 * 0.01^2 / 2 = 0.01 of w = 0: so few examples tell so
    little of the weights that it costs next to nothing to hold them below
    their true 0.01. A step multiplies w by I - lr (lambd I + X'X / n). So
    training diverges once lr (lambd + mu) exceeds 2, for the largest
    eigenvalue mu of X'X / n. Here mu is about 16, and lambd may be 650, not
    2 / lr = 667. Each lambda starts from the same weights; the losses exclude
    the penalty.
    """
    data, (number,) = load_data(), draw_seeds(1)
    rows = [(lambd, *_losses(lambd, data, number, 5 if quick else 100))
            for lambd in (LAMBDS[::3] if quick else LAMBDS)]
    show_table(['lambd', 'train loss', 'test loss'], rows)
    best = min(rows, key=lambda row: row[2])
    print(f'least test loss: at lambd = {best[0]}, '
          f'{best[2] / rows[0][2]:.2g} of that without decay')
    X = data[0].first(n_train)[0].asnumpy()
    print(f'training diverges from lambd = {largest_lambd(X, lr):.3g} on')
    lambds, *losses = zip(*rows)
    plot(range(len(rows)), losses, 'lambd', 'loss', ['train', 'test'],
         yscale='log').set_xticks(range(len(rows)), lambds)
    save_figure('exercise_4_5_1')
    return rows


def exercise_2(quick=False):
    """Lambda chosen on a validation set

    The chosen value is the best for that validation set, a random sample,
    not for all data. It need not be the optimum, and near it that hardly
    matters, as the error is flat at its minimum: the table shows, for five
    data sets and validation sets of 20, what is chosen and how much test loss
    that costs against the best lambda in hindsight. It is a few percent at
    most, though the two differ by up to three times; no decay costs ten
    thousand times as much. The order of magnitude is what matters.
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
    _, chosen, _, best, none = zip(*rows)
    plot(range(1, repeats + 1), [none, chosen, best], 'data set', 'test loss',
         ['no decay', 'chosen', 'best in hindsight'], yscale='log',
         fmts=['o', 'x', '+']).set_xticks(range(1, repeats + 1))
    save_figure('exercise_4_5_2')
    return rows


def _choose(train_iter, valid, test, number, num_epochs):
    held_out = [ArrayIter(part, 20, shuffle=False) for part in (valid, test)]
    valid_losses, test_losses = (
        [_losses(lambd, (train_iter, part), number, num_epochs)[1]
         for lambd in LAMBDS] for part in held_out)
    chosen, best = onp.argmin(valid_losses), onp.argmin(test_losses)
    return (LAMBDS[chosen], test_losses[chosen], LAMBDS[best],
            test_losses[best], test_losses[0])


def exercise_3(quick=False):
    """The update for an L1 penalty

    With lambd sum |w_i| the gradient gets lambd sign(w) instead of lambd w:
    w <- w - eta lambd sign(w) - eta (mean gradient of the loss). Each step
    takes off the same amount, whatever the size of w, where L2 takes off a
    share: small weights go to 0, which makes w sparse. As sign jumps at 0,
    weights jitter around it; a proximal step sets them to 0 instead,
    w <- sign(w) max(|w| - eta lambd, 0) after the step of the loss. The plot
    has these steps alone, eta lambd = 0.05, from a large and a small weight.
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
    plot(steps, [curve for start in (3, 0.5) for curve in (
        onp.maximum(start - shrink * steps, 0),
        start * (1 - shrink) ** steps)],
         'steps of the penalty alone', 'w', [
             f'{name} from {start}' for start in (3, 0.5)
             for name in ('L1', 'L2')])
    save_figure('exercise_4_5_3')
    return grads


def exercise_4(quick=False):
    """What |w|^2 = w'w is for a matrix

    The squared Frobenius norm, |W|_F^2 = sum of W_ij^2 = tr(W'W): that of all
    elements as one long vector, and the sum of the squared singular values.
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

    More data, or variations of what there is (augmentation); a smaller model
    or fewer features; stopping early, by the validation loss; noise on the
    inputs or the hidden units (dropout, 4.6); an L1 penalty; sharing weights
    (convolution); averaging several models. More data, measured in the same
    problem with lambd = 0:
    """
    number, = draw_seeds(1)
    rows = [(n, *_losses(0, load_data(n), number, 2 if quick else 50))
            for n in ((20, 100) if quick else (20, 100, 500, 2000))]
    show_table(['examples', 'train loss', 'test loss'], rows,
               'the same number of epochs, so more steps with more data')
    plot([row[0] for row in rows], [[row[i] for row in rows] for i in (1, 2)],
         'training examples', 'loss', ['train', 'test'], xscale='log',
         yscale='log')
    save_figure('exercise_4_5_5')
    return rows


def exercise_6(quick=False):
    """The prior that a penalty stands for

    By Bayes, P(w | data) is proportional to P(data | w) P(w), so its maximum
    minimizes -log P(data | w) - log P(w): the loss plus a penalty. Normal
    weights, P(w) ~ exp(-|w|^2 / 2 tau^2), give |w|^2 / 2 tau^2, the L2
    penalty; with noise of variance s^2 and the mean loss over n examples,
    lambd = s^2 / (n tau^2). A Laplace prior ~ exp(-|w|_1 / b) gives L1. No
    penalty is a flat prior. Below: the most probable w by the formula for
    normal variables, and the minimum of the penalized loss.
    """
    n, d, s, tau = 20, 5, 0.5, 2.0
    X = np.random.normal(0, 1, (n, d), dtype='float64').asnumpy()
    y = np.random.normal(0, 1, n, dtype='float64').asnumpy()
    covariance = tau ** 2 * X @ X.T + s ** 2 * onp.eye(n)
    bayes = tau ** 2 * X.T @ onp.linalg.solve(covariance, y)
    lambd = s ** 2 / (n * tau ** 2)
    ridge = onp.linalg.solve(X.T @ X / n + lambd * onp.eye(d), X.T @ y / n)
    show_table(['posterior mode', 'penalized loss'], list(zip(bayes, ridge)))
    w = onp.linspace(-3, 3, 121)
    plot(w, [w ** 2 / 2, abs(w), 0 * w], 'w', '-log P(w) + constant',
         ['normal: L2', 'Laplace: L1', 'flat: none'])
    save_figure('exercise_4_5_6')
    return bayes, ridge
