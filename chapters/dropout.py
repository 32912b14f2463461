"""4.6 Dropout."""
from functools import partial

from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.d2l.data import load_data_fashion_mnist
from gluon_mlp.d2l.diagram import draw_dropout
from gluon_mlp.d2l.plot import save_figure
from gluon_mlp.d2l.training import sgd, train_ch3
from gluon_mlp.dropout import (
    dropout_layer,
    evaluate_certainty,
    expectation,
    get_net,
    init_params,
    memorize,
    net,
    plot_certainty,
    trained_co_adaptation,
)
from gluon_mlp.run.options import (
    BatchSize,
    DropProbability,
    LearningRate,
    NumEpochs,
    run,
)
from mxnet import gluon, init, np


def main(batch_size: BatchSize = 256, lr: LearningRate = 0.5,
         num_epochs: NumEpochs = 10, dropout1: DropProbability = 0.2,
         dropout2: DropProbability = 0.5):
    draw_dropout([('x', 4), ('h', 5), ('o', 3)], ['h_2', 'h_5'])
    save_figure('dropout_diagram')
    X = np.arange(16).reshape(2, 8)
    for dropout in (0, 0.5, 1):
        print(f'dropout_layer(X, {dropout}):\n{dropout_layer(X, dropout)}')

    params = init_params()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    train_iter, test_iter = load_data_fashion_mnist(batch_size)
    train_ch3(lambda X: net(X, params, dropout1, dropout2), train_iter,
              test_iter, loss, num_epochs, partial(sgd, params, lr))
    save_figure('dropout_scratch')

    concise = get_net(dropout1, dropout2)
    concise.initialize(init.Normal(sigma=0.01))
    params = concise.collect_params()
    trainer = gluon.Trainer(params, 'sgd', {'learning_rate': lr})
    train_ch3(concise, train_iter, test_iter, loss, num_epochs, trainer)
    save_figure('dropout_concise')

    agreement, correct = evaluate_certainty(concise, test_iter, 100)
    sure = agreement == 1  # all masks predict the same class
    for name, of in (('sure', sure), ('unsure', ~sure)):
        print(f'{name} about {of.sum()} test images, accuracy '
              f'{correct[of].sum() / max(of.sum(), 1):.4f}')
    plot_certainty(agreement, correct)
    save_figure('dropout_certainty')

    data = fashion_mnist.load()
    accs = memorize(data, 1000, num_epochs=60)
    print('random labels: train acc {:.4f}, test acc {:.4f}'.format(*accs))
    print('1, 2, 3 under 10000 masks of 0.5: means {}, their errors {}'
          .format(*(a.round(3) for a in expectation(np.arange(1, 4), 0.5))))
    for p in ((0, 0), (0.2, 0.5)):
        print('co-adaptation after dropout of {}, {}: {:.3f}, {:.3f}'.format(
            *p, *trained_co_adaptation(data, *p)))


if __name__ == '__main__':
    run(main)
