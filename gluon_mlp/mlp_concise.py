"""4.3 Concise implementation of multilayer perceptrons."""
from mxnet import gluon, init, npx
from mxnet.gluon import nn

npx.set_np()


def get_net():
    """784 inputs, 256 hidden units with ReLU, 10 outputs; not initialized."""
    net = nn.Sequential()
    net.add(nn.Dense(256, activation='relu'),
            nn.Dense(10))
    return net
