"""Answers to the exercises of 4.4."""
import numpy as onp

from ..d2l.plotting import plt, save_figure
from ..errors import NonFiniteLossError
from ..underfit_overfit import (
    get_data,
    learning_curve,
    least_squares,
    lr,
    mean_loss,
    num_epochs,
    train,
    true_w,
)
from .common import plot, plot_dots, show_table

TRAIN = 100


def _data(num_examples=200, max_degree=20):
    """Poly features and labels as NumPy arrays in float64."""
    _, X, y = get_data(num_examples, max_degree)
    return X.asnumpy().astype(float), y.asnumpy().astype(float)


def exercise_1(quick=False):
    """The polynomial problem solved exactly

    The loss `|Xw - y|^2 / 2n` is least where its gradient `X'(Xw - y) / n` is
    zero: at `w = (X'X)^-1 X'y`, if the columns of X are independent. Solving
    X'X w = X'y squares the condition number of X, so a QR or singular value
    decomposition of X itself (`least_squares`) is the better way.

    Measured: on `100` examples and four columns both ways agree to 7.1e-15,
    and no element of the gradient there is beyond 3.6e-15. The condition
    number is 4.07 for X and 16.6 for X'X, so here either way does; with 20
    columns the second would not (exercise 4.4.3). The weights are near the
    true ones: 5.016, 1.196, -3.417 and 5.62 instead of `5`, `1.2`, `-3.4` and
    `5.6`.
    """
    X, y = _data()
    X, y = X[:TRAIN, :4], y[:TRAIN]
    normal = onp.linalg.solve(X.T @ X, X.T @ y)
    w = least_squares(X, y)
    rows = [('true weights', 5, 1.2, -3.4, 5.6), ("X'X w = X'y", *normal),
            ('decomposition of X', *w)]
    show_table(['', '1', 'x', 'x^2/2!', 'x^3/3!'], rows)
    difference = abs(normal - w).max()
    print(f'largest difference of the two: {difference:.2g}')
    gradient = abs(X.T @ (X @ w - y)).max() / len(y)
    print(f'largest element of the gradient there: {gradient:.2g}')
    condition = [onp.linalg.cond(X), onp.linalg.cond(X.T @ X)]
    print("condition of X and of X'X: {:.4g}, {:.4g}".format(*condition))
    order = onp.argsort(X[:, 1])
    plot(X[order, 1], [y[order], (X @ w)[order]], 'x', 'y',
         ['labels', 'exact solution'], fmts=['.', 'm-'])
    save_figure('exercise_4_4_1')
    return {'normal': normal, 'w': w, 'gradient': gradient,
            'difference': difference, 'condition': condition}


def exercise_2a(quick=False):
    """Training loss against degree, and the degree that brings it to 0

    A larger degree contains the smaller ones, so the training loss of the
    exact solution never rises. A polynomial of degree n - 1 goes through n
    points of different x, so the loss is 0 from there on: from 9 for 10
    examples, from 99 for `100`. In floating point such a fit of `100` columns
    `x^i / i!` cannot be had, so 10 examples are taken.

    Measured: in 25 draws of 10 examples the median loss of the exact fit
    falls from 6.89 for degree 0 to 0.0032 for degree 3, the true one, to
    0.00038 for degree 8, and to 3.7e-24, rounding alone, for degree 9. The
    test loss has its least at degree 3 in all 25 draws: a training loss of 0
    is no aim.
    """
    return _by_degree(10, range(12), quick, 'train', 'exercise_4_4_2a')


def exercise_2b(quick=False):
    """Test loss against degree

    It falls up to the true degree, 3, and rises afterwards, where further
    columns fit the noise. More examples put that off: a column more costs
    little until the few test points beyond the training data, where a high
    power runs away, rule the mean.

    Measured: 25 draws, exact fits, medians, `1000` test points. With `100`
    examples the loss is 2.87 at degree 2, 0.0052 at 3, 0.0058 at 5, 0.034 at
    7 and 1.8e4 at 14; degree 3 is the best in 19 draws, 4 in 5, 5 in 1. With
    10 examples it is 0.013 at 3 and 0.24 at 4 already; degree 3 is the best
    in 23 draws, which are not those of exercise 4.4.2a.
    """
    return (_by_degree(TRAIN, range(15), quick, 'test', 'exercise_4_4_2b'),
            _by_degree(10, range(10), quick, 'test', 'exercise_4_4_2b_10'))


