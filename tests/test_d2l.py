"""A reader's own cells run with one import changed, section by section.

Each listing uses the names of `d2l` as the book's listing of its section
does, and defines what the reader's cells define there.
"""

import numpy as onp
import pytest
from gluon_mlp import d2l
from gluon_mlp.sections import SECTIONS

IMPORTS = """
from gluon_mlp import d2l
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
npx.set_np()
"""
LISTINGS = {
    'mlp': """
x = np.arange(-8.0, 8.0, 0.1)
x.attach_grad()
with autograd.record():
    y = npx.relu(x)
y.backward()
d2l.plot(x, y, 'x', 'relu(x)', figsize=(5, 2.5))
d2l.plot(x, x.grad, 'x', 'grad of relu', figsize=(5, 2.5))
""",
    'mlp_scratch': """
batch_size, num_hiddens = 256, 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
W1 = np.random.normal(scale=0.01, size=(784, num_hiddens))
W2 = np.random.normal(scale=0.01, size=(num_hiddens, 10))
params = [W1, np.zeros(num_hiddens), W2, np.zeros(10)]
for param in params:
    param.attach_grad()
def net(X):
    H = np.maximum(np.dot(X.reshape((-1, 784)), W1) + params[1], 0)
    return np.dot(H, W2) + params[3]
loss, num_epochs, lr = gluon.loss.SoftmaxCrossEntropyLoss(), 2, 0.1
history = d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs,
                        lambda batch_size: d2l.sgd(params, lr, batch_size))
d2l.predict_ch3(net, test_iter)
""",
    'mlp_concise': """
net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'), nn.Dense(10))
net.initialize(init.Normal(sigma=0.01))
batch_size, lr, num_epochs = 256, 0.1, 2
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': lr})
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
history = d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)
""",
    'underfit_overfit': """
x = np.random.normal(size=(200, 1))
features = np.power(x, np.arange(3).reshape(1, -1))
labels = np.dot(features, np.array([5, 1.2, -1.7]))
def evaluate_loss(net, data_iter, loss):
    metric = d2l.Accumulator(2)
    for X, y in data_iter:
        l = loss(net(X), y)
        metric.add(l.sum(), l.size)
    return metric[0] / metric[1]
net, loss = nn.Sequential(), gluon.loss.L2Loss()
net.add(nn.Dense(1, use_bias=False))
net.initialize()
train_iter = d2l.load_array((features[:100], labels[:100]), 10)
test_iter = d2l.load_array((features[100:], labels[100:]), 10, is_train=False)
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
animator = d2l.Animator(xlabel='epoch', ylabel='loss', yscale='log',
                        xlim=[1, 3], ylim=[1e-3, 1e2],
                        legend=['train', 'test'])
history = []
for epoch in range(3):
    d2l.train_epoch_ch3(net, train_iter, loss, trainer)
    history.append((evaluate_loss(net, train_iter, loss),
                    evaluate_loss(net, test_iter, loss)))
    animator.add(epoch + 1, history[-1])
""",
    'weight_decay': """
true_w, true_b = np.ones((200, 1)) * 0.01, 0.05
train_iter = d2l.load_array(d2l.synthetic_data(true_w, true_b, 20), 5)
test_data = d2l.synthetic_data(true_w, true_b, 100)
test_iter = d2l.load_array(test_data, 5, is_train=False)
w, b = np.random.normal(scale=1, size=(200, 1)), np.zeros(1)
w.attach_grad()
b.attach_grad()
net, loss = lambda X: d2l.linreg(X, w, b), d2l.squared_loss
animator = d2l.Animator(xlabel='epochs', ylabel='loss', yscale='log',
                        xlim=[1, 4], legend=['train', 'test'])
history = []
for epoch in range(4):
    for X, y in train_iter:
        with autograd.record():
            l = loss(net(X), y) + 3 * (w ** 2).sum() / 2
        l.backward()
        d2l.sgd([w, b], 0.003, 5)
    history.append((d2l.evaluate_loss(net, train_iter, loss),
                    d2l.evaluate_loss(net, test_iter, loss)))
    animator.add(epoch + 1, history[-1])
""",
    'dropout': """
train_iter, test_iter = d2l.load_data_fashion_mnist(256)
net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'), nn.Dropout(0.2),
        nn.Dense(256, activation='relu'), nn.Dropout(0.5), nn.Dense(10))
net.initialize(init.Normal(sigma=0.01))
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
history = d2l.train_ch3(net, train_iter, test_iter, loss, 2, trainer)
""",
    'numerical_stability_and_init': """
x = np.arange(-8.0, 8.0, 0.1)
x.attach_grad()
with autograd.record():
    y = npx.sigmoid(x)
y.backward()
d2l.plot(x, [y, x.grad], legend=['sigmoid', 'gradient'], figsize=(4.5, 2.5))
""",
    'kaggle_house_price': """
features, labels = np.random.normal(size=(40, 3)), np.ones((40, 1))
net, loss = nn.Sequential(), gluon.loss.L2Loss()
net.add(nn.Dense(1))
net.initialize()
train_iter = d2l.load_array((features, labels), 16)
trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.1,
                                                       'wd': 0})
history = []
for epoch in range(3):
    for X, y in train_iter:
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(16)
    history.append((float(loss(net(features), labels).mean()),) * 2)
d2l.plot(list(range(1, 4)), list(zip(*history)), xlabel='epoch',
         ylabel='rmse', xlim=[1, 3], legend=['train', 'valid'], yscale='log')
""",
}


def test_every_section_with_a_listing_of_d2l_is_here():
    """4.7 and 4.9 of the book have no code."""
    assert [s.slug for s in SECTIONS if s.slug not in LISTINGS] == [
        'backprop', 'environment']


@pytest.mark.parametrize('slug', LISTINGS)
def test_a_listing_runs_and_learns(slug, real_data):
    """Its loss falls, or the curve it draws last is the derivative."""
    names = {'__name__': '__main__'}
    exec(compile(IMPORTS + LISTINGS[slug], slug, 'exec'), names)
    if 'history' in names:
        losses = [row[0] for row in names['history']]
        assert losses[-1] < losses[0]
    else:
        x, shown = names['x'].asnumpy(), d2l.plt.gca().lines[-1].get_ydata()
        sigmoid = 1 / (1 + onp.exp(-x))
        expected = {'mlp': x > 0, 'numerical_stability_and_init':
                    sigmoid * (1 - sigmoid)}[slug]
        assert onp.allclose(shown, expected, atol=1e-6)


@pytest.mark.parametrize('name, place', [
    ('resnet18', 'multiple-gpus-concise'), ('Timer', 'linear-regression'),
    ('try_gpu', 'use-gpu')])
def test_a_missing_name_says_where_the_book_has_it(name, place):
    with pytest.raises(AttributeError, match=f'no {name!r}.*{place}'):
        getattr(d2l, name)


def test_a_name_that_the_book_lacks_is_only_missing():
    with pytest.raises(AttributeError, match="has no 'sdg'$"):
        getattr(d2l, 'sdg')  # noqa: B009
