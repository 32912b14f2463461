"""Answers to the exercises of 4.2.

Settings are chosen on a validation set, a sixth of the training images. The
test accuracy stands beside it, for the record.
"""
import math

import numpy as onp
from mxnet import np, npx
from tqdm import tqdm

from ..d2l.plotting import plot, save_figure
from ..d2l.training import evaluate_accuracy, seed, sgd
from ..errors import NonFiniteLossError
from ..mlp import forward, relu
from .common import draw_seeds, hold_out, load_data, show_table, train_quietly

npx.set_np()

COLUMNS = ['train loss', 'train acc', 'valid acc', 'test acc']


def exercise_1(quick=False):
    """The number of hidden units

    More units can fit more, and cost more: 795 parameters a unit, and time in
    proportion. A good number is one beyond which the validation accuracy no
    longer gains: here about 256, as 1,024 gain a tenth of a percent, where
    10,000 validation images have a standard error of 0.36. The last row is
    the best, but not worth its price; nor does it overfit in ten epochs. One
    run for each number: try another --seed before believing small
    differences.
    """
    sizes = (4, 64, 256) if quick else (4, 16, 64, 128, 256, 512, 1024)
    rows = _sweep([(n, {'hiddens': (n,)}) for n in sizes], quick)
    _show('hidden units', rows, 'exercise_4_2_1', xscale='log')
    return rows


def exercise_2(quick=False):
    """More hidden layers

    Another layer of 256 units adds 65,792 parameters. With weights of scale
    0.01 it makes things worse: 256 inputs that have gone through ReLU leave
    the layer with about 0.01 sqrt(256 / 2) = 0.11 times their scale, so
    the signal, and the gradient on its way back, shrink to a tenth with
    each layer, and training starts slowly. Weights of scale
    sqrt(2 / inputs) keep the scale through ReLU (section 4.8); with them
    depth helps: after ten epochs three layers are ahead of one by more than
    a percent. One run each.
    """
    depths = (1, 2) if quick else (1, 2, 3)
    rows = _sweep([(f'{depth}, {name}', {'hiddens': (256,) * depth,
                                         'scale': scale})
                   for name, scale in (('0.01', 0.01),
                                       ('sqrt(2 / inputs)', None))
                   for depth in depths], quick)
    _show('hidden layers, scale', rows)
    half = len(depths)
    plot(list(depths), [[row[3] for row in rows[:half]],
                        [row[3] for row in rows[half:]]], 'hidden layers',
         'valid acc', ['scale 0.01', 'scale sqrt(2 / inputs)']
         ).set_xticks(depths)
    save_figure('exercise_4_2_2')
    return rows


def exercise_3(quick=False):
    """The learning rate

    Too small, and ten epochs end long before the minimum; too large, and the
    steps overshoot: the loss jumps, units die, or it diverges. The best,
    about 0.3, is close to that end: at 1 already the network is lost, and
    guesses one class, a loss of ln 10 = 2.3. Going down is safer: 0.1 and
    0.03 cost a little accuracy, 0.001 much. Each learning rate starts from
    the same weights, with the same shuffle.
    """
    lrs = (0.01, 0.1) if quick else (0.001, 0.01, 0.03, 0.1, 0.3, 1, 3)
    rows = _sweep([(lr, {'lr': lr}) for lr in lrs], quick)
    _show('lr', rows, 'exercise_4_2_3', xscale='log')
    return rows


