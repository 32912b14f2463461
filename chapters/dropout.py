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
book_ends()  # a script with --book-only ends here

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
# SGD without dropout makes the network memorize labels that were drawn at
# random, which say nothing about other images (Zhang et al., 2017). There are
# more images here than an image has pixels. The test accuracy stays near the
# 10% of a guess, so the gap comes near 90% (a short run is too short for it).
# Why networks that could do this generalize at all from true labels is an
# open question.

# %%
data = fashion_mnist.load()
num_examples = 1000
train_acc, test_acc = dropout.memorize(data, num_examples, 12 * length)
print(f'random labels on {num_examples} images: train acc {train_acc:.4f}, '
      f'test acc {test_acc:.4f}, gap {train_acc - test_acc:.4f}')

# %% [markdown]
# ### The expectation stays the same

# %%
means, errors = dropout.expectation(np.arange(1, 4), 0.5)
print('mean of dropout_layer([1, 2, 3], 0.5) over 10000 masks:\n'
      f'{means.round(3)} (standard errors {errors.round(3)})')

# %% [markdown]
# ### The gradients of dropped units
#
# Figure 4.6.1 in numbers. Without $h_2$ and $h_5$ the gradients of all
# weights into them and out of them vanish.

# %%
ins, outs = dropout.unit_gradients(np.array([1, 0, 1, 1, 0]))
for name, norms in (('into', ins), ('out of', outs)):
    print(f'gradient of the weights {name} h_1 to h_5, norms: '
          + ', '.join(f'{norm:.3f}' for norm in norms.tolist()))

# %% [markdown]
# ### Co-adaptation and noise on the pixels
#
# Two networks learn the same images, one without dropout, one with it. Then
# a share of the hidden units is silenced at test time. If units rely on
# certain others, that breaks them; after dropout they are used to it. Noise
# on the pixels is another small change that a smooth function should bear.
# (These are single runs, where a difference of one percent is chance, and a
# short run may be too short to show any.)

# %%
shares, scales = (0, 0.25, 0.5, 0.75), (0, 0.1, 0.2, 0.4)
images = data.train_images[:1000], data.train_labels[:1000]
silenced, noisy, names = [], [], []
for p1, p2 in ((0, 0), (dropout.dropout1, dropout.dropout2)):
    net = dropout.fit(*images, p1, p2, 2 * length)
    silenced.append(dropout.accuracies(dropout.silence, net, shares,
                                       test_iter))
    noisy.append(dropout.accuracies(dropout.add_noise, net, scales,
                                    test_iter))
    names.append(f'dropout {p1:g}, {p2:g}')
for what, xs, rows in (('share of units silenced', shares, silenced),
                       ('scale of noise on the pixels', scales, noisy)):
    print(f'test acc by {what}: {xs}')
    for name, row in zip(names, rows):
        print(f'  {name:16}', '  '.join(f'{acc:.3f}' for acc in row))
    d2l.plot(list(xs), rows, what, 'test acc', names, fmts=('o-', 'ms--'),
             figsize=(5, 2.5))
    d2l.save_figure('dropout_' + what.split()[-1])
