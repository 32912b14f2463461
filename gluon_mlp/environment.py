"""4.9 Environment and distribution shift: three shifts, and corrections.

As in the book, q is the source distribution, of the training data, and p the
target distribution, of the test data. The weights are p / q.
"""
import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from . import experiment
from .d2l.data import load_array
from .d2l.plotting import Curve
from .d2l.training import evaluate_accuracy
from .errors import ChapterError

npx.set_np()

num_epochs, lr, batch_size = 20, 0.1, 100
# The means of the inputs of the covariate shift, which are normal.
mean_train, mean_test = (-0.75, 0.0), (0.75, 0.0)


def true_boundary(x):
    """The parabola x_2 = x_1^2 / 2 - 1: class 1 lies above it."""
    return x ** 2 / 2 - 1


def covariate_data(mean, num_examples):
    """Draw inputs X float32 (n, 2) and their labels y int32 (n,) (4.9.1).

    The inputs are normal with unit variance about `mean`. The label depends
    on the input alone, so another mean is a covariate shift.
    """
    X = np.random.normal(0, 1, (num_examples, 2)) + np.array(mean)
    return X, (X[:, 1] > true_boundary(X[:, 0])).astype('int32')


def concept_data(angle, num_examples):
    """Draw inputs X (n, 2), and labels that depend on `angle` (4.9.1).

    Class 1 lies above the line through the origin at this angle. The inputs
    are standard normal at any angle, so another one is a concept shift.
    """
    X = np.random.normal(0, 1, (num_examples, 2))
    above = X[:, 1] * onp.cos(angle) > X[:, 0] * onp.sin(angle)
    return X, above.astype('int32')


def train_weighted(net, X, y, weights, loss, num_epochs, lr, batch_size):
    """Minimize the weighted mean of the loss by SGD (4.9.3).

    `weights` (n,) has a weight for each example. Initializes `net`, trains it
    and returns it. Raises `NonFiniteLossError`.
    """
    net.initialize()
    net.hybridize()
    return train_on(net, X, y, weights, loss, num_epochs, lr, batch_size)


def train_on(net, X, y, weights, loss, num_epochs, lr, batch_size):
    """Do as `train_weighted` from the weights that `net` has (4.9.3)."""
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    data_iter = load_array((X, y, weights.reshape(-1, 1)), batch_size)
    history, workers = Curve(width=2), experiment.current.workers
    for epoch in experiment.current.epochs(num_epochs, history, trainer):
        batches, step = workers.share(net, data_iter, trainer)
        for X, y, weight in batches:
            with autograd.record():
                l = loss(net(X), y, weight)
            l.backward()
            step(len(X))
        history.append((epoch, *workers.total(float(l.sum()))))
    return net


def train_domain_classifier(train_features, test_features, num_epochs, lr,
                            batch_size):
    """Logistic regression that tells test inputs from train inputs (4.9.3).

    Returns the network h, with P(test | x) = 1 / (1 + exp(-h(x))).
    """
    X = np.concatenate([train_features, test_features])
    z = np.concatenate([np.zeros(len(train_features)),
                        np.ones(len(test_features))]).reshape(-1, 1)
    return train_weighted(nn.Dense(1), X, z, np.ones(len(X)),
                          gluon.loss.SigmoidBinaryCrossEntropyLoss(),
                          num_epochs, lr, batch_size)


def covariate_weights(h, train_features, c=float('inf')):
    """The weight min(exp(h(x)), c) of each training input, (n,) (4.9.3).

    If `h` was trained on equally many inputs of both kinds, exp(h(x))
    estimates p(x) / q(x), the test density over the train density.
    """
    return np.minimum(np.exp(h(train_features).reshape(-1)), c)


def effective_size(weights):
    """Effective sample size of examples with the weights (n,).

    This many equally weighted examples would estimate as precisely.
    """
    return float(weights.sum() ** 2 / (weights ** 2).sum())


def boundary(net, x):
    """The decision boundary of `net`, a `Dense(2)`: x_2 at x_1 = `x`."""
    w = onp.diff(net.weight.data().asnumpy(), axis=0)[0]
    b = onp.diff(net.bias.data().asnumpy())
    return -(w[0] * x + b) / w[1]


def draw_with_labels(labels, distribution, num_examples):
    """Draw examples so that their labels have `distribution` (4.9.1).

    `labels` (n,) is a NumPy array. Returns the indices (num_examples,) in
    random order, none of them twice. Label shift leaves p(x | y) as it is,
    so within a class all examples are equally likely. Raises `ValueError`
    if a class has too few examples.
    """
    counts = onp.random.multinomial(num_examples, distribution)
    rows = [onp.random.choice(onp.flatnonzero(labels == j), count, False)
            for j, count in enumerate(counts)]
    return onp.random.permutation(onp.concatenate(rows))


def predict(net, X, batch_size=1000):
    """The classes (n,) that `net` predicts, a NumPy array."""
    return onp.concatenate([
        net(batch).argmax(axis=1).asnumpy().astype(int)
        for batch, in load_array((X,), batch_size, is_train=False)])


def evaluate(net, X, y):
    """The accuracy of `net` on the examples `X`, `y`."""
    return evaluate_accuracy(net, load_array((X, y), 1000, is_train=False))


def confusion_matrix(y_hat, y, num_classes):
    """C (k, k): c_ij is the share of class j that is predicted as i (4.9.3).

    `y_hat` and `y` (n,) are the predicted and true classes of validation
    data, as NumPy arrays. Each column of C sums to 1. Raises `ValueError` for
    a class without examples.
    """
    C = onp.zeros((num_classes, num_classes))
    onp.add.at(C, (y_hat, y), 1)
    if not C.sum(axis=0).all():
        raise ValueError('no validation data of class '
                         f'{int(C.sum(axis=0).argmin())}')
    return C / C.sum(axis=0)


def estimate_label_distribution(C, mu):
    """Solve C p = mu for the label distribution p (k,) of test data (4.9.3).

    `mu` (k,) is the share of the test data that is predicted as each class.
    Sampling can make an estimated share negative: it is set to 0, and the sum
    is scaled to 1 again. Raises `numpy.linalg.LinAlgError` if C has no
    inverse.
    """
    p = onp.maximum(onp.linalg.solve(C, mu), 0)
    return p / p.sum()


def estimate_test_labels(net, X_valid, y_valid, X_test, num_classes):
    """Estimate the test label distribution (k,) from predictions (4.9.3).

    `X_valid` and `y_valid` come from the distribution of the training data.
    Raises `ChapterError` if `net` has learned too little, for instance never
    predicts some class.
    """
    C = confusion_matrix(predict(net, X_valid), y_valid, num_classes)
    mu = onp.bincount(predict(net, X_test), minlength=num_classes)
    try:
        return estimate_label_distribution(C, mu / len(X_test))
    except onp.linalg.LinAlgError:
        raise ChapterError('the confusion matrix has no inverse: train for '
                           'more epochs or with another learning rate'
                           ) from None


def label_weights(labels, p):
    """The weight p(y) / q(y) of each training label (4.9.3).

    `labels` (n,) and the test distribution `p` (k,) are NumPy arrays; q is
    the distribution of `labels`. Returns an MXNet array (n,).
    """
    q = onp.bincount(labels, minlength=len(p)) / len(labels)
    return np.array(p[labels] / q[labels], dtype='float32')
