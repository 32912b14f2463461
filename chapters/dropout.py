# %% [markdown]
# # 4.6 Dropout
# # 暂退法（Dropout）
#
# A good model should not be sensitive to small changes of its inputs.
# Dropout asks the same of the hidden layers: in each step of training some
# of their units are dropped at random, so that no unit can rely on a few
# others. Each activation $h$ becomes
#
# $$h' = \begin{cases} 0 & \text{with probability } p, \\
# \dfrac{h}{1 - p} & \text{otherwise,} \end{cases}$$
#
# whose expectation is $h$. At test time nothing is dropped.

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, dropout
from gluon_mlp.d2l import fashion_mnist
from mxnet import gluon, init, np

(dropout1, dropout2, num_hiddens1, num_hiddens2, num_epochs, lr,
 batch_size) = options(dropout, 'dropout1, dropout2, num_hiddens1, '
                       'num_hiddens2, num_epochs, lr, batch_size')

# %% [markdown]
# ## Dropout in practice
#
# Without $h_2$ and $h_5$ the outputs no longer depend on these two units, and
# so their gradients are zero, too.

# %%
d2l.draw_dropout([('x', 4), ('h', 5), ('o', 3)], ['h_2', 'h_5'])
d2l.save_figure('dropout_diagram')

# %% [markdown]
# ## Dropout from scratch
#
# The layer draws a uniform number for each element and keeps the elements
# whose number exceeds $p$. For $p = 0$ it keeps all, for $p = 1$ none.

# %%
X = np.arange(16).reshape(2, 8)
for p in (0, 0.5, 1):
    print(f'dropout_layer(X, {p}):\n{dropout.dropout_layer(X, p)}')

# %% [markdown]
# ## Parameters and model
#
# Two hidden layers of 256 units classify the images of Fashion-MNIST. Dropout
# follows the activation of each. It is usual to drop less near the input:
# here 0.2 after the first layer and 0.5 after the second.

# %%
params = dropout.init_params(num_hiddens1, num_hiddens2)


def net(X):
    return dropout.net(X, params, dropout1, dropout2)


# %% [markdown]
# ## Training
#
# The training is that of section 4.2 with a learning rate of 0.5.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs,
              d2l.Updater(params, lr))
d2l.save_figure('dropout_scratch')

# %% [markdown]
# ## Concise
#
# In Gluon dropout is a layer of its own, which passes the data unchanged
# outside of training.

# %%
net = dropout.get_net(dropout1, dropout2, num_hiddens1, num_hiddens2)
net.initialize(init.Normal(sigma=0.01))
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': lr})
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)
d2l.save_figure('dropout_concise')

# %%
book_ends()

# %% [markdown]
# ## Beyond the listings
#
# A short run, as with `--num-epochs 2`, shortens these experiments as well.
#
# ### How certain the network is
#
# Dropout can stay on at test time. The network is sure about an image if all
# random masks (100 by default) lead to the same class. It is right about
# such images more often.

# %%
length = min(num_epochs, dropout.num_epochs)  # 10 by default
agreement, correct = dropout.evaluate_certainty(net, test_iter, 10 * length)
sure = agreement == 1
for name, of in (('sure', sure), ('unsure', ~sure)):
    print(f'{name} about {of.sum()} test images, accuracy '
          f'{correct[of].sum() / max(of.sum(), 1):.4f}')
dropout.plot_certainty(agreement, correct)
d2l.save_figure('dropout_certainty')

# %% [markdown]
# ### Random labels
#
# A network without dropout memorizes labels that were drawn at random, which
# says nothing about other images (Zhang et al., 2017). The book tells of SGD
# on a whole training set. Here it is Adam on 1,000 images.

# %%
data = fashion_mnist.load()
train_acc, test_acc = dropout.memorize(data, 1000, num_epochs=6 * length)
print(f'random labels: train acc {train_acc:.4f}, test acc {test_acc:.4f}')

# %% [markdown]
# ### The expectation stays the same

# %%
means, errors = dropout.expectation(np.arange(1, 4), 0.5)
print('mean of dropout_layer([1, 2, 3], 0.5) over 10000 masks:\n'
      f'{means.round(3)} (standard errors {errors.round(3)})')

# %% [markdown]
# ### Co-adaptation
#
# How much do hidden units repeat each other? We take the mean absolute
# correlation of all pairs of units in a layer. In both layers it is smaller
# after training with dropout (a short run may be too short to show it).

# %%
for p1, p2 in ((0, 0), (0.2, 0.5)):
    first, second = dropout.trained_co_adaptation(data, p1, p2,
                                                  num_epochs=2 * length)
    print(f'co-adaptation with dropout {p1}, {p2}: {first:.3f} in layer 1, '
          f'{second:.3f} in layer 2')
