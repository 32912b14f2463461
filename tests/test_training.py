"""The training loop, against NumPy and against the book's own loop."""
import subprocess
import sys
from io import StringIO
from types import SimpleNamespace

import IPython
import IPython.display
import numpy as onp
import pytest
from d2l import mxnet as d2l
from gluon_mlp.d2l.data import load_array
from gluon_mlp.d2l.training import (
    Accumulator,
    Epoch,
    Updater,
    accuracy,
    evaluate_accuracy,
    evaluate_loss,
    linreg,
    seed,
    sgd,
    squared_loss,
    train_ch3,
    train_epoch_ch3,
)
from gluon_mlp.errors import NonFiniteLossError
from matplotlib import pyplot as plt
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn

EPS = 2 ** -24  # the relative error of one rounding to float32
RNG = onp.random.default_rng(0)
loss = gluon.loss.SoftmaxCrossEntropyLoss()


@pytest.fixture
def data():
    """70 points of three classes so far apart that the book's asserts hold.

    With batches of 16 the last one has 6 examples.
    """
    rng = onp.random.default_rng(0)
    y = rng.integers(0, 3, 70)
    X = 3 * onp.eye(4)[y] + rng.normal(0, 0.5, (70, 4))
    return np.array(X, dtype='float32'), np.array(y, dtype='int32')


def our_iter(data):
    return load_array(data, 16)


def book_iter(data):
    return gluon.data.DataLoader(gluon.data.ArrayDataset(*data), 16,
                                 shuffle=True)


def new_net():
    net = nn.Sequential()
    net.add(nn.Dense(8, activation='relu'), nn.Dense(3))
    net.initialize(init.Normal(sigma=0.1))
    return net


def by_trainer(net):
    return gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})


def by_function(net):
    params = net.collect_params().values()
    return lambda batch_size: sgd([p.data() for p in params], 0.5, batch_size)


def weights(net):
    return [p.data().asnumpy() for p in net.collect_params().values()]


@pytest.fixture
def book_history(monkeypatch):
    """The book's `train_ch3`, returning what it plots: an epoch a row."""
    animators = []

    class Kept(d2l.Animator):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            animators.append(self)

    monkeypatch.setattr(d2l, 'Animator', Kept)

    def train(*args):
        assert d2l.train_ch3(*args) is None
        return onp.transpose(animators[-1].Y)
    return train


def test_linreg_and_squared_loss_are_numpys():
    """Values in float64; `y` may have another shape than `y_hat`."""
    X, w, b, y = (RNG.normal(size=n) for n in ((6, 3), (3, 1), 1, 6))
    y_hat = linreg(*(np.array(a, dtype='float64') for a in (X, w, b)))
    onp.testing.assert_allclose(y_hat.asnumpy(), X @ w + b, rtol=1e-14)
    l = squared_loss(y_hat, np.array(y, dtype='float64'))
    onp.testing.assert_allclose(
        l.asnumpy(), (X @ w + b - y[:, None]) ** 2 / 2, rtol=1e-14)


def test_sgd_steps_against_the_mean_gradient():
    """The gradient is a sum over the batch; parameters change in place."""
    w = np.array([1.0, -2.0])
    w.attach_grad()
    with autograd.record():
        l = 3 * (w ** 2).sum()
    l.backward()
    alias = w
    sgd([w], 0.5, 4)
    once = [1 - 0.5 * 6 / 4, -2 + 0.5 * 12 / 4]
    assert alias.tolist() == once
    updater = Updater([w], 0.25)  # the same, with its parameters by name
    updater(2)
    assert alias.tolist() == [once[0] - 0.25 * 6 / 2, once[1] + 0.25 * 12 / 2]
    assert updater.params[0] is w


def test_accuracy_counts_the_largest_outputs():
    """Of a matrix the columns of the maxima, of a vector the classes."""
    y_hat = np.array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5], [0.9, 0.1, 0.0]])
    y = np.array([0, 2, 0], dtype='int32')
    assert float(accuracy(y_hat, y)) == 2 == d2l.accuracy(y_hat, y)
    assert float(accuracy(np.array([0.0, 2.0, 1.0]), y)) == 2


def test_evaluation_weighs_examples_not_batches(data):
    """Accuracy and loss are NumPy's over all 70, the last batch being 6."""
    seed(0)
    X, y = data[0], data[1].asnumpy()
    net = new_net()
    o = net(X).asnumpy().astype(float)
    for data_iter in (our_iter(data), list(our_iter(data))):
        assert evaluate_accuracy(net, data_iter) == (
            (o.argmax(axis=1) == y).mean())

    def first_output_loss(y_hat, y):
        return squared_loss(y_hat[:, 0], y)

    l = evaluate_loss(net, our_iter(data), first_output_loss)
    # Positive terms, three roundings each, summed in batches of 16.
    assert l == pytest.approx(((o[:, 0] - y) ** 2 / 2).mean(), rel=19 * EPS)
    assert l == pytest.approx(
        d2l.evaluate_loss(net, our_iter(data), first_output_loss),
        rel=2 * 15 * EPS)  # of other batches


