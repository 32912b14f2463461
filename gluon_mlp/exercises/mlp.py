"""Answers to the exercises of 4.1."""
from mxnet import gluon, init, np, npx
from mxnet.gluon import nn

from ..d2l.data import ArrayIter
from ..d2l.plotting import save_figure
from ..d2l.training import evaluate_accuracy
from ..mlp import forward, prelu, sigmoid, tanh, value_and_grad
from .common import load_data, plot, show_table, train_quietly

npx.set_np()


def exercise_1(quick=False):
    """The derivative of pReLU

    pReLU(x) = max(0, x) + alpha min(0, x), so its derivative is 1 for x > 0
    and alpha for x < 0. At 0 it has none unless alpha = 1: the left slope is
    alpha, the right one 1, and any number between them is a subgradient (for
    alpha < 1). The code takes the left one, as it does for ReLU. As alpha is
    learned, its derivative matters too: that of pReLU by alpha is min(0, x).

    Measured: for alpha `0.25` at points from -8 to 8 but 0, in float64,
    autograd is off from central differences of `0.001` by 3.3e-13 at most,
    which is their rounding, and from min(0, x) by nothing.
    """
    alpha, h = 0.25, 1e-3
    x = np.arange(-8.0, 8.0, 0.5 if quick else 0.1, dtype='float64')
    x = x[abs(x) > 1e-6]
    _, grad = value_and_grad(lambda x: prelu(x, alpha), x)
    slope = (prelu(x + h, alpha) - prelu(x - h, alpha)) / (2 * h)
    a = np.full(x.shape, alpha, dtype='float64')
    _, grad_alpha = value_and_grad(lambda a: prelu(x, a), a)
    rows = [('by x, against (f(x + h) - f(x - h)) / 2h',
             float(abs(grad - slope).max())),
            ('by alpha, against min(0, x)',
             float(abs(grad_alpha - np.minimum(x, 0)).max()))]
    show_table(['derivative by autograd', 'largest difference'], rows)
    plot(x, [grad, grad_alpha], 'x', 'derivative',
         ['by x (alpha = 0.25)', 'by alpha'])
    save_figure('exercise_4_1_1')
    return dict(rows)


def exercise_2(quick=False):
    """With ReLU or pReLU alone, an MLP is continuous and piecewise linear

    An affine map is continuous and piecewise linear (one piece), and so is
    pReLU (two pieces). Both properties survive sums and composition: where
    the inner function is affine, the outer one's pieces cut it into finitely
    many parts, on each of which affine follows affine. By induction over the
    layers the whole network is of that kind.

    Formally, at an input where no hidden unit is at 0, let D_k be the
    diagonal matrix of the slopes (1 or alpha) of layer k. As long as no unit
    changes its sign, the network is x W_1 D_1 W_2 D_2 ... W_L + const. On the
    border between two pieces the unit that changes is 0 from both sides, so
    the pieces meet.

    Measured: along a line of inputs in `20000` steps, through random networks
    of two hidden layers of 8 units. With ReLU the slope changes 12 times,
    with pReLU 10 times, and each time some hidden unit changes its sign. With
    tanh it changes in all 20,000 steps, in 19,986 of them without a change of
    sign.
    """
    n = 2001 if quick else 20001
    x = np.linspace(-3, 3, n, dtype='float64')
    layers = [(np.random.normal(0, 1, (d, q), dtype='float64'),
               np.random.normal(0, 1, q, dtype='float64'))
              for d, q in ((1, 8), (8, 8), (8, 1))]
    rows, curves = [], []
    for name, activation in (
            ('ReLU', npx.relu), ('tanh', tanh),
            ('pReLU', lambda X: prelu(X, 0.25))):
        y, slope = value_and_grad(
            lambda x, f=activation: forward(x.reshape(-1, 1), layers,
                                            f).reshape(-1), x)
        rows.append((name, *_count_changes(x, slope, layers, activation)))
        curves.append(y)
    show_table(['activation', f'slope changes (of {n - 1} steps)',
                'of these, no unit changes its sign'], rows)
    plot(x, curves, 'x', 'output', [row[0] for row in rows])
    save_figure('exercise_4_1_2')
    return {name: changes for name, *changes in rows}


def _count_changes(x, slope, layers, activation):
    """Where the slope changes from point to point, and where the signs do."""
    first = forward(x.reshape(-1, 1), layers[:1])
    second = forward(x.reshape(-1, 1), layers[:2], activation)
    signs = np.concatenate([first, second], axis=1).asnumpy() > 0
    turns = (signs[1:] != signs[:-1]).any(axis=1)
    slope = slope.asnumpy()
    changes = abs(slope[1:] - slope[:-1]) > 1e-9 * abs(slope).max()
    return int(changes.sum()), int((changes & ~turns).sum())


