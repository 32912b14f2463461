"""All that 4.1 to 4.6 train, one after the other: our code and the book's.

Each function returns what to time, and what waits for it to end. A run gives
the best test accuracy of 4.3.
"""
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from ..compare.control import PAIRS
from ..compare.reproduce import reproduce
from ..d2l import training
from .ours import cached_fashion_mnist

npx.set_np()


def ours():
    """Our modules, as `compare` runs them."""
    def run():
        numbers = {section: reproduce(section) for section in (
            'mlp', 'mlp_scratch', 'mlp_concise', 'underfit_overfit',
            'weight_decay', 'dropout')}
        return float(numbers['mlp_concise']['test_acc'].max())
    return run, npx.waitall


def book():
    """The book's loops over its own package, nothing plotted."""
    cached_fashion_mnist()

    def run():
        training.seed(0)
        _activations()
        accuracies = {pair: _train_ch3(*pair) for pair in PAIRS}
        _polynomials()
        _weight_decay()
        return max(accuracies['mlp_concise', 'concise'])
    return run, npx.waitall


def _activations():
    x = np.arange(-8.0, 8.0, 0.1)
    x.attach_grad()
    for f in (npx.relu, npx.sigmoid, np.tanh):
        with autograd.record():
            y = f(x)
        y.backward()
        y.asnumpy(), x.grad.asnumpy()


def _train_ch3(section, what):
    """Ten epochs of a network of 4.2, 4.3 or 4.6; the test accuracies."""
    from d2l import mxnet as d2l
    net, updater, _ = PAIRS[section, what][1]()
    train_iter, test_iter = d2l.load_data_fashion_mnist(256)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    accuracies = []
    for _ in range(10):
        d2l.train_epoch_ch3(net, train_iter, loss, updater)
        accuracies.append(float(d2l.evaluate_accuracy(net, test_iter)))
    return accuracies


def _polynomials():
    """4.4: three degrees; the data's values do not matter for the time."""
    from d2l import mxnet as d2l
    poly_features = np.random.uniform(-1, 1, (200, 20))
    labels = np.random.normal(size=200)
    loss = gluon.loss.L2Loss()
    for degree, num_epochs in ((4, 400), (2, 400), (20, 1500)):
        X = poly_features[:, :degree]
        train_iter = d2l.load_array((X[:100], labels[:100]), 10)
        test_iter = d2l.load_array((X[100:], labels[100:]), 10, False)
        net = nn.Sequential()
        net.add(nn.Dense(1, use_bias=False))
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), 'sgd',
                                {'learning_rate': 0.01})
        for epoch in range(1, num_epochs + 1):
            d2l.train_epoch_ch3(net, train_iter, loss, trainer)
            if epoch == 1 or epoch % 20 == 0:
                for data_iter in (train_iter, test_iter):
                    float(d2l.evaluate_loss(net, data_iter, loss))


def _weight_decay():
    """4.5: from scratch and concise, without and with the penalty."""
    from d2l import mxnet as d2l
    true_w, true_b = np.ones((200, 1)) * 0.01, 0.05
    train_iter, test_iter = (
        d2l.load_array(d2l.synthetic_data(true_w, true_b, n), 5, is_train)
        for n, is_train in ((20, True), (100, False)))
    for lambd in (0, 3):
        _fit(*_scratch(lambd), train_iter, test_iter)
        _fit(*_concise(lambd), train_iter, test_iter)


def _scratch(lambd):
    """The network, its loss, what it minimizes, and its updater."""
    from d2l import mxnet as d2l
    w, b = np.random.normal(scale=1, size=(200, 1)), np.zeros(1)
    for param in (w, b):
        param.attach_grad()
    return (lambda X: d2l.linreg(X, w, b), d2l.squared_loss,
            lambda y_hat, y: (d2l.squared_loss(y_hat, y)
                              + lambd * (w ** 2).sum() / 2),
            lambda n: d2l.sgd([w, b], 0.003, n))


def _concise(wd):
    net = nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=1))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.003, 'wd': wd})
    for param in net.collect_params('.*bias').values():
        param.wd_mult = 0
    loss = gluon.loss.L2Loss()
    return net, loss, loss, trainer.step


def _fit(net, loss, objective, update, train_iter, test_iter):
    from d2l import mxnet as d2l
    for epoch in range(1, 101):
        for X, y in train_iter:
            with autograd.record():
                l = objective(net(X), y)
            l.backward()
            update(len(X))
        if epoch % 5 == 0:
            for data_iter in (train_iter, test_iter):
                float(d2l.evaluate_loss(net, data_iter, loss))
