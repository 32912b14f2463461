"""The chapter's sections run as the book ran them, for `compare`.

Each starts from the stream of a fresh process, draws in the book's order, and
gives its numbers under the names of `published.json`. Only the shuffle, which
the book did not seed, is ours to choose.
"""
import contextlib
import functools
import io

import mxnet as mx
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
from ..d2l import data, plot, training
from .published import NUM_EPOCHS, quantities

npx.set_np()


def reproduce(section, shuffle=0, num_epochs=NUM_EPOCHS):
    """The numbers of `section`, a slug: a dictionary of NumPy arrays.

    The keys and shapes are those of its published quantities. `shuffle`
    seeds the order of the batches; `num_epochs` is of each training on
    Fashion-MNIST.
    """
    training.seed(0)
    onp.random.seed(shuffle)
    args = [num_epochs] if section in FASHION_MNIST else []
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return SECTIONS[section](*args)
        finally:
            plot.plt.close('all')


def draw_norms(seed):
    """The norms of w for wd 0 and 3 in the concise 4.5, drawn by `seed`."""
    training.seed(seed)
    train_iter, test_iter = weight_decay.load_data()
    norms = [weight_decay.train_concise(wd, train_iter, test_iter)[0]
             for wd in (0, 3)]
    plot.plt.close('all')
    return norms


def _mlp():
    x = np.arange(-8.0, 8.0, 0.1)
    numbers = {}
    for name, f in (('relu', mlp.relu), ('sigmoid', mlp.sigmoid),
                    ('tanh', mlp.tanh)):
        y, grad = mlp.value_and_grad(f, x)
        numbers[name], numbers[f'grad of {name}'] = y, grad
    return _kept('mlp', numbers)


def _kept(section, numbers):
    """Of curves over the 160 points the ones that the figures kept."""
    rows = {q.what: onp.rint((onp.array(q.x) + 8) / 0.1).astype(int)
            for q in quantities(section) if q.what in numbers}
    return {what: curve.asnumpy()[rows[what]]
            for what, curve in numbers.items()}


def _mlp_scratch(num_epochs):
    params = mlp_scratch.init_params()
    return _train_ch3(lambda X: mlp_scratch.net(X, params), 0.1, num_epochs,
                      lambda batch_size: training.sgd(params, 0.1, batch_size))


def _mlp_concise(num_epochs):
    net = mlp_concise.get_net()
    net.initialize(init.Normal(sigma=0.01))
    return _train_ch3(net, 0.1, num_epochs)


def _dropout(num_epochs):
    X = np.arange(16).reshape(2, 8)
    numbers = {f'dropout_layer/{p}': dropout.dropout_layer(X, p).asnumpy()
               for p in (0, 0.5, 1)}
    params = dropout.init_params()
    scratch = _train_ch3(
        lambda X: dropout.net(X, params, 0.2, 0.5), 0.5, num_epochs,
        lambda batch_size: training.sgd(params, 0.5, batch_size))
    net = dropout.get_net(0.2, 0.5)
    net.initialize(init.Normal(sigma=0.01))
    concise = _train_ch3(net, 0.5, num_epochs)
    return {**numbers, **_prefixed('scratch', scratch),
            **_prefixed('concise', concise)}


def _train_ch3(net, lr, num_epochs, updater=None):
    """The history at batch size 256."""
    updater = updater or gluon.Trainer(net.collect_params(), 'sgd',
                                       {'learning_rate': lr})
    history = training.train_ch3(
        net, *data.load_data_fashion_mnist(256),
        gluon.loss.SoftmaxCrossEntropyLoss(), num_epochs, updater)
    return {name: onp.array([getattr(epoch, name) for epoch in history])
            for name in training.Epoch._fields}


