"""4.10 Predicting house prices on Kaggle."""
import hashlib

import numpy as onp
import pandas as pd
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from tqdm import tqdm

from . import experiment, files
from .d2l.data import load_array
from .d2l.plotting import Curve
from .errors import DataError
from .files import cache_root, check_file, mirror, written_whole

npx.set_np()

k, num_epochs, lr, weight_decay, batch_size = 5, 100, 5, 0, 64

URLS = ('http://d2l-data.s3-accelerate.amazonaws.com/',
        'https://raw.githubusercontent.com/d2l-ai/d2l-zh/v1/data/')
FILES = {'kaggle_house_pred_train.csv':  # name: SHA-1
         '585e9cc93e70b39160e7921475f9bcd7d31219ce',
         'kaggle_house_pred_test.csv':
         'fa19780a7b011d9b009e8bff8e99922a8ee2eb90'}
MOST = 2 ** 20  # bytes: twice what they have

loss = gluon.loss.L2Loss()
loss.hybridize()  # one call of MXNet instead of five


def cache_folder():
    """The folder of the two files, beside the one of Fashion-MNIST."""
    return cache_root() / 'kaggle_house'


def download(name):
    """The path of one of `FILES`, which is downloaded if needed (4.10.1).

    Its SHA-1 is checked each time, and a damaged file is fetched again.
    Raises `DataError` if the file cannot be downloaded.
    """
    path, errors = cache_folder() / name, []
    if _is_intact(path, name):
        return path
    if path.exists() and not path.is_file():
        raise DataError(f'{path} is no file: remove it')
    for url in filter(None, (mirror('kaggle_house'), *URLS)):
        try:
            content = files.download(url + name, MOST)
            if _sha1(content) != FILES[name]:
                raise DataError('another file')
            with written_whole(path) as partial:
                partial.write_bytes(content)
            return path
        except (DataError, OSError) as error:
            why = getattr(error, 'strerror', None) or error
            errors.append(f'{url}: {why}')
    state = 'is damaged' if path.exists() else 'is missing'
    raise DataError(f'{path} {state} and cannot be downloaded '
                    f'({"; ".join(errors)}): put {" and ".join(FILES)} into '
                    'that folder by hand')


def _is_intact(path, name):
    if not path.is_file():
        return False
    with path.open('rb') as file:
        return _sha1(file.read(MOST)) == FILES[name]


def _sha1(content):
    return hashlib.sha1(content).hexdigest()


def load_data():
    """The tables train_data (1460, 81) and test_data (1459, 80) (4.10.3).

    Only NA means a missing value. The text "None" is a category of
    MasVnrType, although pandas 2 and later would read it as missing. Raises
    `DataError`.
    """
    return [pd.read_csv(download(name), na_values=['NA'],
                        keep_default_na=False) for name in FILES]


def preprocess(train_data, test_data):
    """The features of both tables as float32, train_data first (4.10.4).

    Numeric columns are standardized over both tables. Their missing values
    become 0, which is then the mean. Every other column becomes one column
    for each category, and one for missing values. The real tables give
    (2919, 331).
    """
    all_features = pd.concat((train_data.iloc[:, 1:-1],  # no Id, no price
                              test_data.iloc[:, 1:]), ignore_index=True)
    numeric = all_features.select_dtypes('number').columns
    all_features[numeric] = all_features[numeric].apply(
        lambda x: (x - x.mean()) / x.std()).fillna(0)
    return pd.get_dummies(all_features, dummy_na=True,
                          dtype='float32').astype('float32')


def to_arrays(all_features, train_data):
    """The arrays train_features, test_features, train_labels (4.10.4).

    All are float32 of MXNet. The labels (n, 1) are the prices in dollars.
    """
    n_train = len(train_data)
    features = np.array(all_features.values, dtype='float32')
    labels = train_data.SalePrice.values.reshape(-1, 1)
    return (features[:n_train], features[n_train:],
            np.array(labels, dtype='float32'))


def get_net():
    """Linear regression; the first batch initializes it (4.10.5)."""
    net = nn.HybridSequential()
    net.add(nn.Dense(1))
    net.initialize()
    net.hybridize()
    return net


