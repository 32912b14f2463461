"""4.3 Concise implementation of multilayer perceptrons."""
from mxnet import npx
from mxnet.gluon import nn

npx.set_np()

num_hiddens, num_gpus = 256, 1
batch_size, lr, num_epochs = 256, 0.1, 10


def get_net(num_hiddens=num_hiddens):
    """A hidden layer with ReLU and 10 outputs, not initialized (4.3.1).

    `Dense` flattens images to rows. The first batch tells the number of
    inputs, and the weights are drawn then.
    """
    net = nn.HybridSequential()
    net.add(nn.Dense(num_hiddens, activation='relu'),
            nn.Dense(10))
    # Compile the network at the first batch: the mathematics is the same.
    net.hybridize(static_alloc=True, static_shape=True)
    return net