def exercise_4(quick=False):
    """All hyperparameters together

    Random search: settings of layers, units, learning rate and batch size
    are drawn (the learning rate evenly on a log scale), each is trained for
    a few epochs, and the best on the validation set is trained longer, beside
    the book's setting. The sweep is reduced to a dozen settings of 4 epochs,
    which is a guess at the best rather than the best: 512 units, lr 0.4 and
    batches of 128 reach 0.882 on the test images after 15 epochs, where the
    book's reaches 0.853. Part of it is the start: the weights here have scale
    sqrt(2 / inputs), not 0.01. Costs some 200 s of one processor.
    """
    n, short, long = (3, 1, 1) if quick else (12, 4, 15)
    settings = _draw_settings(n)
    rows = _sweep([(_name(s), s) for s in settings], quick, short)
    _show(f'setting, epochs: {short}', rows)
    best = onp.nanargmax([row[3] for row in rows])  # NaN: diverged
    finals = _sweep([(f'chosen: {_name(settings[best])}', settings[best]),
                     ("the book's: 256; lr 0.1; batch 256", {})], quick, long)
    _show(f'setting, epochs: {long}', finals)
    plot([s['lr'] for s in settings], [row[3] for row in rows], 'lr',
         'valid acc', xscale='log', fmts=['o'])
    save_figure('exercise_4_2_4')
    return rows + finals


def exercise_5(quick=False):
    """Why several hyperparameters at once are harder

    - Their number enters the exponent: k values of each of n hyperparameters
      make k^n settings, and each costs a training.
    - They interact: the best value of one depends on the others, so they
      cannot be tuned one after the other. A larger batch takes fewer steps
      an epoch and averages away noise, so it wants a larger learning rate:
      in the table 0.1 is the best for batches of 32, and 0.3 for larger ones.
    - The outcome is noisy (weights, shuffle), has no gradient, and mixes
      kinds: numbers, sizes, choices.
    - The more settings are tried, the more the best one's validation
      accuracy flatters it: the maximum of noise grows with the number.
    """
    batch_sizes, lrs, num_epochs = ((64, 256), (0.1, 0.5), 1) if quick else (
        (32, 256, 1024), (0.03, 0.1, 0.3, 1.0), 3)
    accs = onp.array([[row[3] for row in _sweep(
        [(lr, {'lr': lr, 'batch_size': batch_size}) for lr in lrs], quick,
        num_epochs)] for batch_size in batch_sizes])
    best = [lrs[i] for i in onp.nanargmax(accs, axis=1)]
    show_table(['batch size', *(f'lr {lr}' for lr in lrs), 'best lr'],
               [(b, *acc, lr) for b, acc, lr in
                zip(batch_sizes, accs, best)],
               f'valid acc after {num_epochs} epochs')
    show_table(['hyperparameters', 'settings, 4 values each'],
               [(n, 4 ** n) for n in (1, 2, 4, 6)])
    plot(list(lrs), list(accs), 'lr', 'valid acc',
         [f'batch {b}' for b in batch_sizes], xscale='log')
    save_figure('exercise_4_2_5')
    return accs


def exercise_6(quick=False):
    """A strategy for the search: successive halving

    Hopeless settings show early. So start many at random, train each for one
    epoch, drop the worse half, train the rest as long again, and so on: most
    epochs go to the good ones. Random draws rather than a grid, since often
    few hyperparameters matter, and a grid tries few values of each. Where a
    training is dear, a model of accuracy by setting (Bayesian optimization)
    picks the next one.

    Below, settings are trained to the end on a third of the images, and from
    their curves both strategies are replayed on random subsets: halving from
    8 settings (20 epochs in all) and random search, 3 settings to the end
    (24 epochs). The mean over the replays compares them; these share the few
    settings, so that it holds for this space, roughly. Halving saves a sixth
    of the epochs and ends no worse, but hardly better either, and both stay
    behind the best setting: with a constant learning rate the curves of all
    but the worst cross many times, so one epoch says little of the last.
    """
    n, num_epochs = (8, 8) if quick else (20, 8)
    curves = _curves(_draw_settings(n), num_epochs, quick)
    chosen = {'halving, 20 epochs': [], 'random, 24 epochs': []}
    for _ in range(1000):
        drawn = onp.random.choice(n, 8, replace=False)
        chosen['halving, 20 epochs'].append(curves[_halve(curves, drawn), -1])
        chosen['random, 24 epochs'].append(curves[drawn[:3], -1].max())
    rows = [(name, onp.mean(accs), onp.quantile(accs, 0.1), min(accs))
            for name, accs in chosen.items()]
    rows.append(('the best of all', *[curves[:, -1].max()] * 3))
    show_table(['strategy', 'valid acc', '10 % are below', 'worst'], rows)
    plot(range(1, num_epochs + 1), list(curves), 'epoch', 'valid acc',
         fmts=['-'], figsize=(5, 3))
    save_figure('exercise_4_2_6')
    return {name: value for name, value, *_ in rows}


