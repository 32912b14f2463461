"""What a script does last: it writes its history, and says a closing word.

The word goes to standard error. So the output of two runs with one seed is
the same, however long each took.
"""
import csv
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as onp
from mxnet import np

from .. import experiment, sections
from ..files import written_whole
from .ending import STARTED, say
from .updaters import parameters


class Closing(NamedTuple):
    """What a section's trainings give, and what they gave in the book.

    The book's numbers are those of the printing zh-2022-01-14.
    """
    columns: str  # of a history, after the epoch
    what: str = ''
    book: str = ''  # numbers, as precise as they are to be shown
    ours: Callable = None  # of the trainings: pairs of a history, an updater


def _last_of_each(trainings):
    return [history[-1][-1] for history, _ in trainings]


def _weight_of_the_first(trainings):
    return [w for _, updater in trainings[:1]
            for w in parameters(updater)[0].reshape(-1).tolist()]


def _norm_of_each(trainings):
    """Of w, which is larger than the bias."""
    return [float(np.linalg.norm(max(parameters(updater),
                                     key=lambda a: a.size)))
            for _, updater in trainings]


def _mean_of_the_folds(trainings):
    """The last training is on all data."""
    ends = [history[-1][1:] for history, _ in trainings[:-1]]
    return [onp.mean(values) for values in zip(*ends)]


IMAGES = 'train_loss train_acc test_acc'
LOSSES = 'train_loss test_loss'
CLOSINGS = {
    'mlp_scratch': Closing(IMAGES, 'test acc', '0.8473', _last_of_each),
    'mlp_concise': Closing(IMAGES, 'test acc', '0.8612', _last_of_each),
    'underfit_overfit': Closing(
        LOSSES, 'weights', '5.0191, 1.2223, -3.4237, 5.5720',
        _weight_of_the_first),
    'weight_decay': Closing(
        LOSSES, 'norms of w', '13.2594, 0.3825, 15.0141, 0.3399',
        _norm_of_each),
    'dropout': Closing(IMAGES, 'test acc', '0.7399, 0.8648', _last_of_each),
    'environment': Closing('train_loss'),
    'kaggle_house_price': Closing(
        'train_log_rmse valid_log_rmse', 'average log rmse',
        '0.165234, 0.170360', _mean_of_the_folds)}


@contextmanager
def closing(section, settings, history=None):
    """Note the trainings of a script. When it has ended, say how it went.

    `section` is its module, and `settings` are what it runs with, by name.
    The rows of all trainings go to the file `history`, if there is one.
    """
    slug = section.__name__.rpartition('.')[2]
    trainings, inner = [], experiment.current.epochs
    # The process is the script's, unless IPython runs it.
    began = time.monotonic() if 'IPython' in sys.modules else STARTED

    def epochs(num_epochs, rows, updater, draws=False):
        trainings.append((rows, updater))
        return inner(num_epochs, rows, updater, draws)
    with experiment.use(epochs=epochs) as run:
        yield
    if run.workers.rank > 0:  # the first worker does it
        return
    if history:
        _write(history, CLOSINGS[slug].columns.split(), trainings)
    if all(rows for rows, _ in trainings) and slug in CLOSINGS:
        older = (run.edition == '2017-08-31'
                 and CLOSINGS[slug].columns == IMAGES)
        _compare(CLOSINGS[slug], trainings, [
            *_changed(section, settings), 'another shuffle',
            *(['older images'] if older else [])])
    say(f'took {time.monotonic() - began:.0f} s; next: {_next(slug)}')


def _changed(section, settings):
    """What the book had otherwise, such as 'num_epochs 10'."""
    book = {'seed': 0, 'device': 'cpu', **vars(section)}
    return [f'{name} {book[name]}' for name, value in settings.items()
            if book.get(name, value) != value]


def _write(path, columns, trainings):
    """Write a table of all rows: a training's number, its epoch, and so on.
    """
    with written_whole(path) as partial, open(partial, 'w',
                                              newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['training', 'epoch', *columns])
        for number, (rows, _) in enumerate(trainings, 1):
            writer.writerows([number, *row] for row in rows)
    print(f'history: {path}')


def _compare(closing, trainings, reasons):
    """Print our numbers above the book's, and why they may differ."""
    book = closing.book.split(', ')
    numbers = closing.ours(trainings) if closing.book else []
    if len(numbers) != len(book):
        return  # a script that the reader has changed, perhaps
    ours = ', '.join(f'{x:.{len(text.partition(".")[2])}f}'
                     for x, text in zip(numbers, book))
    say(f'yours: {closing.what} {ours}\n'
        f'book:  {closing.what} {closing.book} ({", ".join(reasons)})')


def _next(slug):
    """What to run next, in words that the reader can type."""
    command = 'gluon-mlp'
    if not shutil.which(command):
        command = f'{os.path.relpath(sys.executable)} -m gluon_mlp'
    section = sections.find(slug)
    later = sections.SECTIONS[sections.SECTIONS.index(section) + 1:]
    after = f'run {later[0].number}' if later else 'compare'
    answers = Path(__file__).parents[1] / 'exercises' / f'{slug}.py'
    if answers.exists():
        after = f'exercise {section.number}, or {after}'
    return f'{command} {after}'
