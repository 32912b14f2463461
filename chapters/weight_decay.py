# %% [markdown]
# # 4.5 Weight decay
# # 权重衰减
#
# Weight decay keeps a model simple by keeping its weights small. Half of
# their squared L2 norm, times a factor $\lambda$, is added to the loss:
#
# $$L(\mathbf{w}, b) + \frac{\lambda}{2} \|\mathbf{w}\|^2.$$
#
# The gradient of the penalty is $\lambda \mathbf{w}$. A step of SGD at the
# learning rate $\eta$ therefore first shrinks the weights, and then does what
# it would do without the penalty:
#
# $$\mathbf{w} \leftarrow (1 - \eta \lambda) \mathbf{w} -
# \eta \, \partial_\mathbf{w} L(\mathbf{w}, b).$$

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, weight_decay
from mxnet import np

lambd, num_epochs, lr, batch_size = options(
    weight_decay, 'lambd, num_epochs, lr, batch_size')

# %% [markdown]
# ## Data
#
# The label is a linear function of 200 inputs with little noise:
#
# $$y = 0.05 + \sum_{i=1}^{200} 0.01 \, x_i + \epsilon, \qquad
# \epsilon \sim \mathcal{N}(0, 0.01^2).$$
#
# With only 20 examples for training, a linear model can fit all of them
# exactly without coming near the true weights.

# %%
train_iter, test_iter = weight_decay.load_data(batch_size=batch_size)

# %% [markdown]
# ## From scratch
#
# First without the penalty, then with it. Without it the training loss
# vanishes while the test loss stays high. With it the training loss is
# larger, and the test loss is far smaller. The bias is not penalized.

# %%
for decay in (0, lambd):
    norm, history = weight_decay.train(decay, train_iter, test_iter,
                                       num_epochs=num_epochs, lr=lr)
    print(f'from scratch, lambd = {decay:g}: each step multiplies w by '
          f'{1 - lr * decay:.4g} first')
    print('  train loss {:.4g}, test loss {:.4g}'.format(*history[-1][1:]))
    print(f'  L2 norm of w: {norm:.4f}')
    d2l.save_figure(f'weight_decay_scratch_{decay:g}')

# %% [markdown]
# ## Concise
#
# Gluon's optimizers do it themselves: they take $\lambda$ as `wd`, add
# $\lambda \mathbf{w}$ to the gradient, and work with any loss.

# %%
for wd in (0, lambd):
    norm, history = weight_decay.train_concise(wd, train_iter, test_iter,
                                               num_epochs, lr)
    print(f'concise, wd = {wd:g}')
    print('  train loss {:.4g}, test loss {:.4g}'.format(*history[-1][1:]))
    print(f'  L2 norm of w: {norm:.4f}')
    d2l.save_figure(f'weight_decay_concise_{wd:g}')

# %%
book_ends()

# %% [markdown]
# ## Beyond the listings
#
# ### Noise on the inputs acts as weight decay
#
# Adding noise of scale $\sigma$ to the inputs of linear regression adds
# $\sigma^2 \|\mathbf{w}\|^2$ to its expected squared error (Bishop, 1995). So
# training with the noise finds the weights of an L2 penalty with
# $\lambda = \sigma^2$.

# %%
sigma = 0.5
X = np.random.normal(size=(50, 3))
y = np.dot(X, np.array([1, -2, 3])) + np.random.normal(size=50)
X, y = X.asnumpy().astype(float), y.asnumpy().astype(float)
print(f'linear regression, input noise of scale {sigma}: w of')
for name, w in (
        ('least squares', weight_decay.tikhonov(X, y, 0)),
        (f'L2 penalty, lambd={sigma ** 2}',
         weight_decay.tikhonov(X, y, sigma ** 2)),
        ('trained with the noise',
         weight_decay.train_with_input_noise(X, y, sigma, 5000))):
    print(f'  {name:22} {w.round(3)}')

# %% [markdown]
# ### A step on the penalized loss is the decayed step
#
# One batch, one step: both ways to the new weights agree up to rounding.

# %%
X, y = next(iter(train_iter))
w, _ = weight_decay.init_params(X.shape[1])
w, by_formula = weight_decay.step_both_ways(w, X, y, lr, lambd)
print('one step on loss + penalty, and (1 - lr * lambd) * w - lr * grad:\n'
      f'  w up to {float(abs(w).max()):.3f}, they differ by at most '
      f'{float(abs(w - by_formula).max()):.1g}')