def _by_degree(n, degrees, quick, which, figure):
    """Rows of degree, losses (medians over draws), and how often it is best.

    The best degree of a draw is the one with the least test loss.
    """
    losses = []
    for _ in range(3 if quick else 25):
        X, y = _data(n + 1000, max(degrees) + 1)
        fits = [X[:, :d + 1] @ least_squares(X[:n, :d + 1], y[:n])
                for d in degrees]
        losses.append([[((fit - y)[part] ** 2).mean() / 2 for part in (
            slice(n), slice(n, None))] for fit in fits])
    losses = onp.array(losses)  # draw, degree, train or test
    best = losses[:, :, 1].argmin(axis=1)
    rows = [(d, *onp.median(losses[:, i], axis=0), int((best == i).sum()))
            for i, d in enumerate(degrees)]
    show_table(['degree', 'train loss', 'test loss', 'times best'], rows,
               f'{n} training examples, medians over {len(losses)} draws')
    plot([row[0] for row in rows],
         [row[1 if which == 'train' else 2] for row in rows], 'degree',
         f'{which} loss', yscale='log')
    save_figure(figure)
    return rows


def exercise_2c(quick=False):
    """Both losses against the number of examples

    With few examples the training loss lies below half the noise's variance,
    `0.005`, as the fit follows the noise, and the test loss above it. Both
    tend to `0.005` as the examples grow; the more columns, the later. To
    first order in d / n, of d columns, they are `0.005 (1 - d/n)` and `0.005
    (1 + d/n)`. That needs an n much larger than d.

    Measured: medians over 50 draws. The cubic has 0.0029 in training and
    0.0142 in test with 10 examples, 0.0046 and 0.0056 with 40 (the formulas
    say `0.0045` and `0.0055`), 0.0049 and 0.0049 with 1,280. Degree 6 has
    test losses of 501.7, 0.060 and 0.0052: x^6 at the rare large x rules them
    until the examples are many.
    """
    sizes, draws = ([10, 40], 5) if quick else ([10, 20, 40, 80, 320, 1280],
                                                50)
    curves = [learning_curve(sizes, degree, draws) for degree in (3, 6)]
    names = [f'{model}: {part}' for model in ('cubic', 'degree 6')
             for part in ('train', 'test')]
    show_table(['examples', *names], [(*a, *b[1:]) for a, b in zip(*curves)])
    plot(sizes, [[row[i] for row in rows] for rows in curves
                 for i in (1, 2)], 'training examples', 'loss', names,
         xscale='log', yscale='log')
    save_figure('exercise_4_4_2c')
    return curves


def exercise_3(quick=False):
    """Without dividing by i!

    The columns x^i differ by many powers of ten, and with them the curvature
    of the loss. Gradient descent converges for learning rates below 2 /
    (largest eigenvalue of X'X / n), and takes about as many steps as the
    condition number of X'X to move along the flattest direction. Dividing by
    i! mends the first and makes the second worse: the columns of high degree
    become so flat that they are never learned. That does no harm, as their
    true weight is 0; it even prevents overfitting. Other cures: divide each
    column by its root mean square, scale x into [-1, 1], or take orthogonal
    polynomials, by a QR decomposition. The last mends both. Then all 20
    columns are learned at once, noise included, which is overfitting at its
    full: what is easy to train is not yet what generalizes.

    Measured: medians of 3 draws of `100` examples, degree 19. Raw columns
    need a rate below 3.0e-15; at the section's `0.01` SGD diverges in all 3
    draws, and at its own rate, half that bound, gradient descent has a
    training loss of 14.45 after `4000` steps. Dividing by i! allows 1.1,
    though the condition rises from 4.1e21 to 7.7e31 (near float64's end, so
    no better than orders of magnitude); the test losses are 0.065 by SGD at
    `0.01` and 0.0059 by descent at its own rate. Root mean squares end at
    1.75 and [-1, 1] at 0.46, at their own rates. Orthogonal columns have
    condition 1, the least training loss, 0.0040, and a test loss of 3.1e7.
    """
    found = {}
    for _ in range(2 if quick else 3):
        X, y = _data(2 * TRAIN, 4 if quick else 20)
        for name, A in _columns(X).items():
            found.setdefault(name, []).append(
                (*_curvature(A[:TRAIN]), *_descend(A, y, quick),
                 _sgd(A, y, quick)))
    rows = [(name, *onp.median(values, axis=0),
             sum(value[-1] == onp.inf for value in values))
            for name, values in found.items()]
    show_table(['columns', 'lr must be below', "condition of X'X",
                'train loss, own lr', 'test loss, own lr',
                f'test loss, lr {lr}', 'diverged'], rows,
               f'medians of {len(found["x^i"])} draws')
    names, lrs, *_ = zip(*rows)
    plot_dots(names, [lrs], 'lr must be below', xscale='log')
    save_figure('exercise_4_4_3')
    return rows


