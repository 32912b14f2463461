# %% [markdown]
# # 4.4 Model selection, underfitting, and overfitting
# # 模型选择、欠拟合和过拟合
#
# The training error is measured on the examples that a model was fitted to,
# the generalization error on all other examples that might come. A model
# that is too simple cannot even make the training error small: it underfits.
# A model that is too flexible for its few examples makes the training error
# much smaller than the generalization error: it overfits. Polynomials of
# three degrees show both.

# %%
from gluon_mlp.run.options import book_ends, options

import numpy as onp
from gluon_mlp import d2l, mlp_concise, underfit_overfit
from gluon_mlp.d2l import fashion_mnist
from mxnet.gluon import nn

batch_size, lr, num_epochs, num_epochs_overfit = options(
    underfit_overfit, 'batch_size, lr, num_epochs, num_epochs_overfit')

# %% [markdown]
# ## Data
#
# The labels are a cubic polynomial of $x$ with noise,
#
# $$y = 5 + 1.2 x - 3.4 \frac{x^2}{2!} + 5.6 \frac{x^3}{3!} + \epsilon,
# \qquad \epsilon \sim \mathcal{N}(0, 0.1^2).$$
#
# The features are $x^i / i!$ for $i$ from 0 to 19. Without the factorials
# the high powers would be huge, and so would their gradients. There are 100
# examples for training and 100 for testing.

# %%
features, poly_features, labels = underfit_overfit.get_data()
n_train = underfit_overfit.n_train
train_labels, test_labels = labels[:n_train], labels[n_train:]
print(f'features\n{features[:2]}\npoly_features\n{poly_features[:2]}\n'
      f'labels\n{labels[:2]}')

# %% [markdown]
# ## A cubic: the right degree
#
# Linear regression on the first four features finds weights close to the
# true 5, 1.2, -3.4 and 5.6. Both losses end near 0.005, half the variance
# of the noise.

# %%
weight, history = underfit_overfit.train(
    poly_features[:n_train, :4], poly_features[n_train:, :4], train_labels,
    test_labels, num_epochs, lr, batch_size)
print('normal, degree 3: train loss {:.4f}, test loss {:.4f}, weight\n'
      '{}'.format(*history[-1][1:], weight))
d2l.save_figure('underfit_overfit_normal')

# %% [markdown]
# ## A line: underfitting
#
# With the features $1$ and $x$ alone the training loss soon stops falling,
# and it stays high.

# %%
weight, history = underfit_overfit.train(
    poly_features[:n_train, :2], poly_features[n_train:, :2], train_labels,
    test_labels, num_epochs, lr, batch_size)
print('underfit, degree 1: train loss {:.4f}, test loss {:.4f}, weight\n'
      '{}'.format(*history[-1][1:], weight))
d2l.save_figure('underfit_overfit_underfit')

# %% [markdown]
# ## Degree 19: overfitting
#
# Now the weights of the 16 needless features have to be learned to be zero,
# and 100 examples are too few for that. The training loss is small, and the
# test loss is several times as large.

# %%
weight, history = underfit_overfit.train(
    poly_features[:n_train, :], poly_features[n_train:, :], train_labels,
    test_labels, num_epochs_overfit, lr, batch_size)
print('overfit, degree 19: train loss {:.4f}, test loss {:.4f}, weight\n'
      '{}'.format(*history[-1][1:], weight))
d2l.save_figure('underfit_overfit_overfit')

# %%
book_ends()  # a script with --book-only ends here

# %% [markdown]
# ## Beyond the listings
#
# ### Choosing the degree by K-fold cross-validation
#
# The training examples are split into $K$ folds. Each fold serves once for
# validation, after a fit to the other $K - 1$, and the losses are averaged.
# What we choose with an error no longer tells the generalization error. So
# the book calls its accuracies validation accuracies, though the data set's
# name is test.
#
# Here each fit is exact (least squares). SGD with degree 19 above stopped
# long before the exact solution, because the loss is nearly flat along most
# directions. So its test loss is small compared with the validation losses of
# high degrees in this table. The first lines print both on the same data.

# %%
X, y = poly_features.asnumpy(), labels.asnumpy()
exact = underfit_overfit.least_squares(X[:n_train], y[:n_train])
for name, w in (('SGD above', weight), ('exact fit', exact)):
    train_loss, test_loss = (
        underfit_overfit.mean_loss(w, X[rows], y[rows])
        for rows in (slice(n_train), slice(n_train, None)))
    print(f'degree 19, {name}: train loss {train_loss:.4g}, test loss '
          f'{test_loss:.4g}, largest weight {abs(w).max():.3g}')
