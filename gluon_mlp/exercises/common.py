"""What the answers share: tables, plots, data and quiet trainings."""
from functools import partial

import numpy as onp
from mxnet import gluon, npx
from rich import box
from rich.console import Console
from rich.table import Table

from ..d2l import fashion_mnist, plotting
from ..d2l.data import ArrayIter
from ..d2l.training import train_ch3

npx.set_np()
plot = partial(plotting.plot, figsize=(5, 2.5))

# Student's t, of which 95 % of the draws lie within, by the number of seeds.
T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}


def mean_and_error(values):
    """The mean and its standard error."""
    return (float(onp.mean(values)),
            float(onp.std(values, ddof=1) / len(values) ** 0.5))


def paired(a, b):
    """How `a` and `b` differ, which have a number for each of some seeds.

    Both have the same seeds, from which they start and shuffle alike. Returns
    the mean of a - b, its standard error, and 'more' or 'less' if the mean is
    beyond the 95 % range of chance, or else 'a tie'.
    """
    mean, error = mean_and_error(onp.subtract(a, b))
    if abs(mean) <= T[len(a)] * error:
        return mean, error, 'a tie'
    return mean, error, 'more' if mean > 0 else 'less'  # NaN, diverged: less


def judge(what, scores, usual):
    """Compare settings with the `usual` one, and with the best of them.

    `scores` has for each setting an accuracy for each seed, and the best has
    the largest mean. Prints and returns rows of the setting, the mean, and
    what `paired` says against both.
    """
    best = max(scores, key=lambda name: onp.nan_to_num(scores[name].mean()))
    rows = [(name, accs.mean(), *paired(accs, scores[usual]),
             *paired(accs, scores[best])) for name, accs in scores.items()]
    show_table([what, 'mean', f'- {usual}', '+-', '', f'- {best}', '+-', ''],
               rows, f'accuracies, over {len(scores[usual])} seeds')
    return rows


def differences(what, scores, *pairs):
    """By how much `what` is more for the first of each of the `pairs`.

    `scores` has a number for each seed or fold by name. Prints and returns
    {'a - b': what `paired` says}.
    """
    found = {f'{a} - {b}': paired(scores[a], scores[b]) for a, b in pairs}
    show_table([f'difference of {what}', 'mean', '+-', ''],
               [(name, *row) for name, row in found.items()])
    return found


def show_table(columns, rows, title=None):
    """Print `rows` of texts and numbers as a table with these `columns`."""
    table = Table(*columns, title=title, title_justify='left',
                  box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(f'{v:.4g}' if isinstance(v, (float, onp.floating))
                        else str(v) for v in row))
    Console(width=None if Console().is_terminal else 100).print(table)


def plot_dots(names, xs, xlabel, legend=None, fmts=('o', 'mx'), **kwargs):
    """Plot dots: each of the `names` has a line, the first one on top.

    `xs` holds a list for each kind of dots, with a number for each name.
    `kwargs` are those of `plot`. Returns the axes.
    """
    axes = plot(xs, [range(len(names))] * len(xs), xlabel, '', fmts=fmts,
                figsize=(5, 1 + 0.3 * len(names)), **kwargs)
    if legend:
        legend_beside(axes, legend)
    axes.set_yticks(range(len(names)), names)
    axes.margins(y=0.15)
    if axes.get_xscale() == 'linear':
        axes.locator_params(axis='x', nbins=6)  # or long numbers would touch
    axes.invert_yaxis()
    return axes


def legend_beside(axes, legend):
    """Put the legend to the right of the axes, where it hides nothing."""
    axes.legend(legend, loc='center left', bbox_to_anchor=(1, 0.5))


def load_data(batch_size=256, quick=False, share=1):
    """Iterators of Fashion-MNIST's training and test images.

    Only one in `share` is trained on, the first ones. With `quick` they have
    the first 2,000 and 1,000 images.
    """
    data = fashion_mnist.load()
    m, n = (2000, 1000) if quick else (60000 // share, None)
    return (ArrayIter([data.train_images[:m], data.train_labels[:m]],
                      batch_size, shuffle=True),
            ArrayIter([data.test_images[:n], data.test_labels[:n]],
                      batch_size, shuffle=False))


def hold_out(train_iter, share=6):
    """Split `train_iter` into a training and a validation iterator.

    One example in `share` is held out. These are the last ones, without a
    shuffle: the data set itself is in random order.
    """
    n = train_iter.num_examples - train_iter.num_examples // share
    parts = [a[:n] for a in train_iter.arrays], [a[n:] for a in
                                                 train_iter.arrays]
    return (ArrayIter(parts[0], train_iter.batch_size, shuffle=True),
            ArrayIter(parts[1], train_iter.batch_size, shuffle=False))


def train_quietly(net, train_iter, test_iter, num_epochs, updater):
    """Train with the softmax loss by `train_ch3`, which prints nothing.

    Returns its history, and raises what it raises.
    """
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return train_ch3(net, train_iter, test_iter, loss, num_epochs, updater,
                     quiet=True)


def draw_seeds(n):
    """Draw `n` seeds from NumPy's stream, which depends on `--seed`."""
    return [int(s) for s in onp.random.randint(2 ** 31 - 1, size=n)]
