"""What `compare` would catch: wrong ports, each with one mistake.

A `Mutant` is our port with a mistake that a person could make. `power` runs
each of them as `compare` would, and tells whether the printings catch it, the
control, both, or neither. `power.json` has the result.
"""
import contextlib
import datetime
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, NamedTuple
from unittest import mock

import numpy as onp
import pandas as pd
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn

from .. import (
    dropout,
    kaggle_house_price,
    mlp,
    mlp_concise,
    mlp_scratch,
    numerical_stability_and_init,
    underfit_overfit,
    weight_decay,
)
from ..d2l import data, training
from ..files import write_whole
from ..sections import find
from . import command, control, printings, reproduce
from .quantities import FASHION_MNIST, is_trained


class Mutant(NamedTuple):
    """A wrong port of a section."""
    section: str
    what: str        # the mistake
    make: Callable   # puts it in place, given `Port`


class Port(contextlib.ExitStack):
    """Our port, changed until the context ends."""

    def put(self, owner, **changes):
        """Give `owner` other attributes."""
        for name, value in changes.items():
            self.enter_context(mock.patch.object(owner, name, value))

    def wrap(self, owner, name, wrapper):
        """Put `wrapper(original, *args)` in the place of `owner.name`."""
        original = getattr(owner, name)
        self.put(owner, **{name: lambda *args, **kwargs: wrapper(
            original, *args, **kwargs)})


def constants(module, **changes):
    """Other hyperparameters."""
    return lambda port: port.put(module, **changes)


def wrapped(owner, name, wrapper):
    """Another function, which is given the original one."""
    return lambda port: port.wrap(owner, name, wrapper)


def options(**changes):
    """Other options of each trainer."""
    return wrapped(gluon.Trainer, '__init__', lambda f, self, params, name,
                   before: f(self, params, name, {**before, **changes}))


def initializer(new):
    """Another initializer of 4.3."""
    return wrapped(init, 'Normal', lambda f, sigma: new)


def network(*layers):
    """Another network in 4.3; `layers` make the layers."""
    def get_net():
        net = nn.HybridSequential()
        net.add(*[layer() for layer in layers])
        return net
    return lambda port: port.put(mlp_concise, get_net=get_net)


def hidden():
    return nn.Dense(256, activation='relu')


def images(change):
    """Other images of Fashion-MNIST."""
    def load(f, batch_size):
        iters = f(batch_size)
        for each in iters:
            each.arrays[0] = change(each.arrays[0])
        return iters
    return wrapped(data, 'load_data_fashion_mnist', load)


def training_data(change):
    """Other training data of Fashion-MNIST, given the images and labels."""
    def load(f, batch_size):
        train_iter, test_iter = f(batch_size)
        return data.ArrayIter(change(*train_iter.arrays), batch_size,
                              True), test_iter
    return wrapped(data, 'load_data_fashion_mnist', load)


def shifted(X, y):
    """One label in a hundred is another one."""
    rows = np.arange(len(y)) % 100 == 0
    return [X, np.where(rows, (y + 1) % 10, y).astype('int32')]


def last_batch_dropped(f, self):
    for batch in f(self):
        if len(batch[0]) == self.batch_size or not self.shuffle:
            yield batch


def one_order(f, self):
    if self.shuffle:
        if not hasattr(self, 'state'):
            self.state = onp.random.get_state()
        onp.random.set_state(self.state)
    return f(self)


def decayed_rate(f, net, train_iter, loss, trainer):
    means = f(net, train_iter, loss, trainer)
    trainer.set_learning_rate(0.95 * trainer.learning_rate)
    return means


def with_dropout(f, *args):
    with autograd.train_mode():
        return f(*args)


def means_of_batches(f, outputs):
    numbers = [f([batch]) for batch in outputs]
    return tuple(onp.mean(numbers, axis=0).tolist())


def rates(*drops):
    """Other dropout probabilities in 4.6."""
    def make(port):
        port.wrap(dropout, 'net', lambda f, X, params: f(X, params, *drops))
        port.wrap(dropout, 'get_net', lambda f: f(*drops))
    return make


