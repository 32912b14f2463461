"""4.10 Predicting house prices on Kaggle."""
import numpy as onp
import pandas as pd
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from tqdm import tqdm

from .d2l import fashion_mnist
from .d2l.data import load_array
from .d2l.training import check_finite
from .errors import DataError
from .files import written_whole
from .run import checkpoint
from .underfit_overfit import get_k_fold_data

npx.set_np()

URLS = ('http://d2l-data.s3-accelerate.amazonaws.com/',
        'https://raw.githubusercontent.com/d2l-ai/d2l-zh/v1/data/')
FILES = {'kaggle_house_pred_train.csv':  # name: SHA-1
         '585e9cc93e70b39160e7921475f9bcd7d31219ce',
         'kaggle_house_pred_test.csv':
         'fa19780a7b011d9b009e8bff8e99922a8ee2eb90'}

loss = gluon.loss.L2Loss()
loss.hybridize()  # one call of MXNet instead of five


def cache_folder():
    """Where the two files are kept, beside those of Fashion-MNIST."""
    return fashion_mnist.cache_folder().with_name('kaggle_house')


def download(name):
    """The path of one of `FILES`, downloaded unless it is there (4.10.1).

    Its SHA-1 is checked each time; a damaged file is fetched again. Raises
    `DataError` where it cannot be had.
    """
    import pooch
    folder, errors = cache_folder(), []
    for url in URLS:
        try:
            return pooch.retrieve(
                url + name, known_hash='sha1:' + FILES[name], fname=name,
                path=folder, downloader=pooch.HTTPDownloader(timeout=20))
        except (OSError, ValueError) as error:  # no network, or wrong hash
            why = getattr(error, 'strerror', None) or type(error).__name__
            errors.append(f'{url}: {why}')
    state = 'is damaged' if (folder / name).exists() else 'is missing'
    raise DataError(f'{folder / name} {state} and cannot be downloaded '
                    f'({"; ".join(errors)}): put {" and ".join(FILES)} into '
                    'that folder by hand')


def load_data():
    """The tables train_data (1460, 81) and test_data (1459, 80) (4.10.3).

    Missing is only what the files call NA: "None" is a category of
    MasVnrType, which pandas 2 and later would read as missing. Raises
    `DataError`.
    """
    return [pd.read_csv(download(name), na_values=['NA'],
                        keep_default_na=False) for name in FILES]


def preprocess(train_data, test_data):
    """All features as a table of float32, train_data's first (4.10.4).

    Numeric columns are standardized over both tables, missing values then 0,
    the mean. The others become a column for each category, and one for
    missing: (2919, 331) of the real tables.
    """
    all_features = pd.concat((train_data.iloc[:, 1:-1],  # no Id, no price
                              test_data.iloc[:, 1:]), ignore_index=True)
    numeric = all_features.select_dtypes('number').columns
    all_features[numeric] = all_features[numeric].apply(
        lambda x: (x - x.mean()) / x.std()).fillna(0)
    return pd.get_dummies(all_features, dummy_na=True,
                          dtype='float32').astype('float32')


def to_arrays(all_features, train_data):
    """MXNet's arrays train_features, test_features, train_labels (4.10.4).

    Float32; the labels (n, 1) are the prices in dollars.
    """
    n_train = len(train_data)
    features = np.array(all_features.values, dtype='float32')
    labels = train_data.SalePrice.values.reshape(-1, 1)
    return (features[:n_train], features[n_train:],
            np.array(labels, dtype='float32'))


def get_net():
    """Linear regression, its weights drawn at the first batch (4.10.5)."""
    net = nn.HybridSequential()
    net.add(nn.Dense(1))
    net.initialize()
    net.hybridize()
    return net


def log_rmse(net, features, labels):
    """Root mean squared error of the logarithms of the prices (4.10.5).

    Prices below 1 are taken for 1, whose logarithm is 0. An array of no
    dimensions: reading it waits for MXNet.
    """
    clipped_preds = np.clip(net(features), 1, float('inf'))
    return np.sqrt(2 * loss(np.log(clipped_preds), np.log(labels)).mean())


def train(net, train_features, train_labels, test_features, test_labels,
          num_epochs, lr, wd, batch_size):
    """Train by Adam; the log rmse after each epoch (4.10.5).

    Returns two lists, train and test; the second is empty if `test_labels`
    is None. Raises `NonFiniteLossError`.
    """
    history = []
    train_iter = load_array((train_features, train_labels), batch_size)
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr, 'wd': wd})
    for _ in checkpoint.epochs(num_epochs, history, history.append, trainer):
        for X, y in train_iter:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(batch_size)  # also for a smaller last batch
        history.append([log_rmse(net, train_features, train_labels)])
        if test_labels is not None:
            history[-1].append(log_rmse(net, test_features, test_labels))
    history = [[float(l) for l in row] for row in history]
    for epoch, row in enumerate(history, 1):
        check_finite(row[0], epoch)
    return [l for l, *_ in history], [l for _, *ls in history for l in ls]


def k_fold(k, X_train, y_train, num_epochs, lr, wd, batch_size):
    """Train `k` times, each time without another fold (4.10.6).

    Returns for each fold the two lists of `train`: of training and of
    validation.
    """
    folds = []
    for i in tqdm(range(k), 'folds', leave=False, disable=None):
        data = get_k_fold_data(k, i, X_train, y_train)
        folds.append(train(get_net(), *data, num_epochs, lr, wd, batch_size))
    return folds


def average(folds):
    """The mean final log rmse of `k_fold`: training, validation (4.10.6)."""
    return (onp.mean([train_ls[-1] for train_ls, _ in folds]),
            onp.mean([valid_ls[-1] for _, valid_ls in folds]))


def train_and_pred(train_features, test_features, train_labels, num_epochs,
                   lr, wd, batch_size):
    """Train on everything and predict the test prices (4.10.8).

    Returns the training log rmse after each epoch, and the prices (n,), a
    NumPy array.
    """
    net = get_net()
    train_ls, _ = train(net, train_features, train_labels, None, None,
                        num_epochs, lr, wd, batch_size)
    return train_ls, net(test_features).asnumpy().reshape(-1)


def save_submission(test_data, preds, path):
    """Write Id and SalePrice as Kaggle takes them; prints where (4.10.8).

    `preds` (n,) are the prices. The file is written whole or not at all.
    """
    submission = pd.DataFrame({'Id': test_data.Id, 'SalePrice': preds})
    with written_whole(path) as partial:
        submission.to_csv(partial, index=False)
    print(f'predictions: {path}')
