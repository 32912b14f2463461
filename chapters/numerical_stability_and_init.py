# %% [markdown]
# # 4.8 Numerical stability and initialization
# # 数值稳定性和模型初始化
#
# In a network of many layers the gradient of an early weight is a product of
# many matrices, one for each layer above it. Such a product can vanish or
# explode. How the weights are drawn decides whether it does.

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, mlp
from gluon_mlp import numerical_stability_and_init as stability
from mxnet import autograd, init, np, npx

options(stability, '')

# %% [markdown]
# ## Vanishing gradients
#
# The derivative of the sigmoid is at most 1/4, and almost 0 where its input
# is large in either direction. Each layer multiplies the gradient by it.

# %%
x = np.arange(-8.0, 8.0, 0.1)
x.attach_grad()
with autograd.record():
    y = npx.sigmoid(x)
y.backward()
d2l.plot(x, [y, x.grad], 'x', legend=['sigmoid', 'gradient'],
         figsize=(4.5, 2.5))
d2l.save_figure('numerical_stability_and_init_sigmoid')

# %% [markdown]
# ## Exploding gradients
#
# A product of 100 random matrices, with standard normal elements:

# %%
M, product = stability.product_of_matrices(100)
print(f'a single matrix\n{M}\nafter multiplying 100 matrices\n{product}')

# %%
book_ends()  # a script with --book-only ends here

# %% [markdown]
# ## Breaking the symmetry
#
# Hidden units that start with equal weights have equal gradients, so they
# stay equal: the layer is worth a single unit. Gradient descent cannot break
# this symmetry, but dropout can. The classes here are opposite quadrants,
# which a single unit cannot separate.

# %%
X, y = mlp.get_quadrants(200)
print('\ntraining from equal and unequal weights: how the hidden units differ'
      '\nweights   dropout  first gradient  last weight  accuracy')
for name, initializer in (('constant', init.Constant(0.5)),
                          ('random', init.Normal(0.5))):
    for dropout in (0, 0.5):
        result = stability.train_from(initializer, X, y, dropout)
        print('{:9}{:8}{:16.1e}{:13.1e}{:10.3f}'.format(name, dropout,
                                                        *result))

# %% [markdown]
# ## Xavier initialization
#
# A linear layer $o_i = \sum_j w_{ij} x_j$ with independent weights of
# variance $\sigma^2$ multiplies the variance of its inputs by
# $n_\mathrm{in} \sigma^2$, and the variance of the gradients, on their way
# back, by $n_\mathrm{out} \sigma^2$. Both factors cannot be 1 unless the
# layer is as wide as its inputs. Xavier's initialization makes their mean 1:
#
# $$\frac{1}{2} (n_\mathrm{in} + n_\mathrm{out}) \sigma^2 = 1
# \quad \Longleftrightarrow \quad
# \sigma = \sqrt{\frac{2}{n_\mathrm{in} + n_\mathrm{out}}}.$$
#
# A uniform distribution on $(-a, a)$ has the variance $a^2 / 3$, so there
# $a = \sqrt{6 / (n_\mathrm{in} + n_\mathrm{out})}$. Below, all layers have
# 256 units: the factor is $256 \sigma^2$ both ways, and 1 for Xavier.

# %%
initializers = {'sigma 0.01': init.Normal(0.01), 'sigma 1': init.Normal(1),
                'Xavier': init.Xavier()}
for phi in (None, 'tanh'):
    name = phi or 'linear'
    print(f'\nvariance in 50 layers of 256 units, {name}\n'
          'initialization  last activations  gradients at the inputs')
    curves = []
    for label, initializer in initializers.items():
        forward, backward = stability.variances(initializer, phi)
        print(f'{label:14}{forward[-1]:18.2e}{backward[0]:25.2e}')
        curves.append((forward, backward))
    for what, ys in zip(('activations', 'gradients'), zip(*curves)):
        axes = d2l.plot([range(51)] * 3, ys, 'layer', f'variance of {what}',
                        list(initializers), yscale='log',
                        figsize=(5, 2.5))
        axes.set_title(phi or 'no activation function')
        axes.locator_params('y', base=1e40)
        d2l.save_figure(f'numerical_stability_and_init_{name}_{what}')

# %% [markdown]
# ### ReLU and vanishing gradients
#
# All layers are drawn by Xavier's rule now, and the activation functions
# differ. Sigmoid multiplies the variance of the gradients by less than 1/16
# in each layer. ReLU halves it, since it passes half of the gradients whole.
# Weights of twice the variance (He et al., 2015) make up for that. Tanh does
# well with Xavier's weights, because it is nearly linear near 0.

# %%
print('\nvariance in 50 layers of 256 units, by activation\n'
      'activation  last activations  gradients at the inputs')
curves, names = [], ['sigmoid', 'tanh', 'relu', 'relu, twice']
for name in names:
    initializer = init.Xavier(magnitude=6 if 'twice' in name else 3)
    forward, backward = stability.variances(initializer, name.split(',')[0])
    print(f'{name:11}{forward[-1]:17.2e}{backward[0]:25.2e}')
    curves.append(backward)
d2l.plot([range(51)] * 4, curves, 'layer', 'variance of gradients', names,
         yscale='log', figsize=(5, 2.5)).locator_params('y', base=1e20)
d2l.save_figure('numerical_stability_and_init_activations')