def accumulated():
    """The parameters of 4.2, whose gradients add up."""
    def init_params(f):
        params = f()
        for param in params:
            param.attach_grad('add')
        return params
    return wrapped(mlp_scratch, 'init_params', init_params)


def all_decayed(f, self, batch_size):
    for param in self._params:
        param.wd_mult = 1
    f(self, batch_size)


def doubled_wd(f, self, params, name, before):
    f(self, params, name, {**before, 'wd': 2 * before['wd']})


def doubled_noise(f, *args, **kwargs):
    scale = kwargs.pop('scale', 1)
    return f(*args, scale=2 * scale if scale == 0.1 else scale, **kwargs)


def step_by_rows(port):
    """The step divides by the batch's own number of rows."""
    rows = [0]

    def batches(f, self):
        for batch in f(self):
            rows[0] = len(batch[0])
            yield batch
    port.wrap(data.ArrayIter, '__iter__', batches)
    port.wrap(gluon.Trainer, 'step', lambda f, self, n: f(self, rows[0]))


def tables_with_none_missing(f):
    return [pd.read_csv(kaggle_house_price.download(name))
            for name in kaggle_house_price.FILES]


def numbers_of_train_only(f, train_data, test_data):
    """Each table is standardized by itself."""
    both = pd.concat([f(train_data, test_data.iloc[:0]),
                      f(train_data.iloc[:0], test_data)])
    return both.fillna(0).astype('float32')


