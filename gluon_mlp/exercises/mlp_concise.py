"""Answers to the exercises of 4.3.

The accuracies to choose by are of a validation set, a sixth of the training
images.
"""
import math

from mxnet import gluon, init, npx
from mxnet.gluon import nn
from tqdm import tqdm

from ..d2l.plotting import plot, save_figure
from ..d2l.training import seed
from ..errors import NonFiniteLossError
from .common import (
    draw_seeds,
    hold_out,
    load_data,
    plot_dots,
    show_table,
    train_quietly,
)

npx.set_np()

COLUMNS = ['train loss', 'train acc', 'valid acc']


def exercise_1(quick=False):
    """The number of hidden layers, and the learning rate for each

    Each depth has its own best learning rate, so depths are compared at
    that one, not at a common one. Initialized with variance 2 / inputs, which
    keeps the scale of ReLU's signals from layer to layer. The first hidden
    layer gains more than a percent over none. Further ones bring the training
    loss down, the validation accuracy not up in five epochs: it jumps by a
    percent or two between neighbours in the table. One run for each pair, so
    do not read more into it.
    """
    depths, lrs = ((1, 2), (0.1,)) if quick else ((0, 1, 2, 3),
                                                  (0.03, 0.1, 0.3))
    rows = _sweep([(f'{depth} layers, lr {lr}', {'depth': depth, 'lr': lr})
                   for depth in depths for lr in lrs], quick)
    _show('hidden', rows)
    accs = [row[3] for row in rows]
    n = len(lrs)
    plot(list(depths), [accs[i::n] for i in range(n)], 'hidden layers',
         'valid acc', [f'lr {lr}' for lr in lrs]).set_xticks(depths)
    save_figure('exercise_4_3_1')
    return rows


def exercise_2(quick=False):
    """Other activations

    Sigmoid's gradient is 1/4 at most, and its outputs have mean 1/2, so at
    the same learning rate it learns slowest at first; tanh's is 1 at 0, and
    ReLU's is 1 wherever the unit is on. softsign, x / (1 + |x|), saturates
    as tanh does, but slowly. No activation leaves a linear model, and five
    epochs are too few for sigmoid, and for softrelu, to overtake it.
    """
    names = (['relu', 'sigmoid'] if quick else
             ['relu', 'tanh', 'sigmoid', 'softrelu', 'softsign', None])
    rows = _sweep([(name or 'none', {'activation': name}) for name in names],
                  quick)
    _show('activation', rows)
    _dots(rows, 'exercise_4_3_2')
    return rows


def exercise_3(quick=False):
    """Other ways to initialize

    Equal weights keep all hidden units equal for ever: the layer acts as one
    unit (4.8). Zero is the worst of them, as then no gradient reaches the
    hidden layer and only the output's bias learns. A small random scale
    breaks the symmetry but starts slowly; Xavier and variance 2 / inputs
    keep the signal's scale; a large scale saturates the softmax.
    """
    kinds = {'zero': init.Zero(), 'constant 0.01': init.Constant(0.01),
             'normal 0.01': init.Normal(0.01), 'normal 1': init.Normal(1),
             'uniform 0.07': init.Uniform(0.07), 'Xavier': init.Xavier(),
             'variance 2 / inputs': _he()}
    if quick:
        kinds = {name: kinds[name] for name in ('zero', 'Xavier')}
    rows = _sweep([(name, {'how': how}) for name, how in kinds.items()],
                  quick)
    _show('weights', rows)
    _dots(rows, 'exercise_4_3_3')
    return rows


def _he():
    """Normal weights of variance 2 / inputs."""
    return init.Xavier('gaussian', 'in', magnitude=2)


def _sweep(named, quick, num_epochs=5):
    """Train each setting from one seed; rows of its name and `COLUMNS`."""
    number, = draw_seeds(1)
    rows = []
    for name, setting in tqdm(named, leave=False, disable=None):
        train_iter, _ = load_data(quick=quick)
        seed(number)
        try:
            last = _fit(*hold_out(train_iter), 1 if quick else num_epochs,
                        **setting)[-1]
        except NonFiniteLossError:
            last = [math.nan] * 3
        rows.append((name, *last))
    return rows


def _fit(train_iter, valid_iter, num_epochs, depth=1, activation='relu',
         how=None, lr=0.1):
    net = nn.Sequential()
    for _ in range(depth):
        net.add(nn.Dense(256, activation=activation))
    net.add(nn.Dense(10))
    net.initialize(how or _he())
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    return train_quietly(net, train_iter, valid_iter, num_epochs, trainer)


def _show(what, rows):
    show_table([what, *COLUMNS], rows)


def _dots(rows, figure):
    names, _, *accs = zip(*rows)
    plot_dots(names, accs, 'accuracy', ['train', 'valid'])
    save_figure(figure)