def exercise_3(quick=False):
    """tanh(x) + 1 = 2 sigmoid(2x)

        tanh(x) + 1 = (e^x - e^-x) / (e^x + e^-x) + 1 = 2 e^x / (e^x + e^-x)
                    = 2 / (1 + e^-2x) = 2 sigmoid(2x).

    So networks of one and of the other are the same functions: replace
    sigmoid(z) by (tanh(z / 2) + 1) / 2, that is, halve the weights and the
    biases before each activation; after it, halve the weights W and add the
    sum of the halved rows to the bias. Only training differs, as gradient
    descent sees other parameters.

    Measured: in float64 both sides differ by 4.4e-16 at most, for x from -8
    to 8. A random sigmoid network 4-8-3 and its tanh twin differ by 1.8e-15
    on `1000` inputs: rounding.
    """
    x = np.linspace(-8, 8, 161 if quick else 16001, dtype='float64')
    left, right = tanh(x) + 1, 2 * sigmoid(2 * x)
    layers = [(np.random.normal(0, 1, (d, q), dtype='float64'),
               np.random.normal(0, 1, q, dtype='float64'))
              for d, q in ((4, 8), (8, 3))]
    (W1, b1), (W2, b2) = layers
    same = [(W1 / 2, b1 / 2), (W2 / 2, b2 + W2.sum(axis=0) / 2)]
    X = np.random.normal(0, 1, (1000, 4), dtype='float64')
    difference = forward(X, layers, sigmoid) - forward(X, same, tanh)
    rows = [('tanh(x) + 1 and 2 sigmoid(2x)', float(abs(left - right).max())),
            ('a sigmoid network 4-8-3 and its tanh twin',
             float(abs(difference).max()))]
    show_table(['in float64', 'largest difference'], rows)
    plot(x, [left, right], 'x', 'y', ['tanh(x) + 1', '2 sigmoid(2x)'])
    save_figure('exercise_4_1_3')
    return dict(rows)


def exercise_4(quick=False):
    """What goes wrong if a nonlinearity acts on a whole minibatch

    Say each hidden unit is standardized over the minibatch before ReLU: h_i =
    relu((z_i - mean(z)) / std(z)). Then

    - the output for an example depends on its companions: predictions change
      with the order and the size of the batches, and are not a function of x;
    - a batch of one has z = mean(z): every hidden unit is 0, and whatever the
      input, the same class is predicted; small batches are noisy;
    - training batches are drawn at random, test batches may be of one kind,
      and what tells that kind from others is just what is subtracted: the
      examples are no longer independent and identically distributed;
    - gradients flow from each example's loss into every other example.

    Batch normalization is this, and mends it: at test time it uses means and
    variances kept from training.

    Measured: one network, trained in batches of `256` for 5 epochs, and
    tested in other batches. The test accuracy is 0.868 in batches of `256`,
    0.841 of 16, 0.708 of 4, and 0.100, one class for all, of 1. In batches of
    `256` images of one class it is 0.164. The control has the same weights,
    with mean and standard deviation kept from the training images: 0.870,
    whatever the batch. The network is not at fault, then; the companions are.
    """
    train_iter, test_iter = load_data(quick=quick)
    net = nn.Sequential()
    net.add(nn.Dense(256), nn.Lambda(_relu_of_standardized), nn.Dense(10))
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.1})
    train_quietly(net, train_iter, test_iter, 1 if quick else 5, trainer)
    rows = _test(net, train_iter, test_iter)
    show_table(['test batches of', 'test acc'], rows)
    plot([1, 4, 16, 64, 256], [acc for _, acc in rows[4::-1]],
         'examples in a test batch', 'test acc', ylim=[0, 1], xscale='log')
    save_figure('exercise_4_1_4')
    return dict(rows)


def _test(net, train_iter, test_iter):
    """Rows of the test batches' kind and the accuracy in them."""
    X, y = test_iter.arrays
    rows = [(f'{batch_size}, any classes', evaluate_accuracy(
        net, ArrayIter([X, y], batch_size, shuffle=False)))
        for batch_size in (256, 64, 16, 4, 1)]
    by_class = [ArrayIter([X[y == i], y[y == i]], 256, shuffle=False)
                for i in range(10)]
    rows.append(('256, all of one class', sum(
        evaluate_accuracy(net, part) * part.num_examples
        for part in by_class) / len(y)))
    mean, std = _mean_and_std(net[0](train_iter.arrays[0]))
    rows.append(('any, mean and std kept from training', evaluate_accuracy(
        lambda X: net[2](npx.relu((net[0](X) - mean) / std)), test_iter)))
    return rows


def _relu_of_standardized(X):
    mean, std = _mean_and_std(X)
    return npx.relu((X - mean) / std)


def _mean_and_std(X):
    mean = X.mean(axis=0)
    return mean, np.sqrt(((X - mean) ** 2).mean(axis=0)) + 1e-5