MUTANTS = [Mutant(*mutant) for mutant in [
    ('mlp', 'tanh larger by 0.01%',
     wrapped(mlp, 'tanh', lambda f, x: 1.0001 * f(x))),
    ('mlp', "ReLU's gradient at 0 is 1",
     wrapped(mlp, 'relu', lambda f, x: np.maximum(x, 0))),
    ('mlp_scratch', 'loss summed, not averaged',
     wrapped(training.Updater, '__call__', lambda f, self, n: f(self, 1))),
    ('mlp_scratch', 'gradients add up', accumulated()),
    ('mlp_scratch', 'training and test data swapped',
     wrapped(data, 'load_data_fashion_mnist', lambda f, n: f(n)[::-1])),
    ('mlp_scratch', 'losses averaged over batches',
     wrapped(training, '_means', means_of_batches)),
    ('mlp_concise', 'lr 0.11', constants(mlp_concise, lr=0.11)),
    ('mlp_concise', 'lr 0.09', constants(mlp_concise, lr=0.09)),
    ('mlp_concise', 'lr falls by 5% an epoch',
     wrapped(training, 'train_epoch_ch3', decayed_rate)),
    ('mlp_concise', 'momentum 0.1', options(momentum=0.1)),
    ('mlp_concise', 'weight decay 0.001', options(wd=0.001)),
    ('mlp_concise', 'batch size 512', constants(mlp_concise, batch_size=512)),
    ('mlp_concise', 'loss summed, not averaged',
     wrapped(gluon.Trainer, 'step', lambda f, self, n: f(self, 1))),
    ('mlp_concise', 'sigma 0.02', initializer(init.Normal(0.02))),
    ('mlp_concise', 'Xavier initialization', initializer(init.Xavier())),
    ('mlp_concise', 'leaky ReLU, 0.05', network(
        lambda: nn.Dense(256), lambda: nn.LeakyReLU(0.05),
        lambda: nn.Dense(10))),
    ('mlp_concise', '224 hidden units', network(
        lambda: nn.Dense(224, activation='relu'), lambda: nn.Dense(10))),
    ('mlp_concise', 'no output bias',
     network(hidden, lambda: nn.Dense(10, use_bias=False))),
    ('mlp_concise', 'two hidden layers',
     network(hidden, hidden, lambda: nn.Dense(10))),
    ('mlp_concise', 'images divided by 256', images(lambda X: X * 255 / 256)),
    ('mlp_concise', 'images not scaled', images(lambda X: X * 255)),
    ('mlp_concise', 'images standardized',
     images(lambda X: (X - 0.286) / 0.353)),
    ('mlp_concise', 'images transposed',
     images(lambda X: X.transpose(0, 1, 3, 2))),
    ('mlp_concise', 'one label in a hundred shifted', training_data(shifted)),
    ('mlp_concise', '1,000 training images missing',
     training_data(lambda X, y: [X[1000:], y[1000:]])),
    ('mlp_concise', 'last batch dropped',
     wrapped(data.ArrayIter, '__iter__', last_batch_dropped)),
    ('mlp_concise', 'one order for all epochs',
     wrapped(data.ArrayIter, '__iter__', one_order)),
    ('mlp_concise', 'not shuffled',
     wrapped(data.ArrayIter, '__init__', lambda f, self, arrays, batch_size,
             shuffle: f(self, arrays, batch_size, False))),
    ('underfit_overfit', 'noise doubled',
     wrapped(np.random, 'normal', doubled_noise)),
    ('underfit_overfit', 'powers not divided by gamma',
     lambda port: port.put(underfit_overfit, math=SimpleNamespace(
         gamma=lambda n: 1))),
    ('underfit_overfit', '90 training examples',
     wrapped(underfit_overfit, 'train', lambda f, X, X_test, y, *args: f(
         X[:90], X_test, y[:90], *args))),
    ('underfit_overfit', 'lr 0.0105',
     wrapped(underfit_overfit, 'train', lambda f, *args: f(*args,
                                                           lr=0.0105))),
    ('weight_decay', 'bias decayed, too',
     wrapped(gluon.Trainer, 'step', all_decayed)),
    ('weight_decay', 'wd doubled',
     wrapped(gluon.Trainer, '__init__', doubled_wd)),
    ('weight_decay', 'penalty without the factor 1/2',
     wrapped(weight_decay, 'l2_penalty', lambda f, w: 2 * f(w))),
    ('weight_decay', 'penalty divided by the batch size',
     wrapped(weight_decay, 'l2_penalty', lambda f, w: f(w) / 5)),
    ('weight_decay', 'lambda 3.1', constants(weight_decay, lambd=3.1)),
    ('weight_decay', 'lr 0.0031', lambda port: [
        port.wrap(weight_decay, name, lambda f, *args, **kwargs: f(
            *args, lr=0.0031, **kwargs))
        for name in ('train', 'train_concise')]),
    ('dropout', 'no dropout', rates(0, 0)),
    ('dropout', 'probabilities swapped', rates(0.5, 0.2)),
    ('dropout', 'dropout in tests, too',
     wrapped(training, 'evaluate_accuracy', with_dropout)),
    ('dropout', 'what is kept is not scaled',
     wrapped(dropout, 'dropout_layer', lambda f, X, p: f(X, p) * (1 - p))),
    ('dropout', 'lr 0.45', constants(dropout, lr=0.45)),
    ('numerical_stability_and_init', '99 matrices',
     wrapped(numerical_stability_and_init, 'product_of_matrices',
             lambda f: f(99))),
    ('kaggle_house_price', "step by the last batch's own size",
     step_by_rows),
    ('kaggle_house_price', 'validated on training data, too',
     wrapped(kaggle_house_price, 'get_k_fold_data', lambda f, k, i, X, y: (
         X, y, *f(k, i, X, y)[2:]))),
    ('kaggle_house_price', 'log rmse without the factor 2',
     wrapped(kaggle_house_price, 'log_rmse',
             lambda f, *args: f(*args) / 2 ** 0.5)),
    ('kaggle_house_price', '"None" read as missing',
     wrapped(kaggle_house_price, 'load_data', tables_with_none_missing)),
    ('kaggle_house_price', 'tables standardized one by one',
     wrapped(kaggle_house_price, 'preprocess', numbers_of_train_only)),
    ('kaggle_house_price', 'weight decay 0.1',
     constants(kaggle_house_price, weight_decay=0.1)),
    ('kaggle_house_price', 'batch size 32',
     constants(kaggle_house_price, batch_size=32)),
]]


