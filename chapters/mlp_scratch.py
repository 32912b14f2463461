# %% [markdown]
# # 4.2 Implementation of multilayer perceptrons from scratch
# # 多层感知机的从零开始实现
#
# A network with one hidden layer classifies the 28 x 28 images of
# Fashion-MNIST, written with arrays and `autograd` alone.

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, mlp_scratch
from mxnet import gluon

num_hiddens, num_epochs, lr, batch_size = options(
    mlp_scratch, 'num_hiddens, num_epochs, lr, batch_size')
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)

# %% [markdown]
# ## Parameters
#
# Each image is a row of 784 pixels. A weight matrix and a bias vector make
# its hidden units, another pair its ten outputs. Weights start as small
# random numbers, biases as zeros, and a gradient belongs to each of them.

# %%
params = mlp_scratch.init_params(num_hiddens)

# %% [markdown]
# ## Model
#
# ReLU, $\max(x, 0)$ element by element, stands between the two layers:
#
# $$\mathbf{H} = \mathrm{ReLU}(\mathbf{X} \mathbf{W}_1 + \mathbf{b}_1),
# \qquad \mathbf{O} = \mathbf{H} \mathbf{W}_2 + \mathbf{b}_2.$$
#
# We write ReLU as `np.maximum(X, 0)`. In MXNet its gradient at 0 is 1, while
# that of `npx.relu` is 0, as section 4.1 has it: `np.maximum` passes the
# gradient to its first argument where both are equal. An input of exactly 0
# is too rare here to matter.


# %%
def net(X):
    return mlp_scratch.net(X, params)


# %% [markdown]
# ## Loss and training
#
# Softmax and cross-entropy come as one function of Gluon, which is
# numerically stable. The training is that of softmax regression, with
# stochastic gradient descent from scratch.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs,
              d2l.Updater(params, lr))
d2l.save_figure('mlp_scratch')

# %% [markdown]
# ## Prediction
#
# The first test images, with the true name of each above the predicted one.

# %%
trues, preds = d2l.predict_ch3(net, test_iter)
d2l.save_figure('mlp_scratch_predictions')
print('true:     ', ', '.join(trues))
print('predicted:', ', '.join(preds))

# %%
book_ends()  # a script with --book-only ends here

# %% [markdown]
# ## Beyond the listings
#
# ### Are widths that are powers of 2 faster?
#
# Memory and vector units come in powers of 2, so such widths should be used
# best. A step costs about as much as a layer has units, so compare times per
# unit. The times are those of this machine, and vary from run to run.

# %%
widths = (240, 250, 255, 256, 257, 262, 272)
times = mlp_scratch.time_widths(widths)
print('width  ms a step  microseconds a unit')
for width, ms in zip(widths, times):
    print(f'{width:5}{ms:11.2f}{1000 * ms / width:21.2f}')
