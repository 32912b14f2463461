"""4.6 Dropout, from scratch and concise, and what it does to a network."""
import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
from tqdm import tqdm

from . import experiment
from .d2l.data import load_array
from .d2l.plotting import Curve, plt
from .d2l.training import evaluate_accuracy, train_epoch_ch3

npx.set_np()

num_inputs, num_outputs, num_hiddens1, num_hiddens2 = 784, 10, 256, 256
dropout1, dropout2 = 0.2, 0.5
num_epochs, lr, batch_size = 10, 0.5, 256


def dropout_layer(X, dropout):
    """Zero each element of `X` with probability `dropout` (4.6.4).

    The other elements are divided by 1 - dropout, which keeps the expectation
    of each. For 0 and 1 nothing is drawn. Raises `ValueError` outside [0, 1].
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f'dropout is {dropout}, not a number from 0 to 1')
    if dropout == 0:
        return X
    if dropout == 1:
        return np.zeros_like(X)
    draw = experiment.current.workers.draw
    mask = draw(np.random.uniform, X.shape, ctx=X.ctx) > dropout
    return mask.astype(X.dtype) * X / (1 - dropout)


def init_params(num_hiddens1=num_hiddens1, num_hiddens2=num_hiddens2):
    """Draw W1, b1, W2, b2, W3, b3: weights of scale 0.01, zero biases.

    The shapes are (784, h1), (h1,), (h1, h2), (h2,), (h2, 10) and (10,), all
    float32. Each array has a gradient attached (4.6.4).
    """
    W1 = np.random.normal(scale=0.01, size=(num_inputs, num_hiddens1))
    b1 = np.zeros(num_hiddens1)
    W2 = np.random.normal(scale=0.01, size=(num_hiddens1, num_hiddens2))
    b2 = np.zeros(num_hiddens2)
    W3 = np.random.normal(scale=0.01, size=(num_hiddens2, num_outputs))
    b3 = np.zeros(num_outputs)
    params = [W1, b1, W2, b2, W3, b3]
    for param in params:
        param.attach_grad()
    return params


def net(X, params, dropout1=dropout1, dropout2=dropout2):
    """The outputs (n, 10) for images `X`; drops in training only (4.6.4)."""
    W1, b1, W2, b2, W3, b3 = params
    X = X.reshape(-1, num_inputs)
    H1 = npx.relu(np.dot(X, W1) + b1)
    if autograd.is_training():
        H1 = dropout_layer(H1, dropout1)
    H2 = npx.relu(np.dot(H1, W2) + b2)
    if autograd.is_training():
        H2 = dropout_layer(H2, dropout2)
    return np.dot(H2, W3) + b3


def get_net(dropout1=dropout1, dropout2=dropout2, num_hiddens1=num_hiddens1,
            num_hiddens2=num_hiddens2):
    """The same network in Gluon's layers, not initialized (4.6.5).

    Raises `ValueError` for a probability outside [0, 1), because MXNet's
    `nn.Dropout(1)` gives NaN.
    """
    for dropout in (dropout1, dropout2):
        if not 0 <= dropout < 1:
            raise ValueError(f'dropout is {dropout}, not from 0 to below 1')
    net = nn.HybridSequential()
    net.add(nn.Dense(num_hiddens1, activation='relu'),
            nn.Dropout(dropout1),
            nn.Dense(num_hiddens2, activation='relu'),
            nn.Dropout(dropout2),
            nn.Dense(10))
    # Compile the network at the first batch: the mathematics is the same.
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def predict_with_dropout(net, X, num_samples):
    """Predict `X` under `num_samples` random masks (4.6.3).

    Returns the mean class probabilities (n, classes) and the agreement (n,).
    The agreement is the share of the masks that predict the same class as
    the mean does. No gradient is recorded.
    """
    with autograd.train_mode():
        probs = np.stack([npx.softmax(net(X)) for _ in range(num_samples)])
    mean = probs.mean(axis=0)
    votes = probs.argmax(axis=2) == mean.argmax(axis=1)
    return mean, votes.sum(axis=0) / num_samples


def evaluate_certainty(net, data_iter, num_samples):
    """Apply `predict_with_dropout` to all examples of `data_iter` (4.6.3).

    Returns two NumPy arrays (n,) in the iterator's order: the agreement for
    each example, and whether its predicted class is right.
    """
    agreements, corrects = [], []
    for X, y in tqdm(data_iter, 'batches', leave=False, disable=None):
        mean, agreement = predict_with_dropout(net, X, num_samples)
        agreements.append(agreement.asnumpy())
        corrects.append(mean.asnumpy().argmax(axis=1) == y.asnumpy())
    return onp.concatenate(agreements), onp.concatenate(corrects)


def plot_certainty(agreement, correct):
    """Plot the accuracy of the examples by their agreement (n,), in bars.

    Each bar is labelled with its number of images; empty ranges have no bar.
    """
    edges = onp.float32([0.5, 0.6, 0.7, 0.8, 0.9, 1])
    names = ['<50', '50-59', '60-69', '70-79', '80-89', '90-99', '100']
    groups = [correct[onp.digitize(agreement, edges) == i]
              for i in range(len(names))]
    _, axes = plt.subplots(figsize=(5.5, 3))
    bars = axes.bar(names, [group.sum() / max(len(group), 1)
                            for group in groups])
    axes.bar_label(bars, [len(group) or '' for group in groups], fontsize=8)
    axes.set(xlabel='masks that agree, %', ylabel='test acc', ylim=(0, 1.08))
    axes.set_title('On each bar: its number of test images', fontsize=10)
    return axes


def fit(images, labels, dropout1=0.0, dropout2=0.0, num_epochs=100,
        batch_size=128, optimizer='adam', lr=1e-3):
    """Train the network of `get_net` and return it.

    `images` (n, 1, 28, 28) and `labels` (n,) are NumPy arrays. Adam needs
    few epochs to memorize them. Raises `NonFiniteLossError`.
    """
    net = get_net(dropout1, dropout2)
    net.initialize(init.Xavier())
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), optimizer,
                            {'learning_rate': lr})
    train_iter, history = load_array((images, labels), batch_size), Curve()
    for epoch in experiment.progress(num_epochs):
        history.append((epoch, *train_epoch_ch3(net, train_iter, loss,
                                                trainer)))
    return net


def memorize(data, num_examples=1000, num_epochs=120):
    """Train by SGD on real images with random labels (4.6.1).

    `data` comes from `fashion_mnist.load`. Returns the accuracy on the random
    labels and the accuracy on the test images: a network can memorize what
    does not generalize at all (Zhang et al., 2017).
    """
    images = data.train_images[:num_examples]
    labels = onp.random.randint(10, size=len(images)).astype('int32')
    net = fit(images, labels, 0, 0, num_epochs, 16, 'sgd', 0.1)
    return [evaluate_accuracy(net, load_array(arrays, 1000, is_train=False))
            for arrays in ((images, labels),
                           (data.test_images, data.test_labels))]


def expectation(h, dropout, num_samples=10000):
    """The mean of `dropout_layer` of h (d,) over random masks (4.6.2).

    Returns two NumPy arrays (d,): the means and their standard errors. The
    means are within a few standard errors of `h`.
    """
    H = dropout_layer(np.tile(h, (num_samples, 1)), dropout).asnumpy()
    return H.mean(axis=0), H.std(axis=0) / num_samples ** 0.5


def silence(net, X, share):
    """The outputs of `net` with a random `share` of its units off (4.6.2).

    `net` comes from `get_net`, and nothing else is dropped. The units that
    are left count for more, as in training. With co-adapted units, each of
    which needs certain others, the accuracy suffers most.
    """
    for block in net:
        X = block(X)
        if isinstance(block, nn.Dropout):
            X = dropout_layer(X, share)
    return X


def add_noise(net, X, scale):
    """The outputs of `net` for `X` with noise on each pixel (4.6.2)."""
    draw = experiment.current.workers.draw
    return net(X + draw(np.random.normal, X.shape, scale=scale, ctx=X.ctx))


def accuracies(change, net, amounts, data_iter):
    """The accuracy of `change(net, X, amount)` for each amount (4.6.2).

    `change` is `silence` or `add_noise`.
    """
    return [evaluate_accuracy(lambda X, a=amount: change(net, X, a),
                              data_iter) for amount in amounts]


def unit_gradients(mask):
    """How large the gradients of hidden units' weights are (4.6.3).

    The `mask` (h,) multiplies the hidden units between 4 inputs and 3
    outputs, as in figure 4.6.1. All weights are positive, so that each unit
    is active. Returns the norms (h,) of the gradients of the weights into
    each unit, and of those out of it.
    """
    W1, W2 = params = [abs(np.random.normal(size=shape)) for shape in
                       ((4, mask.size), (mask.size, 3))]
    for W in params:
        W.attach_grad()
    with autograd.record():
        H = npx.relu(np.dot(np.ones((1, 4)), W1)) * mask
        l = -npx.log_softmax(np.dot(H, W2))[0, 0]
    l.backward()
    return (np.linalg.norm(W1.grad, axis=0), np.linalg.norm(W2.grad, axis=1))
