"""Our sections, run as the book ran them.

Each section starts from the random streams of a fresh process, and draws in
the book's order. Its numbers have the names that they have in
`quantities.json`. Only the order of the batches is free, because the book did
not seed it.
"""
from functools import partial, reduce

import numpy as onp
from mxnet import gluon, init, np, npx

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
from ..d2l import data, plotting, training
from . import printings
from .quantities import described

npx.set_np()


def reproduce(section, shuffle=0, num_epochs=None):
    """The numbers of `section`, a slug: a dictionary of NumPy arrays.

    Their names and shapes are those of the published quantities. `shuffle`
    seeds the order of the batches. Each training has `num_epochs` epochs, or
    as many as the section says.
    """
    training.seed(0)
    onp.random.seed(shuffle)
    try:
        return SECTIONS[section](num_epochs)
    finally:
        plotting.plt.close('all')  # 4.4 and 4.5 plot each training


def draw_norms(seed):
    """The norms of w for wd 0 and 3 in the concise 4.5, drawn by `seed`."""
    training.seed(seed)
    train_iter, test_iter = weight_decay.load_data()
    return [weight_decay.train_concise(wd, train_iter, test_iter,
                                       quiet=True)[0]
            for wd in (0, weight_decay.lambd)]


def _mlp(num_epochs):
    x = np.arange(-8.0, 8.0, 0.1)
    numbers = {}
    for name, f in (('relu', mlp.relu), ('sigmoid', mlp.sigmoid),
                    ('tanh', mlp.tanh)):
        y, grad = mlp.value_and_grad(f, x)
        numbers[name], numbers[f'grad of {name}'] = y, grad
    return _kept('mlp', numbers)


def _kept(section, numbers):
    """The points that the figures kept of curves over 160 points."""
    rows = {entry['what']: onp.rint((onp.array(entry['x']) + 8) / 0.1)
            .astype(int)
            for entry in described()[section] if entry['what'] in numbers}
    return {what: curve.asnumpy()[rows[what]]
            for what, curve in numbers.items()}


def _scratch(section):
    params = section.init_params()
    return (lambda X: section.net(X, params),
            training.Updater(params, section.lr))


def _concise(section):
    net = section.get_net()
    net.initialize(init.Normal(sigma=0.01))
    return net, gluon.Trainer(net.collect_params(), 'sgd',
                              {'learning_rate': section.lr})


# The module of each network, and what draws the network and its updater.
NETWORKS = {
    ('mlp_scratch', 'scratch'): (mlp_scratch, _scratch),
    ('mlp_concise', 'concise'): (mlp_concise, _concise),
    ('dropout', 'scratch'): (dropout, _scratch),
    ('dropout', 'concise'): (dropout, _concise)}


def _dropout(num_epochs):
    X = np.arange(16).reshape(2, 8)
    numbers = {f'dropout_layer/{p}': dropout.dropout_layer(X, p).asnumpy()
               for p in (0, 0.5, 1)}
    scratch = _train_ch3('dropout', 'scratch', num_epochs)
    concise = _train_ch3('dropout', 'concise', num_epochs)
    return {**numbers, **_prefixed('scratch', scratch),
            **_prefixed('concise', concise)}


def _train_ch3(slug, what, num_epochs):
    section, draw = NETWORKS[slug, what]
    net, updater = draw(section)
    history = training.train_ch3(
        net, *data.load_data_fashion_mnist(section.batch_size),
        gluon.loss.SoftmaxCrossEntropyLoss(),
        num_epochs or section.num_epochs, updater, quiet=True)
    return {name: onp.array([getattr(epoch, name) for epoch in history])
            for name in training.Epoch._fields}


def _underfit_overfit(num_epochs):
    features, poly_features, labels = underfit_overfit.get_data()
    numbers = {'features': features[:2, 0].asnumpy(),
               'poly_features': poly_features[:2].asnumpy(),
               'labels': labels[:2].asnumpy()}
    n = underfit_overfit.n_train
    for name, columns, epochs in (
            ('normal', 4, underfit_overfit.num_epochs),
            ('underfit', 2, underfit_overfit.num_epochs),
            ('overfit', 20, underfit_overfit.num_epochs_overfit)):
        X = poly_features[:, :columns]
        weight, history = underfit_overfit.train(
            X[:n], X[n:], labels[:n], labels[n:], num_epochs or epochs)
        numbers[f'{name}/weight'] = weight
        numbers.update(_prefixed(name, _losses(history)))
    return numbers


