"""4.2 Implementation of multilayer perceptrons from scratch."""
from functools import partial

from gluon_mlp.d2l.data import load_data_fashion_mnist
from gluon_mlp.d2l.plot import save_figure
from gluon_mlp.d2l.training import predict_ch3, sgd, train_ch3
from gluon_mlp.mlp_scratch import init_params, net
from gluon_mlp.run.options import BatchSize, LearningRate, NumEpochs, run
from mxnet import gluon


def main(batch_size: BatchSize = 256, lr: LearningRate = 0.1,
         num_epochs: NumEpochs = 10):
    params = init_params()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    train_iter, test_iter = load_data_fashion_mnist(batch_size)

    def mlp(X):
        return net(X, params)

    train_ch3(mlp, train_iter, test_iter, loss, num_epochs,
              partial(sgd, params, lr))
    save_figure('mlp_scratch')
    trues, preds = predict_ch3(mlp, test_iter)
    save_figure('mlp_scratch_predictions')
    print('true:     ', ', '.join(trues))
    print('predicted:', ', '.join(preds))


if __name__ == '__main__':
    run(main)
