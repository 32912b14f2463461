"""4.3 Concise implementation of multilayer perceptrons."""
from gluon_mlp.d2l.data import load_data_fashion_mnist
from gluon_mlp.d2l.plot import save_figure
from gluon_mlp.d2l.training import train_ch3
from gluon_mlp.mlp_concise import get_net
from gluon_mlp.run.device import get_devices, on_devices
from gluon_mlp.run.options import (
    BatchSize,
    LearningRate,
    NumEpochs,
    NumGpus,
    run,
)
from mxnet import gluon, init


def main(batch_size: BatchSize = 256, lr: LearningRate = 0.1,
         num_epochs: NumEpochs = 10, num_gpus: NumGpus = 1):
    net = get_net()
    devices = get_devices(num_gpus)
    net.initialize(init.Normal(sigma=0.01), ctx=devices)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    train_iter, test_iter = load_data_fashion_mnist(batch_size)
    train_ch3(on_devices(net, devices), train_iter, test_iter, loss,
              num_epochs, trainer)
    save_figure('mlp_concise')


if __name__ == '__main__':
    run(main)
