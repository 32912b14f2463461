"""The training loop that the chapter shares with chapter 3 (3.2, 3.6)."""
from typing import NamedTuple

import numpy as onp
from mxnet import autograd, np, npx, random
from mxnet.base import MXNetError
from tqdm import tqdm

from .. import experiment
from ..errors import DataError
from ..machine import compat, lean
from .data import get_fashion_mnist_labels, in_chunks
from .plotting import Animator, Curve, in_notebook, show_images

npx.set_np()
compat.keep_subnormals()
lean.tune()

# What a network raises for inputs that do not fit; MXNet 2.0 asserts.
MISFIT = MXNetError, ValueError, AssertionError


class Epoch(NamedTuple):
    """What `train_ch3` records of an epoch: means over the examples."""
    train_loss: float
    train_acc: float
    test_acc: float


class Accumulator:
    """Sums over `n` variables (3.6).

    It keeps arrays until a sum is read. Only then does it wait for MXNet.
    """

    def __init__(self, n):
        self.data = [[] for _ in range(n)]

    def add(self, *args):
        """Add one value to each sum."""
        for values, arg in zip(self.data, args):
            values.append(arg)

    def reset(self):
        """Set every sum to zero."""
        self.__init__(len(self.data))

    def __getitem__(self, idx):
        self.data[idx] = [sum(map(float, self.data[idx]))]
        return self.data[idx][0]


def seed(number):
    """Restart all random streams: MXNet's, and NumPy's for the shuffle."""
    compat.begin_quietly()
    random.seed(number)
    onp.random.seed(number)


def linreg(X, w, b):
    """Linear regression: X (n, d), w (d, 1), b (1,) give (n, 1) (3.2)."""
    return np.dot(X, w) + b


def squared_loss(y_hat, y):
    """Half the squared error of each example, in `y_hat`'s shape (3.2)."""
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr, batch_size):
    """One step of minibatch stochastic gradient descent, in place (3.2)."""
    for param in params:
        param -= lr * param.grad / batch_size


class Updater(NamedTuple):
    """`sgd` on `params` at the learning rate `lr`, for `train_ch3`.

    It is a step that knows its parameters: `--checkpoint` and `launch` need
    both.
    """
    params: list
    lr: float

    def __call__(self, batch_size):
        """Take one step, after `backward` on a batch of this size."""
        if not lean.sgd(self.params, self.lr, batch_size):  # the same bits
            sgd(self.params, self.lr, batch_size)


def accuracy(y_hat, y):
    """The number of correct predictions, an array of no dimensions (3.6).

    `y_hat` is (n, classes), or (n,) if it holds classes already; `y` is (n,).
    """
    if y_hat.ndim > 1 and y_hat.shape[1] > 1:
        y_hat = y_hat.argmax(axis=1)
    return (y_hat.astype(y.dtype) == y).astype(y.dtype).sum()


def evaluate_accuracy(net, data_iter):
    """The share of examples that `net` classifies correctly (3.6)."""
    metric = Accumulator(2)  # correct predictions, examples
    workers = experiment.current.workers
    for X, y in workers.part(data_iter):
        metric.add(accuracy(net(X), y), y.size)
    correct, n = workers.total(metric[0], metric[1])
    return correct / n


def evaluate_loss(net, data_iter, loss):
    """The mean loss of `net` over the examples (4.4)."""
    metric = Accumulator(2)  # sum of losses, examples
    for X, y in data_iter:
        l = loss(net(X), y)
        metric.add(l.sum(), l.size)
    return metric[0] / metric[1]


