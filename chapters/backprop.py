# %% [markdown]
# # 4.7 Forward propagation, backward propagation, and computational graphs
# # 前向传播、反向传播和计算图
#
# Everywhere else `autograd` computes the gradients. Here the chain rule does
# it by hand, for a network with one hidden layer, no biases and an L2
# penalty. The book gives the formulas; all code of this section is ours.

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import backprop, d2l
from mxnet import np

options(backprop, '')

# %% [markdown]
# ## Computational graph
#
# Squares are variables and circles are operators. Forward propagation starts
# at the lower left, follows the arrows, and ends with the objective $J$.

# %%
d2l.draw_computational_graph(backprop.VARIABLES, backprop.OPERATORS)
d2l.save_figure('backprop_graph')

# %% [markdown]
# ## Forward propagation
#
# The network maps an example $\mathbf{x}$ to the outputs
#
# $$\mathbf{z} = \mathbf{W}^{(1)} \mathbf{x}, \qquad
# \mathbf{h} = \phi(\mathbf{z}), \qquad
# \mathbf{o} = \mathbf{W}^{(2)} \mathbf{h}.$$
#
# The objective adds the loss of this example and the penalty on the weights:
#
# $$L = l(\mathbf{o}, y), \qquad
# s = \frac{\lambda}{2} \left( \|\mathbf{W}^{(1)}\|_F^2
# + \|\mathbf{W}^{(2)}\|_F^2 \right), \qquad J = L + s.$$
#
# $\phi$ is ReLU and $l$ is the cross-entropy. The numbers are float64, which
# the finite differences below need.

# %%
num_inputs, num_hiddens, num_outputs, lambd = 4, 5, 3, 0.1
x = np.random.normal(size=num_inputs, dtype='float64')
W1 = np.random.normal(size=(num_hiddens, num_inputs), dtype='float64')
W2 = np.random.normal(size=(num_outputs, num_hiddens), dtype='float64')
y = 0
values = backprop.forward(x, y, W1, W2, lambd)
for name, value in values._asdict().items():
    print(f'{name} = {value}')

# %% [markdown]
# ## Backward propagation
#
# The gradients come in the opposite order, each from those before it:
#
# $$\frac{\partial J}{\partial L} = \frac{\partial J}{\partial s} = 1, \qquad
# \frac{\partial J}{\partial \mathbf{o}} =
# \frac{\partial L}{\partial \mathbf{o}}, \qquad
# \frac{\partial J}{\partial \mathbf{W}^{(2)}} =
# \frac{\partial J}{\partial \mathbf{o}} \mathbf{h}^\top
# + \lambda \mathbf{W}^{(2)},$$
#
# $$\frac{\partial J}{\partial \mathbf{h}} =
# {\mathbf{W}^{(2)}}^\top \frac{\partial J}{\partial \mathbf{o}}, \qquad
# \frac{\partial J}{\partial \mathbf{z}} =
# \frac{\partial J}{\partial \mathbf{h}} \odot \phi'(\mathbf{z}), \qquad
# \frac{\partial J}{\partial \mathbf{W}^{(1)}} =
# \frac{\partial J}{\partial \mathbf{z}} \mathbf{x}^\top
# + \lambda \mathbf{W}^{(1)}.$$
#
# Two other ways to compute them have to agree: `autograd`, and differences
# of $J$ for small changes of each element.

# %%
gradients = backprop.backward(x, y, W1, W2, lambd, values)
functions = backprop.partial_functions(x, y, W1, W2, lambd)
print('\nlargest difference of the chain rule from:\n'
      'gradient  shape   its norm  autograd  finite differences')
for name, grad, (f, a) in zip(gradients._fields, gradients, functions):
    by_autograd = abs(grad - backprop.autograd_gradient(f, a)).max()
    numeric = abs(grad.asnumpy() - backprop.finite_differences(f, a)).max()
    norm = float(np.linalg.norm(grad))
    print(f'dJ/d{name:5} {str(grad.shape):7}{norm:9.4f}'
          f'{float(by_autograd):10.1e}{numeric:10.1e}')

# %%
book_ends()  # a script with --book-only ends here

# %% [markdown]
# ## The memory of training
#
# The backward propagation needs the intermediate values of the forward one.
# Training has to keep them, and prediction does not, so training takes more
# memory. By the book's account that grows with the number of layers and with
# the batch size. Here is the peak memory for dense layers of 256 units.

# %%
layers, batch_sizes = (1, 2, 4, 8, 16), (64, 128, 256, 512)
by_layers = [backprop.memory(n, 256) for n in layers]
by_batch_size = [backprop.memory(8, n) for n in batch_sizes]
cases = [*((n, 256) for n in layers), *((8, n) for n in batch_sizes)]
print('\npeak memory in MB (layers of 256 units)\n'
      'layers  batch size  prediction  training')
for case, (predict, train) in zip(cases, by_layers + by_batch_size):
    print('{:6}{:12}{:12.2f}{:10.2f}'.format(*case, predict / 1e6,
                                             train / 1e6))

# %%
for name, xs, ys in (('layers', layers, by_layers),
                     ('batch size', batch_sizes, by_batch_size)):
    curves = [[y / 1e6 for y in curve] for curve in zip(*ys)]
    d2l.plot([xs, xs], curves, name, 'memory, MB',
             ['prediction', 'training'], ylim=[0, None], fmts=['o-', 'ms--'],
             figsize=(5, 2.5))
    d2l.save_figure('backprop_memory_' + name.replace(' ', '_'))