def _columns(X):
    """The columns x^i / i! of X, and the same scaled in other ways."""
    raw = X * onp.cumprod([1, *range(1, X.shape[1])], dtype=float)
    fitted = X[:TRAIN]
    return {'x^i': raw, 'x^i / i!': X,
            'x^i / its root mean square':
                raw / onp.sqrt((raw[:TRAIN] ** 2).mean(axis=0)),
            'x in [-1, 1]':
                raw / abs(fitted[:, 1]).max() ** onp.arange(X.shape[1]),
            'orthogonal': X @ onp.linalg.inv(onp.linalg.qr(fitted)[1])
                * TRAIN ** 0.5}


def _curvature(A):
    """The bound of the learning rate, and the condition of A'A."""
    values = onp.linalg.svd(A, compute_uv=False) ** 2 / len(A)
    return 2 / values[0], values[0] / values[-1]


def _sgd(A, y, quick):
    """The section's test loss after SGD on columns A; inf: it diverged."""
    A, y = A.astype('float32'), y.astype('float32')
    try:
        _, history = train(A[:TRAIN], A[TRAIN:], y[:TRAIN], y[TRAIN:],
                           1 if quick else num_epochs)
    except NonFiniteLossError:
        return onp.inf
    finally:
        plt.close()
    return history[-1][2]


def _descend(A, y, quick):
    """Both losses after gradient descent at half the bound of its rate."""
    X, w = A[:TRAIN], onp.zeros(A.shape[1])
    eta = _curvature(X)[0] / 2
    for _ in range(100 if quick else 4000):
        w -= eta * X.T @ (X @ w - y[:TRAIN]) / TRAIN
    return mean_loss(w, X, y[:TRAIN]), mean_loss(w, A[TRAIN:], y[TRAIN:])


def exercise_4(quick=False):
    """Can the generalization error be zero?

    With noise in the labels, no: the error of any function is at least the
    noise's, here `E[noise^2] / 2 = 0.005`. Without noise, yes, when the model
    contains the truth and the data determine it: the cubic is found from four
    points of different x, up to rounding.

    Measured: the exact cubic fit on `1000` test points of one draw. Without
    noise the loss is 12.0 with 3 examples and 3.1e-29 with 4; with noise it
    is 0.43 with 4, and 0.0052 with `1000`, just above the noise's.
    """
    X, y = _data(2000, 4)
    sizes = (3, 4, 5, 7, 10, 20, 50, 100, 300, 1000)
    losses = {
        name: [mean_loss(least_squares(X[:n], labels[:n]), X[1000:],
                         labels[1000:]) for n in sizes]
        for name, labels in (('with noise', y), ('without', X @ true_w))}
    show_table(['examples', *losses], list(zip(sizes, *losses.values())))
    plot(sizes, list(losses.values()), 'training examples', 'test loss',
         list(losses), xscale='log', yscale='log')
    save_figure('exercise_4_4_4')
    return losses
