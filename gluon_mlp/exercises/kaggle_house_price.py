"""Answers to the exercises of 4.10; all errors are log rmse of prices."""
import numpy as onp
import pandas as pd
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from ..d2l.data import load_array
from ..d2l.plotting import Curve, plot, save_figure
from ..errors import NonFiniteLossError
from ..kaggle_house_price import (
    average,
    get_k_fold_data,
    k_fold,
    load_data,
    preprocess,
    to_arrays,
)
from .common import plot_dots, show_table

npx.set_np()


def _load(quick):
    """The two tables; `quick`: 200 rows of each."""
    return [table[:200] if quick else table for table in load_data()]


def _arrays(train_data, test_data):
    """The features and prices to train on, of the section's `preprocess`."""
    X, _, y = to_arrays(preprocess(train_data, test_data), train_data)
    return X, y


def _prices(X, y, quick, k=5, num_epochs=100, lr=5, wd=0):
    """The section's model: (mean train, mean valid error), of each fold."""
    folds = k_fold(k, X, y, 3 if quick else num_epochs, lr, wd, 64)
    return average(folds), [valid_ls[-1] for _, valid_ls in folds]


def _get_net(num_hiddens=(), dropout=0):
    """An MLP with ReLU and dropout behind each hidden layer, or linear."""
    net = nn.HybridSequential()
    for n in num_hiddens:
        net.add(nn.Dense(n, activation='relu'), nn.Dropout(dropout))
    net.add(nn.Dense(1))
    net.initialize(init.Xavier())
    net.hybridize()
    return net


def _fit_log(net, X, y, num_epochs, lr=0.01, wd=0, batch_size=64):
    """Train `net` by Adam on the standardized logarithms of the prices.

    Returns the function from features to the logarithm of the price.
    """
    z = np.log(y)
    mean, std = z.mean(), z.std()
    loss = gluon.loss.L2Loss()
    data_iter = load_array((X, (z - mean) / std), batch_size)
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr, 'wd': wd})
    for epoch in range(num_epochs):
        # Falls to 0, as the last steps would be random otherwise.
        trainer.set_learning_rate(lr * (1 - epoch / num_epochs))
        for X, z in data_iter:
            with autograd.record():
                l = loss(net(X), z)
            l.backward()
            trainer.step(len(X))
    Curve().append((num_epochs, float(l.mean())))  # which has to be finite
    return lambda X: net(X) * std + mean


def _logs(X, y, quick, num_hiddens=(), dropout=0, k=5, num_epochs=40,
          **kwargs):
    """`_fit_log` in `k` folds: (mean train, mean valid error), of each."""
    errors = []
    for i in range(k):
        X_train, y_train, X_valid, y_valid = get_k_fold_data(k, i, X, y)
        f = _fit_log(_get_net(num_hiddens, dropout), X_train, y_train,
                     2 if quick else num_epochs, **kwargs)
        errors.append([float(((f(a) - np.log(b)) ** 2).mean() ** 0.5)
                       for a, b in ((X_train, y_train), (X_valid, y_valid))])
    train_l, valid_l = onp.mean(errors, axis=0).tolist()
    return (train_l, valid_l), [valid for _, valid in errors]


def _table(results, what='', figure=None):
    """Print {name: ((train, valid), folds)}; returns {name: (train, valid)}.

    Beside them the standard error of the mean of the folds. Plots the means
    and the folds where there is a name for the `figure`.
    """
    show_table([what, 'train log rmse', 'valid log rmse', '+-'], [
        (name, *map(float, means),
         float(onp.std(folds, ddof=1) / len(folds) ** 0.5))
        for name, (means, folds) in results.items()])
    if figure:
        means, folds = zip(*results.values())
        plot_dots(list(results), [*zip(*means), *zip(*folds)], 'log rmse',
                  ['train', 'valid', 'valid, one fold'],
                  fmts=['o', 'mx', *['C2.'] * len(folds[0])])
        save_figure(figure)
    return {name: tuple(map(float, means))
            for name, (means, _) in results.items()}