def train_epoch_ch3(net, train_iter, loss, updater):
    """Train for one epoch. Returns the mean loss and accuracy (3.6).

    `updater` is a `gluon.Trainer` or a function of the batch size. Raises
    `DataError` for inputs or labels that do not fit the network's outputs.
    """
    outputs = []
    train_iter, step = experiment.current.workers.share(net, train_iter,
                                                        updater)
    for X, y in train_iter:
        try:
            with autograd.record():
                y_hat = net(X)
                l = loss(y_hat, y)
        except MISFIT as error:
            raise DataError(f'the network cannot take X of shape {X.shape} '
                            f'with y of {y.shape}') from error
        l.backward()
        step(X.shape[0])
        outputs.append((l, y_hat, y))
    return _means(outputs)


def _means(outputs):
    """The mean loss and accuracy of the batches (l, y_hat, y) of an epoch.

    They are computed when the epoch is over. So no batch waits for its own
    numbers, and a few large operators do the work.
    """
    l, y_hat, y = (np.concatenate(arrays) for arrays in zip(*outputs))
    if y_hat.shape[-1] == 1:  # regression (4.4): there are no classes
        y = y.reshape(y_hat.shape)
    else:
        check_labels(y, y_hat)
    l, correct, n = experiment.current.workers.total(
        float(l.asnumpy().sum(dtype='float64')), float(accuracy(y_hat, y)),
        y.size)
    return l / n, correct / n


def check_labels(y, y_hat):
    """Raise `DataError` unless `y` (n,) are classes of `y_hat` (n, classes).

    The loss would take a label outside of them for the first class or the
    last.
    """
    if y.shape != y_hat.shape[:-1]:
        raise DataError(f'labels of shape {y.shape}, and the outputs are of '
                        f'{y_hat.shape}')
    least, most, num_outputs = int(y.min()), int(y.max()), y_hat.shape[-1]
    if least < 0 or most >= num_outputs:
        raise DataError(f'labels from {least} to {most}, and the network has '
                        f'{num_outputs} outputs: 0 to {num_outputs - 1}')


def train_ch3(net, train_iter, test_iter, loss, num_epochs, updater,
              quiet=False):
    """Train, plot and print. Returns an `Epoch` for each epoch (3.6).

    `updater` is a `gluon.Trainer` or a function of the batch size. Under
    `--checkpoint` and `launch` a function has to name its parameters, as
    `Updater` does. With `quiet` nothing is plotted or printed. `net` has to
    take each example by itself, because an `ArrayIter` is evaluated in larger
    batches. Raises `NonFiniteLossError` once an epoch's loss is not finite,
    and what `train_epoch_ch3` raises.
    """
    loss, test_iter = lean.compiled(loss), in_chunks(test_iter)
    history = Curve(None if quiet else Animator(
        xlabel='epoch', xlim=[1, num_epochs], ylim=[0.3, 0.9],
        legend=['train loss', 'train acc', 'test acc']))
    for epoch in experiment.current.epochs(num_epochs, history, updater,
                                           draws=True):
        train_metrics = train_epoch_ch3(net, train_iter, loss, updater)
        test_acc = evaluate_accuracy(net, test_iter)
        history.append((epoch, *train_metrics, test_acc))
        if not quiet:
            _print(history[-1])
    return [Epoch(*row[1:]) for row in history]


def _print(row):
    """Print an epoch's row, unless a notebook shows the plot instead."""
    if not in_notebook():
        tqdm.write('epoch {}: train loss {:.4f}, train acc {:.4f}, test acc '
                   '{:.4f}'.format(*row))


def predict_ch3(net, test_iter, n=6):
    """Show the first `n` images with their true and predicted labels (3.6).

    Returns the two lists of names.
    """
    X, y = next(iter(test_iter))
    trues = get_fashion_mnist_labels(y[:n])
    preds = get_fashion_mnist_labels(net(X).argmax(axis=1)[:n])
    titles = [true + '\n' + pred for true, pred in zip(trues, preds)]
    axes = show_images(X[:n].reshape(-1, 28, 28), 1, len(titles),
                       titles=titles)
    axes[0].annotate('true:\npredicted:', (-0.2, 1), (0, 6), 'axes fraction',
                     'offset points', ha='right', fontsize=10)
    return trues, preds
