# %% [markdown]
# # 4.3 Concise implementation of multilayer perceptrons
# # 多层感知机的简洁实现
#
# The network of section 4.2 again, in Gluon's layers: they hold the weights,
# draw them, and know their gradients. One fully connected layer with ReLU
# and one without make
#
# $$\mathbf{H} = \mathrm{ReLU}(\mathbf{X} \mathbf{W}^{(1)} +
# \mathbf{b}^{(1)}), \qquad
# \mathbf{O} = \mathbf{H} \mathbf{W}^{(2)} + \mathbf{b}^{(2)}.$$

# %%
from gluon_mlp.run.options import options

from gluon_mlp import d2l, mlp_concise
from gluon_mlp.run.device import get_devices, on_devices
from mxnet import gluon, init

batch_size, lr, num_epochs, num_hiddens, num_gpus = options(
    mlp_concise, 'batch_size, lr, num_epochs, num_hiddens, num_gpus')

# %% [markdown]
# ## Model
#
# 256 hidden units, and an output for each of the ten classes. The weights are
# drawn from a normal distribution of scale 0.01 when the first batch tells
# how many inputs there are.

# %%
net = mlp_concise.get_net(num_hiddens)
devices = get_devices(num_gpus)
net.initialize(init.Normal(sigma=0.01), ctx=devices)

# %% [markdown]
# ## Training
#
# Loss, optimizer and loop are those of softmax regression in chapter 3.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': lr})
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
d2l.train_ch3(on_devices(net, devices), train_iter, test_iter, loss,
              num_epochs, trainer)
d2l.save_figure('mlp_concise')
