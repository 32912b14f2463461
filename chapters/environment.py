"""4.9 Environment and distribution shift."""
import numpy as onp
from gluon_mlp import environment as env
from gluon_mlp.d2l import fashion_mnist, plot
from gluon_mlp.d2l.data import get_fashion_mnist_labels
from gluon_mlp.run.options import BatchSize, LearningRate, NumEpochs, run
from mxnet import gluon, np
from mxnet.gluon import nn


def main(num_epochs: NumEpochs = 20, lr: LearningRate = 0.1,
         batch_size: BatchSize = 100):
    settings = (gluon.loss.SoftmaxCrossEntropyLoss(), num_epochs, lr,
                batch_size)
    X, y = env.covariate_data(env.mean_train, 1000)
    X_test, y_test = env.covariate_data(env.mean_test, 1000)
    h = env.train_or_test(X, X_test, num_epochs, lr, batch_size)
    beta = env.covariate_weights(h, X)
    before = env.train_weighted(nn.Dense(2), X, y, np.ones(1000), *settings)
    after = env.train_weighted(nn.Dense(2), X, y, beta, *settings)
    report('covariate', before, after, X_test, y_test)
    print(f'{env.effective_size(beta):.0f} of {len(X)} examples in effect')
    show_covariate_shift(X, X_test, before, after)

    data = fashion_mnist.load()
    p, q = [0.1] * 10, onp.array([1] * 6 + [9] + [1] * 3) / 18  # 6: shirt
    rows = env.draw_with_labels(data.train_labels, p, 6000)
    X, X_valid = onp.split(data.train_images[rows], [4000])
    y, y_valid = onp.split(data.train_labels[rows], [4000])
    test = env.draw_with_labels(data.test_labels, q, 1000)
    X_test, y_test = data.test_images[test], data.test_labels[test]
    before = env.train_weighted(nn.Dense(10), X, y, np.ones(4000), *settings)
    q_hat = env.estimate_test_labels(before, X_valid, y_valid, X_test, 10)
    beta = env.label_weights(y, q_hat)
    after = env.train_weighted(nn.Dense(10), X, y, beta, *settings)
    report('label', before, after, X_test, y_test)
    for name, *shares in zip(get_fashion_mnist_labels(range(10)), q, q_hat):
        print('{:10} share {:.3f}, estimated {:.3f}'.format(name, *shares))
    plot.plot(range(10), [p, q, q_hat], 'class', 'share',
              ['train', 'test', 'test, estimated'], fmts=['s', 'm^', 'go'])
    plot.save_figure('environment_label_shift')


def report(shift, before, after, X, y):
    print(f'{shift} shift, test acc: {env.accuracy(before, X, y):.3f}, '
          f'weighted {env.accuracy(after, X, y):.3f}')


def show_covariate_shift(X, X_test, *nets):
    x, X, X_test = onp.linspace(-4, 4, 81), X[:300], X_test[:300]
    lines = [env.true_boundary(x), *(env.boundary(net, x) for net in nets)]
    plot.plot([X[:, 0], X_test[:, 0], x, x, x],
              [X[:, 1], X_test[:, 1], *lines], 'x_1', 'x_2',
              ['train', 'test', 'true boundary', 'learned', 'weighted'],
              [-4, 8], [-3, 3], fmts=['.', 'm.', 'k:', 'r--', 'g-'])
    plot.save_figure('environment_covariate_shift')


if __name__ == '__main__':
    run(main)