def test_evaluation_takes_the_batches_it_is_given():
    """Which matters where the examples of a batch are seen together."""
    X, y = np.array([[0.0, 1], [0, 3], [0, 4], [0, 6]]), np.array([0, 1] * 2)

    def compare_with_the_batch(X):
        return X - X.mean(axis=0)

    for batch_size, correct in ((1, 0.5), (2, 1), (4, 0.5)):
        assert evaluate_accuracy(compare_with_the_batch, load_array(
            (X, y), batch_size, is_train=False)) == correct


def test_accumulator_sums_numbers_and_arrays():
    """As the book's; reading a sum does not change it, `reset` does."""
    ours, book = Accumulator(2), d2l.Accumulator(2)
    for metric in (ours, book):
        metric.add(1, np.array(2.5))
        metric.add(np.array(3), 4)
    for _ in range(2):
        assert [ours[0], ours[1]] == [book[0], book[1]] == [4, 6.5]
    ours.add(1, 1)
    assert [ours[0], ours[1]] == [5, 7.5]
    ours.reset()
    assert [ours[0], ours[1]] == [0, 0]


def test_our_batches_are_those_of_the_book_s_dataloader(data):
    """The same seed gives the same order, in every pass."""
    passes = []
    for make_iter in (our_iter, book_iter):
        seed(3)
        data_iter = make_iter(data)
        passes.append([[(X.asnumpy(), y.asnumpy()) for X, y in data_iter]
                       for _ in range(2)])
    for ours, book in zip(*passes):
        assert [len(y) for _, y in ours] == [16, 16, 16, 16, 6]
        for (X, y), (book_X, book_y) in zip(ours, book):
            assert onp.array_equal(X, book_X)
            assert onp.array_equal(y, book_y)
            assert (X.dtype, y.dtype) == (book_X.dtype, book_y.dtype)
    assert not onp.array_equal(passes[0][0][0][0], passes[0][1][0][0])


@pytest.mark.parametrize('by', [by_trainer, by_function])
@pytest.mark.parametrize('make_iter', [our_iter, book_iter])
def test_our_loop_trains_as_the_book_s(data, book_history, make_iter, by):
    """Equal histories and weights, with either loop's data iterator."""
    seed(0)
    book_net, test_iter = new_net(), make_iter(data)
    book = book_history(book_net, our_iter(data), test_iter, loss, 4,
                        by(book_net))
    seed(0)
    net = new_net()
    history = train_ch3(net, make_iter(data), our_iter(data), loss, 4,
                        by(net))
    # 20 steps, each rounding weights and outputs of size 1 a few times.
    tol = {'rtol': 0, 'atol': 20 * 4 * EPS}
    onp.testing.assert_allclose(history, book, **tol)
    for param, book_param in zip(weights(net), weights(book_net)):
        onp.testing.assert_allclose(param, book_param, **tol)


@pytest.mark.parametrize('by', [by_trainer, by_function])
def test_our_epoch_is_the_book_s(data, by):
    """The same mean loss and accuracy, the same weights after it."""
    results = []
    for train_epoch in (train_epoch_ch3, d2l.train_epoch_ch3):
        seed(0)
        net = new_net()
        metrics = train_epoch(net, our_iter(data), loss, by(net))
        results.append((metrics, weights(net)))
    (ours, params), (book, book_params) = results
    onp.testing.assert_allclose(ours, book, rtol=0, atol=5 * 4 * EPS)
    for param, book_param in zip(params, book_params):
        onp.testing.assert_allclose(param, book_param, rtol=0,
                                    atol=5 * 4 * EPS)


def test_a_poor_result_is_no_error(data, book_history):
    """The book's loop asserts where nothing is learned; ours returns."""
    net = new_net()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.0})
    with pytest.raises(AssertionError):
        book_history(net, our_iter(data), our_iter(data), loss, 1, trainer)
    history = train_ch3(net, our_iter(data), our_iter(data), loss, 1,
                        trainer)
    assert 1 < history[0].train_loss < 1.2  # about log 3


def test_the_history_is_an_epoch_a_row(data):
    """Named means, which are also the curves of the plot."""
    net = new_net()
    history = train_ch3(net, our_iter(data), our_iter(data), loss, 3,
                        by_trainer(net))
    assert [type(epoch) for epoch in history] == [Epoch] * 3
    assert Epoch._fields == ('train_loss', 'train_acc', 'test_acc')
    curves = [line.get_ydata() for line in plt.gca().lines]
    assert onp.transpose(curves).tolist() == [list(row) for row in history]


