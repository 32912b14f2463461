"""Answers to the exercises of 4.3.

Accuracies are of a validation set, a sixth of the training images. The test
images choose nothing, so they are not needed. The learning rate falls to 0:
at a constant one an accuracy jumps from epoch to epoch by more than settings
differ.
"""
import math

import numpy as onp
from mxnet import gluon, init, lr_scheduler, npx
from mxnet.gluon import nn
from tqdm import tqdm

from ..d2l.plotting import save_figure
from ..d2l.training import seed
from ..errors import NonFiniteLossError
from .common import (
    draw_seeds,
    hold_out,
    judge,
    load_data,
    plot_dots,
    show_table,
    train_quietly,
)

npx.set_np()


def exercise_1(quick=False):
    """The number of hidden layers, and the learning rate for each

    TEXT
    """
    depths = (1, 2) if quick else (0, 1, 2, 3)
    return _compare('hidden layers', {
        str(depth): {'depth': depth} for depth in depths}, '1', quick,
        'exercise_4_3_1')


def exercise_2(quick=False):
    """Other activations

    TEXT
    """
    names = (['relu', 'sigmoid'] if quick else
             ['relu', 'tanh', 'sigmoid', 'softrelu', 'softsign', None])
    return _compare('activation', {
        name or 'none': {'activation': name} for name in names}, 'relu',
        quick, 'exercise_4_3_2')


def exercise_3(quick=False):
    """Other ways to initialize

    TEXT
    """
    kinds = {'normal 0.01': init.Normal(0.01), 'Xavier': init.Xavier(),
             'variance 2 / inputs': _he(), 'uniform 0.07': init.Uniform(0.07),
             'normal 1': init.Normal(1), 'constant 0.01': init.Constant(0.01),
             'zero': init.Zero()}
    return _compare('weights', {
        name: {'how': kinds[name]} for name in list(kinds)[:2 if quick
                                                           else None]},
        'normal 0.01', quick, 'exercise_4_3_3', lrs=(0.01, 0.1, 0.5))


def _he():
    """Normal weights of variance 2 / inputs."""
    return init.Xavier('gaussian', 'in', magnitude=2)


def _compare(what, settings, usual, quick, figure, lrs=(0.1, 0.3, 1.0)):
    """Train each setting at a learning rate of its own, and judge it.

    One run for each rate chooses it. Three others, of other seeds, measure
    the setting at it. Returns the rows of all tables.
    """
    first, *seeds = draw_seeds(3 if quick else 4)
    num_epochs, lrs = (1, lrs[:2]) if quick else (5, lrs)
    data = hold_out(load_data(quick=quick, share=2)[0])
    search, rows, scores = [], [], {}
    for name, setting in tqdm(settings.items(), leave=False, disable=None):
        accs = [_fit(data, first, num_epochs, lr=lr, **setting)[2]
                for lr in lrs]
        search.append((name, *accs))
        lr = lrs[onp.nanargmax(accs)]
        runs = onp.array([_fit(data, number, num_epochs, lr=lr, **setting)
                          for number in seeds])
        rows.append((name, lr, *runs.mean(axis=0)))
        scores[name] = runs[:, 2]
    show_table([what, *(f'lr {lr}' for lr in lrs)], search,
               'valid acc of one run, which chooses the learning rate')
    show_table([what, 'lr', 'train loss', 'train acc', 'valid acc'], rows,
               'at this rate, means over other seeds')
    plot_dots(list(settings), list(zip(*rows))[3:], 'accuracy',
              ['train', 'valid'])
    save_figure(figure)
    return {'search': search, 'rows': rows,
            'judged': judge(what, scores, usual)}


def _fit(data, number, num_epochs, depth=1, activation='relu', how=None,
         lr=0.1):
    """The last epoch of a training from this seed; NaN: it diverged.

    The learning rate falls linearly to 0.
    """
    seed(number)
    net = nn.HybridSequential()
    for _ in range(depth):
        net.add(nn.Dense(256, activation=activation))
    net.add(nn.Dense(10))
    net.initialize(how or _he())
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {
        'lr_scheduler': lr_scheduler.PolyScheduler(
            num_epochs * len(data[0]), lr, pwr=1)})
    try:
        return train_quietly(net, *data, num_epochs, trainer)[-1]
    except NonFiniteLossError:
        return [math.nan] * 3