def _halve(curves, drawn):
    """The setting of `drawn` that survives: half go after 1, 2, 4 epochs."""
    for epoch in (1, 2, 4):
        order = onp.argsort(-curves[drawn, epoch - 1])
        drawn = drawn[order[:len(drawn) // 2]]
    return drawn[0]


def _curves(settings, num_epochs, quick):
    """Validation accuracy (settings, epochs), on a third of the images."""
    curves = onp.zeros((len(settings), num_epochs))
    for i, setting in enumerate(tqdm(settings, leave=False, disable=None)):
        train_iter, _ = load_data(setting['batch_size'], quick)
        train_iter.arrays = [a[:len(a) // 3] for a in train_iter.arrays]
        train_iter.num_examples = len(train_iter.arrays[0])
        _, history = _fit(*hold_out(train_iter), num_epochs, **setting)
        if history:  # else it has diverged, and 0 is its accuracy
            curves[i] = [epoch.test_acc for epoch in history]
    return curves


def _draw_settings(n):
    """`n` random settings, arguments of `_fit`."""
    draw = onp.random.choice
    return [{'hiddens': (int(draw([64, 128, 256, 512])),)
             * int(draw([1, 2])),
             'lr': round(10 ** onp.random.uniform(-2, 0), 3),
             'batch_size': int(draw([64, 128, 256])), 'scale': None}
            for _ in range(n)]


def _name(setting):
    return '{}; lr {}; batch {}'.format(
        '-'.join(map(str, setting['hiddens'])), setting['lr'],
        setting['batch_size'])


def _sweep(named, quick, num_epochs=10):
    """Train each setting; rows of its name and `COLUMNS`, NaN: diverged."""
    number, = draw_seeds(1)
    rows = []
    for name, setting in tqdm(named, leave=False, disable=None):
        train_iter, test_iter = load_data(setting.get('batch_size', 256),
                                          quick)
        seed(number)
        net, history = _fit(*hold_out(train_iter),
                            min(num_epochs, 2) if quick else num_epochs,
                            **setting)
        rows.append((name, *history[-1], evaluate_accuracy(net, test_iter))
                    if history else (name, *[math.nan] * 4))
    return rows


def _fit(train_iter, valid_iter, num_epochs, hiddens=(256,), lr=0.1,
         scale=0.01, batch_size=256):
    """Train 784-hiddens-10 by hand; its net and history, None: diverged.

    `batch_size` is the iterators' own. A `scale` of None means
    sqrt(2 / inputs) for the weights of each layer.
    """
    sizes = [784, *hiddens, 10]
    layers = [(np.random.normal(scale=scale or math.sqrt(2 / d), size=(d, q)),
               np.zeros(q)) for d, q in zip(sizes, sizes[1:])]
    params = [param for layer in layers for param in layer]
    for param in params:
        param.attach_grad()

    def net(X):
        return forward(X.reshape(-1, 784), layers, relu)

    try:
        return net, train_quietly(net, train_iter, valid_iter, num_epochs,
                                  lambda n: sgd(params, lr, n))
    except NonFiniteLossError:
        return net, None


def _show(what, rows, figure=None, xscale='linear'):
    show_table([what, *COLUMNS], rows)
    best = onp.nanargmax([row[3] for row in rows])
    print(f'best on the validation set: {rows[best][0]}')
    if figure:
        plot([row[0] for row in rows], [[row[2] for row in rows],
                                        [row[3] for row in rows]], what,
             'accuracy', ['train', 'valid'], xscale=xscale)
        save_figure(figure)