PROGRAM = """
import hashlib
from gluon_mlp.d2l.data import load_array
from gluon_mlp.dropout import get_net
from gluon_mlp.d2l.training import seed, train_ch3
from mxnet import gluon, init
import numpy as onp

def fingerprint(number):
    rng = onp.random.default_rng(0)
    data = (rng.random((300, 784), 'float32'),
            rng.integers(0, 10, 300, 'int32'))
    seed(number)
    net = get_net(0.2, 0.5)
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.5})
    train_iter = load_array(data, 64)
    history = train_ch3(net, train_iter, train_iter,
                        gluon.loss.SoftmaxCrossEntropyLoss(), 3, trainer)
    digest = hashlib.sha256(repr(history).encode())
    for param in net.collect_params().values():
        digest.update(param.data().asnumpy().tobytes())
    return digest.hexdigest()

print(*[fingerprint(number) for number in (0, 0, 1)])
"""


def test_a_seed_repeats_a_run_bitwise(capsys):
    """Weights, shuffle and dropout: in a process, and in a fresh one."""
    fresh = subprocess.run([sys.executable, '-c', PROGRAM], check=True,
                           capture_output=True, text=True).stdout
    first, again, other = fresh.splitlines()[-1].split()
    assert first == again
    assert first != other
    exec(PROGRAM, {})
    assert capsys.readouterr().out == fresh


def test_the_seed_restarts_mxnet_and_numpy():
    """Both streams, which draw weights and the shuffle."""
    seed(5)
    first = np.random.normal(size=3).tolist(), onp.random.rand(3).tolist()
    seed(5)
    assert first == (np.random.normal(size=3).tolist(),
                     onp.random.rand(3).tolist())


def test_divergence_is_named(data):
    """With learning rate 1e6 the loss is soon no number: the error says."""
    net = new_net()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 1e6})
    with pytest.raises(NonFiniteLossError, match=(
            r'the training loss is (nan|inf) in epoch \d+: '
            'try a lower learning rate')):
        train_ch3(net, our_iter(data), our_iter(data), squared_sum, 5,
                  trainer)


def squared_sum(y_hat, y):
    """A loss without softmax's upper bound on the gradient."""
    return squared_loss(y_hat.sum(axis=1), y.astype('float32'))


def test_a_log_file_gets_one_line_an_epoch(data, capfd):
    """No bar, no escape codes, no figure's name where there's no terminal."""
    seed(0)
    net = new_net()
    history = train_ch3(net, our_iter(data), our_iter(data), loss, 2,
                        by_trainer(net))
    out, err = capfd.readouterr()
    assert err == ''
    assert out == ''.join(
        f'epoch {i}: train loss {l:.4f}, train acc {train_acc:.4f}, '
        f'test acc {test_acc:.4f}\n'
        for i, (l, train_acc, test_acc) in enumerate(history, 1))


def test_quiet_is_quiet(data, capfd):
    """Nothing is printed and no figure made; the history is the same."""
    histories = []
    for quiet in (False, True):
        capfd.readouterr()
        plt.close('all')
        seed(0)
        net = new_net()
        histories.append(train_ch3(net, our_iter(data), our_iter(data), loss,
                                   2, by_trainer(net), quiet=quiet))
    assert histories[0] == histories[1]
    assert capfd.readouterr() == ('', '') and plt.get_fignums() == []


def test_a_terminal_gets_a_progress_bar(data, monkeypatch, capsys):
    """It counts the epochs, two of them."""
    stderr = StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, 'stderr', stderr)
    net = new_net()
    train_ch3(net, our_iter(data), our_iter(data), loss, 2, by_trainer(net))
    assert '0/2' in stderr.getvalue()
    assert capsys.readouterr().out.count('epoch ') == 2


def test_a_notebook_gets_the_live_plot(data, monkeypatch, capsys):
    """The figure is shown once, and anew after each epoch; no line is."""
    shown = []

    def show(figure, **kwargs):
        shown.append([line.get_ydata() for line in figure.axes[0].lines])
        return SimpleNamespace(update=show)

    monkeypatch.setattr(IPython, 'get_ipython',
                        lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, 'display', show)
    net = new_net()
    history = train_ch3(net, our_iter(data), our_iter(data), loss, 2,
                        by_trainer(net))
    assert [onp.transpose(plot).tolist() for plot in shown] == [
        [list(epoch) for epoch in history[:n]] for n in (1, 2)]
    assert capsys.readouterr().out == ''
