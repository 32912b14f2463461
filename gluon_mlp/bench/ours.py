"""What is timed in MXNet: our loop, the book's, and parts of them.

Each function returns what to time, and what waits for it to end.
"""
import time
from itertools import islice

from mxnet import autograd, gluon, init, nd, np, npx
from mxnet.gluon import nn

from ..compare.control import PAIRS
from ..d2l import data, fashion_mnist, training
from ..run.device import get_device

npx.set_np()


def epoch(section, what, device='cpu', batch_size=256):
    """Our epoch: training and evaluation; gives the test accuracy."""
    ctx = get_device(device)
    with ctx:
        training.seed(0)
        net, updater, _ = PAIRS[section, what][0]()
    train_iter, test_iter = data.load_data_fashion_mnist(batch_size)
    test_iter = test_iter.in_chunks()  # as `train_ch3` does it
    loss = _loss()

    def run():
        with ctx:
            training.train_epoch_ch3(net, train_iter, loss, updater)
            return float(training.evaluate_accuracy(net, test_iter))
    return run, npx.waitall


def _loss(hybridize=True):
    """The loss, compiled as `train_ch3` does it."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(hybridize)
    return loss


def book_epoch(section, what, batch_size=256):
    """The book's epoch: its loop, its `DataLoader` as published."""
    from d2l import mxnet as d2l
    cached_fashion_mnist()
    training.seed(0)
    net, updater, _ = PAIRS[section, what][1]()
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def run():
        d2l.train_epoch_ch3(net, train_iter, loss, updater)
        return float(d2l.evaluate_accuracy(net, test_iter))
    return run, npx.waitall


def cached_fashion_mnist():
    """Have the book's code read the files that ours does."""
    gluon.data.vision.FashionMNIST = _CachedFashionMNIST


class _CachedFashionMNIST(gluon.data.vision.FashionMNIST):
    """MXNet's data set, of whichever edition the cache holds."""

    def _get_data(self):
        found = fashion_mnist.load()
        images, labels = ((found.train_images, found.train_labels)
                          if self._train else
                          (found.test_images, found.test_labels))
        self._data = np.array(images.reshape(-1, 28, 28, 1), dtype='uint8')
        self._label = labels


def step(section, what, num_batches, device='cpu'):
    """Our loop over `num_batches` batches of 256, made before."""
    ctx = get_device(device)
    with ctx:
        training.seed(0)
        net, updater, _ = PAIRS[section, what][0]()
        batches = _batches(256, num_batches)
    return _steps(net, batches, _loss(), updater, ctx)


def sized_step(batch_size, num_hiddens, num_batches, hybridize,
               device='cpu'):
    """Our loop on the network of 4.3 with other sizes."""
    ctx = get_device(device)
    with ctx:
        training.seed(0)
        net = nn.HybridSequential()
        net.add(nn.Dense(num_hiddens, activation='relu'), nn.Dense(10))
        net.initialize(init.Normal(sigma=0.01))
        net.hybridize(hybridize, static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(net.collect_params(), 'sgd',
                                {'learning_rate': 0.1})
        batches = _batches(batch_size, num_batches)
    return _steps(net, batches, _loss(hybridize), trainer, ctx)


def _steps(net, batches, loss, updater, ctx):
    def run():
        with ctx:
            training.train_epoch_ch3(net, batches, loss, updater)
    return run, npx.waitall


def _batches(batch_size, num_batches):
    """`num_batches` batches of training images, each in its own memory."""
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    return [(X.copy(), y.copy()) for X, y in islice(train_iter, num_batches)]


def products(shapes, num_repeats, device='cpu'):
    """Products of matrices (m, k) and (k, n), each `num_repeats` times.

    Gives the seconds of one by its name in `shapes`, whose values are m, k,
    n, and whether the first matrix is transposed, and the second.
    """
    ctx = get_device(device)
    pairs = {}
    with ctx:
        for name, (m, k, n, ta, tb) in shapes.items():
            pairs[name] = (np.random.normal(size=(k, m) if ta else (m, k)),
                           np.random.normal(size=(n, k) if tb else (k, n)),
                           {'transpose_a': ta, 'transpose_b': tb})

    def run():
        return {name: _product_seconds(*pair, num_repeats)
                for name, pair in pairs.items()}
    return run, npx.waitall


def _product_seconds(A, B, transposed, num_repeats):
    A, B = A.as_nd_ndarray(), B.as_nd_ndarray()
    out = nd.dot(A, B, **transposed)
    npx.waitall()
    start = time.perf_counter()
    for _ in range(num_repeats):
        nd.dot(A, B, out=out, **transposed)
    npx.waitall()
    return (time.perf_counter() - start) / num_repeats


def parts(section, what, num_batches, device='cpu'):
    """The parts of a step, each waited for: its seconds by its name.

    So much waiting makes the sum larger than a step of the loop.
    """
    ctx = get_device(device)
    with ctx:
        training.seed(0)
        net, updater, _ = PAIRS[section, what][0]()
    if isinstance(updater, gluon.Trainer):
        updater = updater.step
    train_iter, _ = data.load_data_fashion_mnist(256)
    loss = _loss()

    def run():
        with ctx:
            return _parts(net, loss, updater, train_iter, num_batches)
    return run, npx.waitall


def _parts(net, loss, updater, train_iter, num_batches):
    seconds = dict.fromkeys(
        ['data', 'forward', 'backward', 'update', 'metrics'], 0)
    start = time.perf_counter()

    def lap(name):
        nonlocal start
        npx.waitall()
        now = time.perf_counter()
        seconds[name] += (now - start) / num_batches
        start = now

    outputs = []
    for X, y in islice(train_iter, num_batches):
        lap('data')
        with autograd.record():
            y_hat = net(X)
            l = loss(y_hat, y)
        lap('forward')
        l.backward()
        lap('backward')
        updater(X.shape[0])
        lap('update')
        outputs.append((l, y_hat, y))
    l, y_hat, y = (np.concatenate(arrays) for arrays in zip(*outputs))
    l.asnumpy().sum(dtype='float64')
    float(training.accuracy(y_hat, y))
    lap('metrics')
    return seconds