def _weight_decay(num_epochs):
    train_iter, test_iter = weight_decay.load_data()
    numbers = {}
    for name, train, lambd in (
            ('scratch_lambd_0', weight_decay.train, 0),
            ('scratch_lambd_3', weight_decay.train, weight_decay.lambd),
            ('concise_wd_0', weight_decay.train_concise, 0),
            ('concise_wd_3', weight_decay.train_concise, weight_decay.lambd)):
        norm, history = train(
            lambd, train_iter, test_iter,
            num_epochs=num_epochs or weight_decay.num_epochs)
        numbers[f'{name}/l2_norm_of_w'] = onp.array(norm)
        numbers.update(_prefixed(name, _losses(history)))
    return numbers


def _numerical_stability_and_init(num_epochs):
    y, grad = mlp.value_and_grad(mlp.sigmoid, np.arange(-8.0, 8.0, 0.1))
    first, M = numerical_stability_and_init.product_of_matrices()
    return {**_kept('numerical_stability_and_init',
                    {'sigmoid': y, 'gradient': grad}),
            'one_matrix': first.asnumpy(),
            'product_with_100_matrices': M.asnumpy()}


def rounding(section):
    """The relative error of float32 in exact numbers that take many steps.

    It is found without our code, from NumPy's float32 and float64 on the
    same draws.
    """
    if section == 'underfit_overfit':
        return {'labels': _rounding_of_labels()}
    if section != 'numerical_stability_and_init':
        return {}
    training.seed(0)
    draws = [np.random.normal(size=(4, 4)).asnumpy() for _ in range(101)]
    rounded = reduce(onp.dot, draws)
    exact = reduce(onp.dot, [a.astype('float64') for a in draws])
    return {'product_with_100_matrices': onp.abs(rounded / exact - 1).max()}


def _rounding_of_labels():
    """The error of each published label, which is a sum of larger terms.

    It is half a unit in the last place of the sum of their sizes. Which
    label is rounded how depends on the processor and on MXNet's version.
    """
    book = printings.load(printings.NAMES[0]).numbers['underfit_overfit']
    powers = book['features'][:, None] ** onp.arange(4)
    terms = powers / [1, 1, 2, 6] * underfit_overfit.true_w
    return (onp.finfo('float32').eps / 2 * onp.abs(terms).sum(axis=1)
            / onp.abs(book['labels']))


def _kaggle_house_price(num_epochs):
    train_data, test_data = kaggle_house_price.load_data()
    all_features = kaggle_house_price.preprocess(train_data, test_data)
    X, X_test, y = kaggle_house_price.to_arrays(all_features, train_data)
    settings = (num_epochs or kaggle_house_price.num_epochs,
                kaggle_house_price.lr, kaggle_house_price.weight_decay,
                kaggle_house_price.batch_size)
    folds = kaggle_house_price.k_fold(kaggle_house_price.k, X, y, *settings)
    train_ls, _ = kaggle_house_price.train_and_pred(X, X_test, y, *settings)
    last = onp.array([[curve[-1] for curve in fold] for fold in folds]).T
    numbers = {'train_shape': train_data.shape, 'test_shape': test_data.shape,
               'all_features_shape': all_features.shape,
               'final_train_log_rmse': train_ls[-1],
               'final_curve/train': train_ls}
    for i, name in enumerate(('train', 'valid')):
        numbers[f'fold_log_rmse/{name}'] = last[i]
        numbers[f'average_log_rmse/{name}'] = last[i].mean()
        numbers[f'fold_1_curve/{name}'] = folds[0][i]
    return {what: onp.array(value) for what, value in numbers.items()}


def _losses(history):
    _, train_loss, test_loss = onp.array(history).T
    return {'train_loss': train_loss, 'test_loss': test_loss}


def _prefixed(prefix, numbers):
    return {f'{prefix}/{name}': value for name, value in numbers.items()}


SECTIONS = {'mlp': _mlp,
            'mlp_scratch': partial(_train_ch3, 'mlp_scratch', 'scratch'),
            'mlp_concise': partial(_train_ch3, 'mlp_concise', 'concise'),
            'underfit_overfit': _underfit_overfit,
            'weight_decay': _weight_decay, 'dropout': _dropout,
            'numerical_stability_and_init': _numerical_stability_and_init,
            'kaggle_house_price': _kaggle_house_price}