def _underfit_overfit():
    features, poly_features, labels = underfit_overfit.get_data()
    numbers = {'features': features[:2, 0].asnumpy(),
               'poly_features': poly_features[:2].asnumpy(),
               'labels': labels[:2].asnumpy()}
    for name, degree, num_epochs in (('normal', 4, 400), ('underfit', 2, 400),
                                     ('overfit', 20, 1500)):
        X = poly_features[:, :degree]
        weight, history = underfit_overfit.train(
            X[:100], X[100:], labels[:100], labels[100:], num_epochs)
        numbers[f'{name}/weight'] = weight
        numbers.update(_prefixed(name, _losses(history)))
    return numbers


def _weight_decay():
    train_iter, test_iter = weight_decay.load_data()
    numbers = {}
    for name, train in (
            ('scratch_lambd_0', lambda: weight_decay.train(
                0, train_iter, test_iter, 200)),
            ('scratch_lambd_3', lambda: weight_decay.train(
                3, train_iter, test_iter, 200)),
            ('concise_wd_0', lambda: weight_decay.train_concise(
                0, train_iter, test_iter)),
            ('concise_wd_3', lambda: weight_decay.train_concise(
                3, train_iter, test_iter))):
        norm, history = train()
        numbers[f'{name}/l2_norm_of_w'] = onp.array(norm)
        numbers.update(_prefixed(name, _losses(history)))
    return numbers


def _numerical_stability_and_init():
    y, grad = mlp.value_and_grad(mlp.sigmoid, np.arange(-8.0, 8.0, 0.1))
    first, M = numerical_stability_and_init.product_of_matrices()
    return {**_kept('numerical_stability_and_init',
                    {'sigmoid': y, 'gradient': grad}),
            'one_matrix': first.asnumpy(),
            'product_with_100_matrices': M.asnumpy()}


def rounding(section):
    """By how much float32 rounds exact numbers that take many steps.

    Relative, found without the port: NumPy's float32 against its float64, on
    the same draws.
    """
    if section == 'underfit_overfit' and mx.__version__ != '1.9.1':
        return {'labels': _rounding_of_labels()}
    if section != 'numerical_stability_and_init':
        return {}
    training.seed(0)
    draws = [np.random.normal(size=(4, 4)).asnumpy() for _ in range(101)]
    rounded = functools.reduce(onp.dot, draws)
    exact = functools.reduce(onp.dot, [a.astype('float64') for a in draws])
    return {'product_with_100_matrices': onp.abs(rounded / exact - 1).max()}


def _rounding_of_labels():
    """How float32 rounds each published label's sum of larger terms.

    By half a unit in the last place of their sizes together: MXNet 1.9.1 and
    2.0.0b1 do not round this product alike.
    """
    book = {q.what: q.values for q in quantities('underfit_overfit')}
    powers = book['features'][:, None] ** onp.arange(4)
    terms = powers / [1, 1, 2, 6] * underfit_overfit.TRUE_W
    return (onp.finfo('float32').eps / 2 * onp.abs(terms).sum(axis=1)
            / onp.abs(book['labels']))


def _kaggle_house_price():
    train_data, test_data = kaggle_house_price.load_data()
    all_features = kaggle_house_price.preprocess(train_data, test_data)
    X, X_test, y = kaggle_house_price.to_arrays(all_features, train_data)
    settings = {'num_epochs': 100, 'lr': 5, 'wd': 0, 'batch_size': 64}
    folds = kaggle_house_price.k_fold(5, X, y, **settings)
    train_ls, _ = kaggle_house_price.train_and_pred(X, X_test, y, **settings)
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


SECTIONS = {'mlp': _mlp, 'mlp_scratch': _mlp_scratch,
            'mlp_concise': _mlp_concise,
            'underfit_overfit': _underfit_overfit,
            'weight_decay': _weight_decay, 'dropout': _dropout,
            'numerical_stability_and_init': _numerical_stability_and_init,
            'kaggle_house_price': _kaggle_house_price}
FASHION_MNIST = ('mlp_scratch', 'mlp_concise', 'dropout')
