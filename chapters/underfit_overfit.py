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

from gluon_mlp import d2l, underfit_overfit

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
book_ends()

# %% [markdown]
# ## Beyond the listings
#
# ### Choosing the degree by K-fold cross-validation
#
# The training examples are split into $K$ folds. Each fold serves once for
# validation, after a fit to the other $K - 1$, and the losses are averaged.
#
# Here each fit is exact (least squares). SGD with degree 19 above stopped
# long before the exact solution, because the loss is nearly flat along most
# directions. That is why its test loss is small compared with the validation
# losses of high degrees in this table.

# %%
k = 5
chosen, rows = underfit_overfit.choose_degree(k, poly_features[:n_train],
                                              train_labels)
print(f'{k}-fold cross-validation on {n_train} examples, by least squares\n'
      '(SGD with degree 19 above stopped long before such an exact fit)\n'
      'degree  train loss  valid loss')
for degree, train_loss, valid_loss in rows:
    print(f'{degree:6}  {train_loss:10.4g}  {valid_loss:10.4g}'
          + '  <- chosen' * (degree == chosen))
degrees, *losses = zip(*rows)
d2l.plot(list(degrees), losses, 'degree', 'loss', ['train', 'valid'],
         yscale='log').set_xticks(degrees)
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
d2l.plot(list(sizes), losses, 'training examples', 'loss', ['train', 'test'],
         xscale='log')
d2l.save_figure('underfit_overfit_gap')
