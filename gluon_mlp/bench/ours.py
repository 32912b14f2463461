"""What is timed of our code.

Each function returns what to time, and what waits for its end.
"""
import time
from collections import defaultdict
from itertools import islice

from mxnet import gluon, init, nd, np, npx

from .. import mlp_concise
from ..compare.reproduce import NETWORKS, reproduce
from ..d2l import data, training
from ..machine import lean
from ..run.device import get_device

npx.set_np()


def chapter(sections):
    """All that the sections train; gives the best test accuracy of 4.3."""
    def run():
        numbers = {section: reproduce(section) for section in sections}
        return {'accuracy': float(numbers['mlp_concise']['test_acc'].max())}
    return run, npx.waitall


def epoch(section, what, device='cpu'):
    """Our epoch, training and evaluation; gives the test accuracy."""
    ctx = get_device(device)
    net, updater, batch_size = _network(section, what, ctx)
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    # `train_ch3` evaluates batches of this size, too.
    _, test_iter = data.load_data_fashion_mnist(data.CHUNK)
    loss = _loss()

    def run():
        with ctx:
            training.train_epoch_ch3(net, train_iter, loss, updater)
            return {'accuracy': training.evaluate_accuracy(net, test_iter)}
    return run, npx.waitall


def _network(section, what, ctx):
    """The network, its updater, and the section's batch size."""
    module, draw = NETWORKS[section, what]
    with ctx:
        training.seed(0)
        return *draw(), module.batch_size


def _loss(hybridize=True):
    """The loss, compiled as `train_ch3` does it."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return lean.compiled(loss) if hybridize else loss


def step(section, what, num_batches, device='cpu'):
    """Our loop over `num_batches` batches, which exist before it starts."""
    ctx = get_device(device)
    net, updater, batch_size = _network(section, what, ctx)
    return _steps(net, _batches(batch_size, num_batches, ctx), _loss(),
                  updater, ctx)


def sized_step(batch_size, num_hiddens, num_batches, device='cpu',
               hybridize=True):
    """Our loop on the network of 4.3 with other sizes."""
    ctx = get_device(device)
    with ctx:
        training.seed(0)
        net = mlp_concise.get_net(num_hiddens)
        net.initialize(init.Normal(sigma=0.01))
        net.hybridize(hybridize, static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(net.collect_params(), 'sgd',
                                {'learning_rate': mlp_concise.lr})
    return _steps(net, _batches(batch_size, num_batches, ctx),
                  _loss(hybridize), trainer, ctx)


def _steps(net, batches, loss, updater, ctx):
    def run():
        with ctx:
            training.train_epoch_ch3(net, batches, loss, updater)
        return {}
    return run, npx.waitall


def _batches(batch_size, num_batches, ctx):
    """The first batches of training images, each in its own memory."""
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    with ctx:
        return [(X.copy(), y.copy())
                for X, y in islice(train_iter, num_batches)]


def products(shapes, num_repeats, device='cpu'):
    """Products of matrices (m, k) and (k, n), each `num_repeats` times.

    `shapes` has m, k, n for each name, and whether the first matrix is
    transposed, and the second. Gives the seconds of one product by name.
    """
    ctx = get_device(device)
    pairs = {}
    with ctx:
        for name, (m, k, n, ta, tb) in shapes.items():
            pairs[name] = (np.random.normal(size=(k, m) if ta else (m, k)),
                           np.random.normal(size=(n, k) if tb else (k, n)),
                           {'transpose_a': ta, 'transpose_b': tb})

    def run():
        return {'parts': {name: _product_seconds(*pair, num_repeats)
                          for name, pair in pairs.items()}}
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
    """The parts of a step: the seconds of each, by its name.

    Each part is waited for, so their sum is larger than a step of the loop.
    """
    ctx = get_device(device)
    net, updater, batch_size = _network(section, what, ctx)
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    loss, step = _loss(), getattr(updater, 'step', updater)

    def run():
        with ctx:
            return {'parts': _parts(net, loss, step, train_iter, num_batches)}
    return run, npx.waitall


def _parts(net, loss, step, train_iter, num_batches):
    """An epoch of `num_batches`, with a look at the clock between parts."""
    seconds, lap = _clock()

    def batches():
        for batch in islice(train_iter, num_batches):
            lap('data')
            yield batch

    def timed_loss(y_hat, y):
        l = loss(y_hat, y)
        lap('forward')
        return l

    def timed_step(batch_size):
        lap('backward')
        step(batch_size)
        lap('update')

    training.train_epoch_ch3(net, batches(), timed_loss, timed_step)
    lap('metrics')
    return {name: total / num_batches for name, total in seconds.items()}


def _clock():
    """Seconds by name, and what adds those since its last call to a name."""
    seconds, start = defaultdict(float), time.perf_counter()

    def lap(name):
        nonlocal start
        npx.waitall()
        now = time.perf_counter()
        seconds[name] += now - start
        start = now
    return seconds, lap
