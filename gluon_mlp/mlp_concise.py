"""4.3 Concise implementation of multilayer perceptrons."""
from mxnet import npx
from mxnet.gluon import nn

npx.set_np()


def get_net():
    """256 hidden units with ReLU and 10 outputs, not initialized (4.3.1).

    The inputs, images or rows, are flattened; their number is taken from
    the first batch, and the weights are drawn then.
    """
    net = nn.Sequential()
    net.add(nn.Dense(256, activation='relu'),
            nn.Dense(10))
    return net
