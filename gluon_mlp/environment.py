"""4.9 Environment and distribution shift: measured, and corrected."""
import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from .d2l.data import load_array
from .d2l.training import check_finite, evaluate_accuracy
from .errors import ChapterError
from .run import checkpoint

npx.set_np()

# Inputs of the covariate shift: normal, of unit variance, about these means.
mean_train, mean_test = (-0.75, 0.0), (0.75, 0.0)


def true_boundary(x):
    """The parabola x_2 = x_1^2 / 2 - 1 at x_1 = `x`: above it is class 1."""
    return x ** 2 / 2 - 1


def covariate_data(mean, num_examples):
    """Draw X float32 (n, 2), normal about `mean`, and y int32 (n,) (4.9.1).

    Covariate shift is another mean: the labels of the inputs stay theirs.
    """
    X = np.random.normal(0, 1, (num_examples, 2)) + np.array(mean)
    return X, (X[:, 1] > true_boundary(X[:, 0])).astype('int32')


def train_weighted(net, X, y, weights, loss, num_epochs, lr, batch_size):
    """Minimize the mean of weight times loss, by SGD (4.9.3).

    `weights` (n,), one for each example. Initializes `net` and returns it.
    Raises `NonFiniteLossError`.
    """
    net.initialize()
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    data_iter = load_array((X, y, weights.reshape(-1, 1)), batch_size)
    for epoch in checkpoint.epochs(num_epochs, [], None, trainer):
        for X, y, weight in data_iter:
            with autograd.record():
                l = loss(net(X), y, weight)
            l.backward()
            trainer.step(len(X))
        check_finite(float(l.sum()), epoch)
    return net


def train_or_test(train_features, test_features, num_epochs, lr, batch_size):
    """Logistic regression that tells test from train inputs (4.9.3).

    Returns the network h: P(test | x) = 1 / (1 + exp(-h(x))).
    """
    X = np.concatenate([train_features, test_features])
    z = np.concatenate([np.zeros(len(train_features)),
                        np.ones(len(test_features))]).reshape(-1, 1)
    return train_weighted(nn.Dense(1), X, z, np.ones(len(X)),
                          gluon.loss.SigmoidBinaryCrossEntropyLoss(),
                          num_epochs, lr, batch_size)


def covariate_weights(h, train_features, c=float('inf')):
    """min(exp(h(x)), c) for each training input (4.9.3).

    The estimate of q(x) / p(x), test density by train density, if `h` was
    trained on as many inputs of both. Returns (n,).
    """
    return np.minimum(np.exp(h(train_features).reshape(-1)), c)


def effective_size(weights):
    """To how many examples of equal weight the weights (n,) amount."""
    return float(weights.sum() ** 2 / (weights ** 2).sum())


def boundary(net, x):
    """x_2 where both outputs of `net`, a `Dense(2)`, agree at x_1 = `x`."""
    w = onp.diff(net.weight.data().asnumpy(), axis=0)[0]
    b = onp.diff(net.bias.data().asnumpy())
    return -(w[0] * x + b) / w[1]


def draw_with_labels(labels, distribution, num_examples):
    """Draw examples, each once, so that labels have `distribution` (4.9.1).

    `labels` (n,) are NumPy's; returns their indices (num_examples,), in
    random order. Label shift keeps p(x | y), so each class is drawn evenly.
    Raises `ValueError` where a class has too few examples.
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


def accuracy(net, X, y):
    """The share of the examples that `net` classifies correctly."""
    return evaluate_accuracy(net, load_array((X, y), 1000, is_train=False))


def confusion_matrix(y_hat, y, num_classes):
    """C (k, k): c_ij is the share of the class j predicted as i (4.9.3).

    Of NumPy's arrays `y_hat` and `y` (n,), on validation data; each column
    sums to 1. Raises `ValueError` for a class without examples.
    """
    C = onp.zeros((num_classes, num_classes))
    onp.add.at(C, (y_hat, y), 1)
    if not C.sum(axis=0).all():
        raise ValueError('no validation data of class '
                         f'{int(C.sum(axis=0).argmin())}')
    return C / C.sum(axis=0)


def estimate_label_distribution(C, mu):
    """The label distribution p (k,) of the test data: C p = mu (4.9.3).

    `mu` (k,) is the share of the test data predicted as each class. Shares
    that sampling made negative become 0, and the sum is made 1 again.
    Raises `numpy.linalg.LinAlgError` where C has no inverse.
    """
    p = onp.maximum(onp.linalg.solve(C, mu), 0)
    return p / p.sum()


def estimate_test_labels(net, X_valid, y_valid, X_test, num_classes):
    """The test label distribution (k,), from predictions alone (4.9.3).

    `X_valid`, `y_valid` are drawn as the training data were. Raises
    `ChapterError` where `net` never predicts some class, or has learned too
    little otherwise.
    """
    C = confusion_matrix(predict(net, X_valid), y_valid, num_classes)
    mu = onp.bincount(predict(net, X_test), minlength=num_classes)
    try:
        return estimate_label_distribution(C, mu / len(X_test))
    except onp.linalg.LinAlgError:
        raise ChapterError('the confusion matrix has no inverse: train for '
                           'more epochs or with another learning rate'
                           ) from None


def label_weights(labels, q):
    """q(y) / p(y) for each training label, p being their shares (4.9.3).

    `labels` (n,) and the test distribution `q` (k,) are NumPy's. Returns
    MXNet's (n,).
    """
    p = onp.bincount(labels, minlength=len(q)) / len(labels)
    return np.array(q[labels] / p[labels], dtype='float32')
