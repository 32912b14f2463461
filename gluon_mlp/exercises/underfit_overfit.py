"""Answers to the exercises of 4.4."""
import numpy as onp

from ..d2l.plotting import plot, save_figure
from ..underfit_overfit import (
    get_data,
    learning_curve,
    least_squares,
    mean_loss,
    true_w,
)
from .common import plot_dots, show_table

TRAIN = 100


def _data(num_examples=200, max_degree=20):
    """Poly features and labels as NumPy arrays in float64."""
    _, X, y = get_data(num_examples, max_degree)
    return X.asnumpy().astype(float), y.asnumpy().astype(float)


def exercise_1(quick=False):
    """The polynomial problem solved exactly

    The loss |Xw - y|^2 / 2n is least where its gradient X'(Xw - y) / n is
    zero: at w = (X'X)^-1 X'y, if the columns of X are independent. Solving
    X'X w = X'y squares the condition number of X, so a QR or singular value
    decomposition of X itself (`least_squares`) is the better way. Below,
    both ways, and the gradient at the solution.
    """
    X, y = _data()
    X, y = X[:TRAIN, :4], y[:TRAIN]
    normal = onp.linalg.solve(X.T @ X, X.T @ y)
    w = least_squares(X, y)
    rows = [('true weights', 5, 1.2, -3.4, 5.6), ("X'X w = X'y", *normal),
            ('decomposition of X', *w)]
    show_table(['', '1', 'x', 'x^2/2!', 'x^3/3!'], rows)
    gradient = abs(X.T @ (X @ w - y)).max() / len(y)
    print(f'largest element of the gradient there: {gradient:.2g}')
    order = onp.argsort(X[:, 1])
    plot(X[order, 1], [y[order], (X @ w)[order]], 'x', 'y',
         ['labels', 'exact solution'], fmts=['.', 'm-'])
    save_figure('exercise_4_4_1')
    return normal, w, gradient


def exercise_2a(quick=False):
    """Training loss against degree, and the degree that brings it to 0

    A larger degree contains the smaller ones, so the training loss of the
    exact solution never rises. A polynomial of degree n - 1 goes through n
    points of different x: the loss is 0 from there on, 99 for 100 examples.
    In floating point such a fit of 100 columns x^i / i! cannot be had, so
    the table takes 10 examples, where degree 9 does it.
    """
    return _by_degree(10, range(12), 'train', 'exercise_4_4_2a')


def exercise_2b(quick=False):
    """Test loss against degree

    It falls up to the true degree, 3, and rises afterwards, where further
    columns fit the noise: with 10 examples at once, with 100 hardly up to
    degree 7, and by orders of magnitude from then on. Such losses are of the
    few test points beyond the training data, where a high power runs away.
    """
    return (_by_degree(TRAIN, range(15), 'test', 'exercise_4_4_2b'),
            _by_degree(10, range(10), 'test', 'exercise_4_4_2b_10'))


def _by_degree(n, degrees, which, figure):
    X, y = _data(n + 1000, max(degrees) + 1)
    rows = []
    for degree in degrees:
        w = least_squares(X[:n, :degree + 1], y[:n])
        rows.append((degree, mean_loss(w, X[:n, :degree + 1], y[:n]),
                     mean_loss(w, X[n:, :degree + 1], y[n:])))
    show_table(['degree', 'train loss', 'test loss'], rows,
               f'{n} training examples')
    plot([row[0] for row in rows],
         [row[1 if which == 'train' else 2] for row in rows], 'degree',
         f'{which} loss', yscale='log')
    save_figure(figure)
    return rows


def exercise_2c(quick=False):
    """Both losses against the number of examples

    With few examples the training loss lies below half the noise's variance,
    0.005, as the fit follows the noise, and the test loss above it. Both
    tend to 0.005 as the examples grow; the more columns, the later. To first
    order in d / n, of d columns, they are 0.005 (1 - d/n) and
    0.005 (1 + d/n). That needs an n much larger than d: degree 6 at 40
    examples is worse by far, as x^6 at the rare large x rules its test loss.
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

    The columns x^i then differ by many powers of ten, and with them the
    curvature of the loss. Gradient descent converges for learning rates
    below 2 / (largest eigenvalue of X'X / n), and takes about as many steps
    as the condition number, to move along the flattest direction. Dividing
    by i! mends the first, from 1e-15 or so to about 1, and not the second:
    the columns of high degree become tiny and are hardly learned, which does
    no harm where their true weight is 0. Other cures: divide each column by
    its root mean square, scale x into [-1, 1], or take orthogonal
    polynomials, here by a QR decomposition, which mends both.
    """
    X, y = _data(TRAIN, 4 if quick else 20)
    factorial = onp.cumprod([1, *range(1, X.shape[1])], dtype=float)
    raw = X * factorial
    small = raw / abs(raw[:, 1]).max() ** onp.arange(X.shape[1])
    rows = []
    for name, A in (('x^i', raw), ('x^i / i!', X),
                    ('x^i / its root mean square',
                     raw / onp.sqrt((raw ** 2).mean(axis=0))),
                    ('x in [-1, 1]', small),
                    ('orthogonal',
                     onp.linalg.qr(X)[0] * len(X) ** 0.5)):
        values = onp.linalg.svd(A, compute_uv=False) ** 2 / len(A)
        rows.append((name, 2 / values[0], values[0] / values[-1]))
    show_table(['columns', 'lr must be below', "condition of X'X"], rows)
    names, lrs, _ = zip(*rows)
    plot_dots(names, [lrs], 'lr must be below', xscale='log')
    save_figure('exercise_4_4_3')
    return rows


def exercise_4(quick=False):
    """Can the generalization error be zero?

    With noise in the labels, no: the error of any function is at least the
    noise's, here E[noise^2] / 2 = 0.005. Without noise, yes, when the model
    contains the truth and the data determine it: the cubic is found from four
    points of different x, up to rounding.
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