def exercise_1(quick=False):
    """How good is the submission?

    Kaggle's answer is the log rmse on the test prices, which are not given.
    Cross-validation estimates it: each fold's validation error is that of a
    model which did not see the fold, as the submission's did not see the
    test houses. The mean over the folds is, if anything, a little
    pessimistic, since the submission trains on all of the data, a quarter
    more; it would be optimistic had the hyperparameters been tuned on the
    same folds. The standard deviation between the folds says how far one
    sample of a fifth of the houses may lie from the mean; Kaggle's public
    score is on a part of the test houses, too.

    For scale: the error of always predicting the geometric mean price.
    """
    X, y = _arrays(*_load(quick))
    result = _prices(X, y, quick)
    means = _table({'the section, 5 folds': result})
    spread = float(onp.std(result[1], ddof=1))
    trivial = float(np.log(y).std())
    print(f'folds: {", ".join(f"{l:.4f}" for l in result[1])}; standard '
          f'deviation {spread:.4f}\none price for all: {trivial:.4f}')
    return {**means, 'spread': spread, 'one price': trivial}


def exercise_2(quick=False):
    """Train on the logarithm of the price

    The score is the error of log price. Mean squared error of log price is
    the score's square, while squared error of the price is ruled by the most
    expensive houses: 10% of 500,000 dollars weighs 25 times 10% of 100,000.
    exp(f(x)) is positive by itself, so nothing has to be clipped, and a
    linear f means that a feature multiplies the price (a garage adds 10%)
    instead of adding dollars. Trained so, the numbers are of size 1 and the
    learning rate need not be 5. What one gives up: exp of the mean logarithm
    is the geometric mean (the median, were prices log-normal), which lies
    below the mean price.
    """
    X, y = _arrays(*_load(quick))
    return _table({'price': _prices(X, y, quick),
                   'logarithm': _logs(X, y, quick)}, 'trained on',
                  'exercise_4_10_2')


def _fill(tables, how):
    """Fill or mark what is missing in the numeric columns of both tables."""
    tables = [table.copy() for table in tables]
    columns = tables[1].columns[1:]  # no Id; the price is in neither
    columns = tables[1][columns].select_dtypes('number').columns
    for name in columns:
        values = pd.concat([table[name] for table in tables])
        if how == 'indicator' and values.isna().any():
            for table in tables:
                table.insert(1, f'{name}_missing',
                             table[name].isna().astype('float32'))
        elif how in ('median', 'minimum'):
            value = values.median() if how == 'median' else values.min()
            for table in tables:
                table[name] = table[name].fillna(value)
    return tables


def exercise_3(quick=False):
    """Is the mean always a good stand-in for what is missing?

    No. It is if values are missing completely at random: then it does not
    move the mean of the feature, and only shrinks its variance. If being
    missing tells something, the mean hides it: a house without a garage has
    no GarageYrBlt, and to give it the year of the average garage calls the
    worst case average. If values are missing because of their own size
    (large ones kept secret), even the mean of those that are left is wrong.
    Then a column that says "missing" lets the model learn what that means;
    for skewed features the median, and for counts of what is not there 0,
    may serve better; best is to know why a value is missing.

    Measured: on the data as it is, then with the living area hidden for
    those three houses in ten where it is largest. Read the differences
    against the standard errors: in the real table other columns tell much
    of what one cell does not (the areas of the floors add up to the living
    area), so that even a wrong mean, printed first, costs nothing here.
    """
    tables = _load(quick)
    cases = {name: _fill(tables, name)
             for name in ('mean', 'median', 'minimum', 'indicator')}
    hidden = [table.copy() for table in tables]
    area = pd.concat([table.GrLivArea for table in tables])
    for table in hidden:
        table['GrLivArea'] = table.GrLivArea.where(
            table.GrLivArea < area.quantile(0.7))
    left = pd.concat([table.GrLivArea for table in hidden]).mean()
    print(f'living area: mean {area.mean():.0f} square feet, of those not '
          f'hidden {left:.0f}')
    cases['large hidden, mean'] = hidden
    cases['large hidden, indicator'] = _fill(hidden, 'indicator')
    return {'mean area': (float(area.mean()), float(left)), **_table(
        {name: _logs(*_arrays(*case), quick)
         for name, case in cases.items()}, 'missing becomes',
        'exercise_4_10_3')}