EPOCHS = 1, command.CONTROL_EPOCHS  # of the control; the first by --quick


class Caught(NamedTuple):
    """By whom a mutant is caught; `quick_` with `--quick`."""
    printings: bool
    control: bool
    quick_printings: bool
    quick_control: bool


def judge(index, books):
    """Who catches the mutant at `index`: a `Caught`.

    `books` are the trainings of the book's code, of as many epochs each as
    `EPOCHS` says; none for a section that trains nothing. A few shuffles, and
    two epochs of the control, are less than `compare` takes: what they catch,
    it catches.
    """
    section, _, make = MUTANTS[index]
    with Port() as port:
        make(port)
        first, both = [_control_differs(section, n, book) for n, book in zip(
            EPOCHS, books)] or (False, False)
        runs = _runs(section)
    full, quick = (_printings_differ(section, runs, n)
                   for n in (None, command.QUICK_EPOCHS))
    return Caught(full or quick, first or both, quick, first)


def _control_differs(section, num_epochs, book):
    try:
        ours = control.our_trainings(section, num_epochs)
    except Exception:  # a training that fails is a control that differs
        return True
    return not all(c.agrees for c in control.compare(
        section, ours, book))


def _runs(section):
    """What `reproduce` returns for each shuffle, or its error."""
    try:
        return [reproduce.reproduce(section, i)
                for i in range(command.QUICK_RUNS if is_trained(section)
                               else 1)]
    except Exception as error:
        return error


def _printings_differ(section, runs, num_epochs):
    if isinstance(runs, Exception):
        return True
    if section in FASHION_MNIST:
        runs = [{what: values[:num_epochs] if values.shape == (10,) else
                 values for what, values in run.items()} for run in runs]
    rows = command.compare_section(
        section, runs, [printings.load(name) for name in printings.NAMES],
        num_epochs)
    return any(row.verdict == 'differs' for row in rows)


def power(only, folder):
    """Judge each mutant, or those of the section `only`; print a table.

    Writes `power.json` into `folder`; that of the package has been made so.
    Returns 0 if each is caught, else 1.
    """
    chosen = [i for i, mutant in enumerate(MUTANTS)
              if only in (None, mutant.section)]
    with command.processes() as start:
        books = {s: [start(control.book_trainings, s, n) for n in EPOCHS]
                 for s in dict.fromkeys(MUTANTS[i].section for i in chosen)
                 if is_trained(s)}
        caught = [start(judge, i, [book.result() for book in books.get(
            MUTANTS[i].section, ())]) for i in chosen]
        found = [_print(i, future.result())
                 for i, future in zip(chosen, caught)]
    write_whole(Path(folder) / 'power.json', written(found))
    return 0 if all(f['printings'] or f['control'] for f in found) else 1


def written(found):
    """The text of the file, a line for each mutant."""
    about = {'shuffles': command.QUICK_RUNS, 'mxnet': version('mxnet'),
             'date': datetime.date.today().isoformat()}
    return (f'{{"about": {json.dumps(about)},\n"mutants": [\n'
            + ',\n'.join(map(json.dumps, found)) + '\n]}\n')


def _print(index, caught):
    section, what, _ = MUTANTS[index]
    row = {'section': section, 'what': what, **caught._asdict()}
    print(table_row(**row), flush=True)
    return row


def table_row(section, what, printings, control, quick_printings,
              quick_control):
    """A row of the table in docs/compare.md."""
    return (f'| {find(section).number} | {what} '
            f'| {by_whom(printings, control)} '
            f'| {by_whom(quick_printings, quick_control)} |')


def by_whom(by_printings, by_control):
    """'printings', 'control', 'both' or 'neither'."""
    return {(True, True): 'both', (True, False): 'printings',
            (False, True): 'control', (False, False): 'neither'}[
                by_printings, by_control]
