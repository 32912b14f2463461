"""What is timed of our code.

Each function returns what to time, and what waits for its end.
"""
import time

from mxnet import gluon, nd, np, npx

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
    net, updater, batch_size = draw_network(section, what, ctx)
    train_iter, _ = data.load_data_fashion_mnist(batch_size)
    # `train_ch3` evaluates batches of this size, too.
    _, test_iter = data.load_data_fashion_mnist(data.CHUNK)
    loss = compiled_loss()

    def run():
        with ctx:
            training.train_epoch_ch3(net, train_iter, loss, updater)
            return {'accuracy': training.evaluate_accuracy(net, test_iter)}
    return run, npx.waitall


def draw_network(section, what, ctx):
    """The network, its updater, and the section's batch size."""
    module, draw = NETWORKS[section, what]
    with ctx:
        training.seed(0)
        return *draw(module), module.batch_size


def compiled_loss():
    """The loss, compiled as `train_ch3` does it."""
    return lean.compiled(gluon.loss.SoftmaxCrossEntropyLoss())


def products(shapes, num_repeats):
    """Products of matrices (m, k) and (k, n), each `num_repeats` times.

    `shapes` has m, k, n for each name, and whether the first matrix is
    transposed. Gives the seconds of one product by name.
    """
    pairs = {name: (np.random.normal(size=(k, m) if transposed else (m, k)),
                    np.random.normal(size=(k, n)), transposed)
             for name, (m, k, n, transposed) in shapes.items()}

    def run():
        return {'parts': {name: _product_seconds(*pair, num_repeats)
                          for name, pair in pairs.items()}}
    return run, npx.waitall


def _product_seconds(A, B, transposed, num_repeats):
    A, B = A.as_nd_ndarray(), B.as_nd_ndarray()
    out = nd.dot(A, B, transpose_a=transposed)
    npx.waitall()
    start = time.perf_counter()
    for _ in range(num_repeats):
        nd.dot(A, B, out=out, transpose_a=transposed)
    npx.waitall()
    return (time.perf_counter() - start) / num_repeats
