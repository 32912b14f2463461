"""The exercises of chapter 4, answered: one file a section.

A section's file has a function for each exercise, `exercise_2a(quick=False)`
for 2a. The first line of its docstring names the exercise, the rest is the
written answer. Calling it prints and plots what was measured and returns the
numbers (None where the words are all); `quick` takes little data and few
epochs, to see that it runs.
"""
import importlib
import inspect
from contextlib import redirect_stdout
from io import StringIO
from typing import Callable, NamedTuple

import numpy as onp
from mxnet import gluon, npx
from rich import box
from rich.console import Console
from rich.table import Table

from ..d2l import fashion_mnist
from ..d2l.data import ArrayIter
from ..d2l.plot import plot, plt
from ..d2l.training import train_ch3

npx.set_np()

SECTIONS = {'4.1': 'mlp', '4.2': 'mlp_scratch', '4.3': 'mlp_concise',
            '4.4': 'underfit_overfit', '4.5': 'weight_decay',
            '4.6': 'dropout', '4.7': 'backprop',
            '4.8': 'numerical_stability_and_init', '4.9': 'environment',
            '4.10': 'kaggle_house_price'}


class Exercise(NamedTuple):
    """An exercise: '4.4.2a', a title, the written answer, the function."""
    number: str
    title: str
    answer: str
    run: Callable


def exercises():
    """All of them, `Exercise` by number, in the chapter's order."""
    found = {}
    for section, slug in SECTIONS.items():
        module = importlib.import_module(f'.{slug}', __name__)
        for name, run in vars(module).items():
            if name.startswith('exercise_'):
                number = f'{section}.{name[len("exercise_"):]}'
                title, _, answer = inspect.getdoc(run).partition('\n')
                found[number] = Exercise(number, title, answer.strip(), run)
    return found


def show_table(columns, rows, title=None):
    """Print `rows`, tuples of texts and numbers, under the `columns`."""
    table = Table(*columns, title=title, title_justify='left',
                  box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(f'{v:.4g}' if isinstance(v, (float, onp.floating))
                        else str(v) for v in row))
    Console(width=None if Console().is_terminal else 100).print(table)


def plot_dots(names, xs, xlabel, legend=None, fmts=('o', 'mx'), **kwargs):
    """Dots on a line for each of `names`, the first on top, as in a table.

    `xs` has for each kind of dots a list as long as `names`; `kwargs` are
    `plot`'s. Returns the axes.
    """
    axes = plot(xs, [range(len(names))] * len(xs), xlabel, '', fmts=fmts,
                figsize=(5, 1 + 0.3 * len(names)), **kwargs)
    if legend:
        legend_beside(axes, legend)
    axes.set_yticks(range(len(names)), names)
    axes.margins(y=0.15)
    axes.invert_yaxis()
    return axes


def legend_beside(axes, legend):
    """Name the curves or dots, which may be anywhere, right of the axes."""
    axes.legend(legend, loc='center left', bbox_to_anchor=(1, 0.5))


def load_data(batch_size=256, quick=False):
    """Fashion-MNIST's train and test iterators; `quick`: 2,000 and 1,000."""
    data = fashion_mnist.load()
    m, n = (2000, 1000) if quick else (None, None)
    return (ArrayIter([data.train_images[:m], data.train_labels[:m]],
                      batch_size, shuffle=True),
            ArrayIter([data.test_images[:n], data.test_labels[:n]],
                      batch_size, shuffle=False))


def hold_out(train_iter, share=6):
    """Split one example in `share` off: training and validation iterator.

    The last ones are held out, shuffled no more; the editions of the data
    are in random order.
    """
    n = train_iter.num_examples - train_iter.num_examples // share
    parts = [a[:n] for a in train_iter.arrays], [a[n:] for a in
                                                 train_iter.arrays]
    return (ArrayIter(parts[0], train_iter.batch_size, shuffle=True),
            ArrayIter(parts[1], train_iter.batch_size, shuffle=False))


def train_quietly(net, train_iter, test_iter, num_epochs, updater):
    """`train_ch3` with the softmax loss, no line an epoch and no figure.

    Returns its history; raises what it raises.
    """
    try:
        with redirect_stdout(StringIO()):
            return train_ch3(net, train_iter, test_iter,
                             gluon.loss.SoftmaxCrossEntropyLoss(),
                             num_epochs, updater)
    finally:
        plt.close()


def draw_seeds(n):
    """`n` seeds from NumPy's stream: `--seed` gives other ones."""
    return [int(s) for s in onp.random.randint(2 ** 31 - 1, size=n)]