def exercise_4(quick=False):
    """Tune the hyperparameters by cross-validation

    Each pair of learning rate and weight decay is given the same 5 folds,
    the section's model and half of its epochs; the pair with the least
    validation error is taken. Where the best lies on the edge of the grid, a
    further grid is due; where differences are below the standard error, the
    simpler choice. The best of many is a little lucky: its own validation
    error is an optimistic estimate. Here a learning rate of 40 takes half of
    the section's epochs to 0.148, where these end at 0.170; a decay of 0.01
    changes nothing, so none is the choice.
    """
    X, y = _arrays(*_load(quick))
    lrs, wds = (10, 40, 160), (0, 0.01, 0.1)
    results = {(lr, wd): _prices(X, y, quick, num_epochs=50, lr=lr, wd=wd)
               for lr in lrs for wd in wds}
    means = _table(results, 'lr, wd')
    best = min(means, key=lambda pair: means[pair][1])
    print(f'best: lr {best[0]}, wd {best[1]}, valid log rmse '
          f'{means[best][1]:.4f}')
    plot(lrs, [[means[lr, wd][1] for lr in lrs] for wd in wds], 'lr',
         'valid log rmse', [f'wd {wd}' for wd in wds], xscale='log')
    save_figure('exercise_4_10_4')
    return {**means, 'best': best}


def exercise_5(quick=False):
    """Better models: hidden layers, weight decay, dropout

    Trained on the logarithm (4.10.2), since that decides more than the
    layers do. 331 features and 1,168 houses to train on make overfitting the
    main danger: a hidden layer fits the training data far better, and what
    is left of that in validation depends on how it is regularized. Best are
    64 units with weight decay, at 0.126 where the linear model has 0.147.
    Two layers with a dropout of 0.5 underfit: in these epochs they do not
    even reach the linear model's training error.
    """
    X, y = _arrays(*_load(quick))
    models = {'linear': {}, 'linear, wd 0.01': {'wd': 0.01},
              '64': {'num_hiddens': (64,)},
              '64, wd 0.01': {'num_hiddens': (64,), 'wd': 0.01},
              '64, dropout 0.5': {'num_hiddens': (64,), 'dropout': 0.5},
              '64, 64, dropout 0.5': {'num_hiddens': (64, 64),
                                      'dropout': 0.5}}
    means = _table({name: _logs(X, y, quick, **model)
                    for name, model in models.items()},
                   'hidden units', 'exercise_4_10_5')
    best = min(means, key=lambda name: means[name][1])
    print(f'best: {best}')
    return {**means, 'best': best}


def _preprocess_raw(train_data, test_data):
    """The section's features but not standardized; missing: the mean."""
    raw = pd.concat((train_data.iloc[:, 1:-1], test_data.iloc[:, 1:]),
                    ignore_index=True)
    numeric = raw.select_dtypes('number').columns
    raw[numeric] = raw[numeric].apply(lambda x: x.fillna(x.mean()))
    return pd.get_dummies(raw, dummy_na=True,
                          dtype='float32').astype('float32')


def exercise_6(quick=False):
    """Without standardizing the continuous features

    Lot areas are of the order of 10,000, numbers of baths of 1. The
    gradient of a weight is proportional to its feature, so one learning rate
    does not fit all: SGD must take the one that the largest feature bears,
    about 2 / (largest eigenvalue of X'X / n), and then the small ones hardly
    move. Adam divides each gradient by its own size, which mends the
    gradients but not the steps' effect: a step of lr changes the price by lr
    times the feature. Below, some folds of the price come out nearly as well
    with it, and another is useless; the logarithms all fail. Weight decay is
    unfair as well: a large feature needs a small weight, and is hardly
    penalized.
    """
    tables, results = _load(quick), {}
    for name, features in (('standardized', preprocess(*tables)),
                           ('raw', _preprocess_raw(*tables))):
        X, _, y = to_arrays(features, tables[0])
        values = onp.linalg.eigvalsh(X.T.asnumpy().astype('float64')
                                     @ X.asnumpy() / len(X))
        print(f"{name}: largest eigenvalue of X'X / n {values[-1]:.3g}, so "
              f'SGD bears a learning rate of {2 / values[-1]:.2g} at most')
        for target, fit in (('price', _prices), ('log', _logs)):
            try:
                results[f'{name}, {target}'] = fit(X, y, quick)
            except NonFiniteLossError:
                print(f'{name}, {target}: diverged')
    return _table(results, figure='exercise_4_10_6')
