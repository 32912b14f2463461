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

import numpy as onp
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
# $\lambda \mathbf{w}$ to the gradient, and work with any loss. They have to
# touch each parameter anyway, and decay needs only its current value.

# %%
for wd in (0, lambd):
    norm, history = weight_decay.train_concise(wd, train_iter, test_iter,
                                               num_epochs, lr)
    print(f'concise, wd = {wd:g}')
    print('  train loss {:.4g}, test loss {:.4g}'.format(*history[-1][1:]))
    print(f'  L2 norm of w: {norm:.4f}')
    d2l.save_figure(f'weight_decay_concise_{wd:g}')

# %%
book_ends()  # a script with --book-only ends here

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

# %% [markdown]
# ### Concise against from scratch, in time
#
# Three trainings take turns: from scratch, concise, and concise with decay.
# The concise ones should be faster, as Gluon compiles network and loss, and
# an update is a single operator. That operator multiplies by the decay even
# where it is 0, so decay should cost nothing. The times are those of this
# machine; beside other work they scatter too much to show it.

# %%
few = min(num_epochs, 20)
print('milliseconds an epoch: median, least and most of 7')
for name, ms in zip(
        ('from scratch, lambd = 3', 'concise, wd = 0', 'concise, wd = 3'),
        weight_decay.time_trainings(train_iter, test_iter, few)):
    print(f'  {name:24}{onp.median(ms):7.2f} '
          f'({min(ms):.2f} to {max(ms):.2f})')

# %% [markdown]
# ### Small weights, small capacity
#
# All models here have 200 weights. How much of labels that are pure noise can
# they fit, if a penalty keeps the weights small? Without it all of the noise,
# with it less and less. So the size of the weights is capacity, too, and
# $\lambda$ sets it continuously. A choice of features would do it in steps.

# %%
X = onp.random.normal(size=(20, 200))
rows = [weight_decay.noise_fitted(X, penalty)
        for penalty in (0.001, 1, 10, 100, 1000)]
print('20 labels of pure noise, 200 inputs\nlambd    norm of w  noise fitted')
for penalty, (share, norm) in zip((0.001, 1, 10, 100, 1000), rows):
    print(f'{penalty:<9g}{norm:9.4f}{share:13.1%}')

# %% [markdown]
# ### Beyond linear functions
#
# The norm of $\mathbf{w}$ says how simple a linear function is. What a simple
# nonlinear one is, is harder to say. In a reproducing kernel Hilbert space
# such functions have a norm, too, and the best one with a penalty is a sum of
# $n$ kernels, one for each training example. To find it takes the $n \times
# n$ matrix of all kernels: memory in $n^2$ and time in $n^3$. For the 60,000
# images of Fashion-MNIST these are 29 GB and days, and so nobody does it for
# large data. In a deep network we simply decay the weights of all layers.
