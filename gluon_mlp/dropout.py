"""4.6 Dropout, from scratch and concise; left on, to measure certainty."""
import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from .d2l.data import load_array
from .d2l.plot import plt
from .d2l.training import check_finite, evaluate_accuracy, train_epoch_ch3

npx.set_np()

num_inputs, num_outputs, num_hiddens1, num_hiddens2 = 784, 10, 256, 256


def dropout_layer(X, dropout):
    """Zero each element of `X` with probability `dropout` (4.6.4).

    The others are divided by 1 - dropout, which keeps the expectation.
    Draws nothing for 0 and 1. Raises `ValueError` outside [0, 1].
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f'dropout is {dropout}, not a number from 0 to 1')
    if dropout == 0:
        return X
    if dropout == 1:
        return np.zeros_like(X)
    mask = np.random.uniform(0, 1, X.shape, ctx=X.ctx) > dropout
    return mask.astype(X.dtype) * X / (1 - dropout)


def init_params():
    """Draw W1, b1, W2, b2, W3, b3: weights of scale 0.01, zero biases.

    Float32, (784, 256), (256,), (256, 256), (256,), (256, 10), (10,), with
    gradients attached (4.6.4).
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


def net(X, params, dropout1=0.2, dropout2=0.5):
    """The outputs (n, 10) for images `X`; drops only in training (4.6.4)."""
    W1, b1, W2, b2, W3, b3 = params
    X = X.reshape(-1, num_inputs)
    H1 = npx.relu(np.dot(X, W1) + b1)
    if autograd.is_training():
        H1 = dropout_layer(H1, dropout1)
    H2 = npx.relu(np.dot(H1, W2) + b2)
    if autograd.is_training():
        H2 = dropout_layer(H2, dropout2)
    return np.dot(H2, W3) + b3


def get_net(dropout1=0.2, dropout2=0.5):
    """The same network of Gluon's layers, not initialized (4.6.5).

    Raises `ValueError` outside [0, 1): MXNet's `nn.Dropout(1)` gives NaN.
    """
    for dropout in (dropout1, dropout2):
        if not 0 <= dropout < 1:
            raise ValueError(f'dropout is {dropout}, not from 0 to below 1')
    net = nn.HybridSequential()
    net.add(nn.Dense(256, activation='relu'),
            nn.Dropout(dropout1),
            nn.Dense(256, activation='relu'),
            nn.Dropout(dropout2),
            nn.Dense(10))
    # Compiled at the first batch, the same mathematics.
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def predict_with_dropout(net, X, num_samples):
    """Predict `X` under `num_samples` random masks (4.6.3).

    Returns the mean class probabilities (n, classes), and the agreement
    (n,): the share of masks under which the class that has the largest mean
    is predicted. Records no gradient.
    """
    with autograd.train_mode():
        probs = np.stack([npx.softmax(net(X)) for _ in range(num_samples)])
    mean = probs.mean(axis=0)
    votes = probs.argmax(axis=2) == mean.argmax(axis=1)
    return mean, votes.sum(axis=0) / num_samples


def evaluate_certainty(net, data_iter, num_samples):
    """`predict_with_dropout` over `data_iter`.

    Returns two NumPy arrays (n,), in the iterator's order: the agreement of
    each example, and whether its predicted class is right.
    """
    agreements, corrects = [], []
    for X, y in data_iter:
        mean, agreement = predict_with_dropout(net, X, num_samples)
        agreements.append(agreement.asnumpy())
        corrects.append(mean.asnumpy().argmax(axis=1) == y.asnumpy())
    return onp.concatenate(agreements), onp.concatenate(corrects)


def plot_certainty(agreement, correct):
    """Plot the accuracy of the examples by their agreement (n,), in bars.

    A bar's number is that of its examples; none is drawn without any.
    """
    edges = onp.float32([0.5, 0.6, 0.7, 0.8, 0.9, 1])
    names = ['<50', '50-59', '60-69', '70-79', '80-89', '90-99', '100']
    groups = [correct[onp.digitize(agreement, edges) == i]
              for i in range(len(names))]
    _, axes = plt.subplots(figsize=(5.5, 3))
    bars = axes.bar(names, [group.sum() / max(len(group), 1)
                            for group in groups])
    axes.bar_label(bars, [len(group) or '' for group in groups], fontsize=8)
    axes.set(xlabel='masks that agree, % (on the bars: test images)',
             ylabel='test acc', ylim=(0, 1.08))
    return axes


def fit(images, labels, dropout1=0.0, dropout2=0.0, num_epochs=100,
        batch_size=128, lr=1e-3):
    """Train `get_net` on these examples by Adam; returns the network.

    NumPy arrays (n, 1, 28, 28), (n,). Adam, as it gets few examples by heart
    in few epochs. Raises `NonFiniteLossError`.
    """
    net = get_net(dropout1, dropout2)
    net.initialize(init.Xavier())
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr})
    train_iter = load_array((images, labels), batch_size)
    for epoch in range(1, num_epochs + 1):
        l, _ = train_epoch_ch3(net, train_iter, loss, trainer)
        check_finite(l, epoch)
    return net


def memorize(data, num_examples=2000, num_epochs=100):
    """Train on real images whose labels are random (4.6.1).

    `data` as of `fashion_mnist.load`. Returns the accuracy on these labels
    and that on the test images: what is learned by heart generalizes to
    nothing (Zhang et al., 2017).
    """
    images = data.train_images[:num_examples]
    labels = onp.random.randint(10, size=len(images)).astype('int32')
    net = fit(images, labels, num_epochs=num_epochs)
    return [evaluate_accuracy(net, load_array(arrays, 1000, is_train=False))
            for arrays in ((images, labels),
                           (data.test_images, data.test_labels))]


def expectation(h, dropout, num_samples=10000):
    """The mean of `dropout_layer` of h (d,) over masks, and its error.

    Returns two NumPy arrays (d,): the means and their standard errors. The
    means are `h` to a few errors (4.6.2).
    """
    H = dropout_layer(np.tile(h, (num_samples, 1)), dropout).asnumpy()
    return H.mean(axis=0), H.std(axis=0) / num_samples ** 0.5


def hidden(net, X, layer=2):
    """The activations (n, units) behind the first Dense, or the second.

    `layer` is 1 or 2; `net` is of `get_net`, nothing is dropped.
    """
    for block in net[:2 * layer - 1]:
        X = block(X)
    return X


def co_adaptation(H):
    """How much hidden units (n, units) repeat each other (4.6.2).

    The mean over all pairs of units of the absolute correlation of their
    activations over the examples: 0 for independent units, 1 for copies.
    Units that are constant are left out.
    """
    H = H.asnumpy().astype('float64')
    H = H[:, H.std(axis=0) > 0]
    pairs = onp.triu_indices(H.shape[1], 1)
    return float(abs(onp.corrcoef(H.T)[pairs]).mean())


def trained_co_adaptation(data, dropout1, dropout2, num_examples=1000,
                          num_epochs=20):
    """The `co_adaptation` of both hidden layers after training (4.6.2).

    `data` as of `fashion_mnist.load`. Two numbers, measured on the first
    1,000 test images: dropout makes both smaller.
    """
    net = fit(data.train_images[:num_examples],
              data.train_labels[:num_examples], dropout1, dropout2,
              num_epochs)
    (X,), = load_array([data.test_images[:1000]], 1000, is_train=False)
    return [co_adaptation(hidden(net, X, layer)) for layer in (1, 2)]