k = 5
chosen, rows = underfit_overfit.choose_degree(k, poly_features[:n_train],
                                              train_labels)
print(f'{k}-fold cross-validation on {n_train} examples, by least squares\n'
      'degree  train loss  valid loss')
for degree, train_loss, valid_loss in rows:
    print(f'{degree:6}  {train_loss:10.4g}  {valid_loss:10.4g}'
          + '  <- chosen' * (degree == chosen))
degrees, *losses = zip(*rows)
d2l.plot(list(degrees), losses, 'degree', 'loss', ['train', 'valid'],
         yscale='log', figsize=(5, 2.5)).set_xticks(degrees[1::2])
d2l.save_figure('underfit_overfit_k_fold')

# %% [markdown]
# ### The gap by the number of examples
#
# With more examples a fitted cubic comes closer to the true one. The
# training error rises to half the variance of the noise, the generalization
# error falls to it, and the gap between them closes.

# %%
rows = underfit_overfit.learning_curve([10, 20, 40, 80, 160, 320, 640])
print('The cubic by number of training examples, by least squares\n'
      'examples  train loss  test loss     gap')
for n, train_loss, test_loss in rows:
    print(f'{n:8}  {train_loss:10.5f}  {test_loss:9.5f} '
          f'{test_loss - train_loss:.5f}')
sizes, *losses = zip(*rows)
axes = d2l.plot(list(sizes), losses, 'training examples', 'loss',
                ['train', 'test'], xscale='log', figsize=(5, 2.5))
axes.set_xticks(sizes, sizes)
axes.minorticks_off()
d2l.save_figure('underfit_overfit_gap')

# %% [markdown]
# ### Bias and variance
#
# How far is the mean of many fits from the truth (bias), and how far are they
# from one another (variance)? Here 100 draws of the labels have more noise,
# of scale 3. A line misses the curve in the same way each time, and hardly
# moves. Degree 9 misses nothing and moves most. The cubic has the least sum:
# that is the bias-variance tradeoff of section 4.6.

# %%
degrees, x = (1, 3, 9), onp.linspace(-2, 2, 81)
true_y, fits = underfit_overfit.fit_draws(degrees, x)
print('degree  squared bias  variance    sum')
_, panels = d2l.plt.subplots(1, 3, figsize=(9, 2.5), sharey=True)
for degree, ys, axes in zip(degrees, fits, panels):
    bias, variance = underfit_overfit.bias_and_variance(true_y, ys)
    print(f'{degree:6}{bias:14.3f}{variance:10.3f}{bias + variance:7.3f}')
    d2l.plot(x, [*ys[:20], true_y], 'x', fmts=['c-'] * 20 + ['k--'],
             ylim=[-20, 20], axes=axes)
    axes.set_title(f'degree {degree}')
panels[0].set_ylabel('y')
panels[0].legend(panels[0].lines[-2:], ['20 fits', 'true'])
d2l.save_figure('underfit_overfit_bias_variance')

# %% [markdown]
# ### When a deep network beats a linear model
#
# Softmax regression and the network of section 4.3 learn from the first
# images of Fashion-MNIST, with the same number of steps of Adam. Over ten
# seeds the hidden layer is ahead by 1.7 percent of the test images with 100
# images, 0.7 with 1,000, 2.1 with 4,000 and 2.6 with 16,000, each with a
# standard error of 0.2 at most. So it is ahead with few images, too, and most
# with thousands. (A short run is too short to show it.)

# %%
sizes = (100, 1000, 4000, 16000)
data, num_steps = fashion_mnist.load(), 5 * min(num_epochs, 400) // 2
linear, deep = (underfit_overfit.by_num_images(get_net, data, sizes,
                                               num_steps)
                for get_net in (lambda: nn.Dense(10), mlp_concise.get_net))
print('test acc by number of images\n'
      'images  softmax regression  one hidden layer  difference')
for n, a, b in zip(sizes, linear, deep):
    print(f'{n:6}{a:20.3f}{b:18.3f}{b - a:+12.3f}')
d2l.plot(list(sizes), [linear, deep], 'training images', 'test acc',
         ['softmax regression', 'one hidden layer'], xscale='log',
         figsize=(5, 2.5))
d2l.save_figure('underfit_overfit_by_num_images')