def log_rmse(net, features, labels):
    """Root mean squared error of the logarithms of the prices (4.10.5).

    A predicted price below 1 counts as 1, whose logarithm is 0. Returns an
    array of no dimensions: reading it waits for MXNet.
    """
    clipped_preds = np.clip(net(features), 1, float('inf'))
    return np.sqrt(2 * loss(np.log(clipped_preds), np.log(labels)).mean())


def train(net, train_features, train_labels, test_features, test_labels,
          num_epochs, learning_rate, weight_decay, batch_size):
    """Train with Adam; returns the log rmse after each epoch (4.10.5).

    There is a list for the training data and one for the test data, which is
    empty if `test_labels` is None. Raises `NonFiniteLossError`.
    """
    train_iter = load_array((train_features, train_labels), batch_size)
    trainer = gluon.Trainer(net.collect_params(), 'adam', {
        'learning_rate': learning_rate, 'wd': weight_decay})
    history = Curve(width=2 if test_labels is None else 3)
    workers = experiment.current.workers
    for epoch in experiment.current.epochs(num_epochs, history, trainer):
        batches, step = workers.share(net, train_iter, trainer)
        for X, y in batches:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            step(batch_size)  # also for a smaller last batch
        ls = [log_rmse(net, train_features, train_labels)]
        if test_labels is not None:
            ls.append(log_rmse(net, test_features, test_labels))
        history.append((epoch, *map(float, ls)))
    _, train_ls, *test_ls = map(list, zip(*history))
    return train_ls, test_ls[0] if test_ls else []


def get_k_fold_data(k, i, X, y):
    """Split off fold `i` of `k` for validation (4.10.6).

    Returns X_train, y_train, X_valid, y_valid, of MXNet's or NumPy's arrays.
    A fold is a block of consecutive rows. If `k` does not divide the number
    of rows, the sizes of the folds differ by one, so that every row is in a
    fold; the book drops the last rows instead. Raises `ValueError` unless
    2 <= k <= the number of rows and 0 <= i < k.
    """
    if not 2 <= k <= len(X):
        raise ValueError(f'{len(X)} examples cannot make {k} folds')
    if not 0 <= i < k:
        raise ValueError(f'no fold {i} among {k}, numbered from 0')
    start, stop = len(X) * i // k, len(X) * (i + 1) // k
    X_train, y_train = (onp.concatenate([a[:start], a[stop:]])
                        for a in (X, y))
    return X_train, y_train, X[start:stop], y[start:stop]


def k_fold(k, X_train, y_train, num_epochs, learning_rate, weight_decay,
           batch_size):
    """Train `k` networks, and validate each on the fold left out (4.10.6).

    Returns the two lists of `train` for each fold: training, validation.
    """
    folds = []
    for i in tqdm(range(k), 'folds', leave=False, disable=None):
        data = get_k_fold_data(k, i, X_train, y_train)
        folds.append(train(get_net(), *data, num_epochs, learning_rate,
                           weight_decay, batch_size))
    return folds


def average(folds):
    """The final log rmse averaged over the folds of `k_fold` (4.10.6).

    Returns two numbers: training, validation.
    """
    return (onp.mean([train_ls[-1] for train_ls, _ in folds]),
            onp.mean([valid_ls[-1] for _, valid_ls in folds]))


def train_and_pred(train_features, test_features, train_labels, num_epochs,
                   learning_rate, weight_decay, batch_size):
    """Train on all training data and predict the test prices (4.10.8).

    Returns the training log rmse after each epoch, and the prices as a NumPy
    array (n,).
    """
    net = get_net()
    train_ls, _ = train(net, train_features, train_labels, None, None,
                        num_epochs, learning_rate, weight_decay, batch_size)
    return train_ls, net(test_features).asnumpy().reshape(-1)


def submission_path(path=None):
    """The file for the submission: `path`, or one beside the figures.

    Tries it now, because the training before the writing takes long.
    Raises `FolderError`.
    """
    path = path or experiment.current.figures / 'submission.csv'
    check_file(path)
    return path


def save_submission(test_data, preds, path):
    """Write the prices `preds` (n,) in Kaggle's format to `path` (4.10.8).

    Prints where. The file is written whole or not at all. Of the workers of
    a `launch` the first writes it.
    """
    if experiment.current.workers.rank > 0:
        return
    submission = pd.DataFrame({'Id': test_data.Id, 'SalePrice': preds})
    with written_whole(path) as partial:
        submission.to_csv(partial, index=False)
    print(f'predictions: {path}')
