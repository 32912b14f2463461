# %% [markdown]
# # 4.1 Multilayer perceptrons
# # 多层感知机
#
# Softmax regression maps the inputs to the outputs by a single affine
# function, $\mathbf{O} = \mathbf{X} \mathbf{W} + \mathbf{b}$. A larger pixel
# value then always raises an output or always lowers it, whatever the other
# pixels are. This section puts a hidden layer in between.

# %%
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, mlp
from mxnet import np

alpha, = options(mlp, 'alpha')

# %% [markdown]
# ## Hidden layers
#
# All layers of a multilayer perceptron but the last compute a representation
# of the inputs, and the last one is a linear model on top of it. The first
# network below is softmax regression with four inputs and three outputs. The
# second one has a hidden layer of five units. Its two layers of weights are
# both fully connected.

# %%
d2l.draw_network([('x', 4), ('o', 3)])
d2l.save_figure('mlp_softmax_regression')
d2l.draw_network([('x', 4), ('h', 5), ('o', 3)])
d2l.save_figure('mlp_one_hidden_layer')

# %% [markdown]
# An affine function of an affine function is affine again, so a hidden layer
# alone gains nothing. What makes the difference is a nonlinear activation
# function $\sigma$, applied to each element of the hidden layer. From the
# weighted sum of its inputs and its bias it decides how active a unit is. It
# has to have a derivative, or nearly, and no unit needs to know the others:
#
# $$\mathbf{H} = \sigma(\mathbf{X} \mathbf{W}^{(1)} + \mathbf{b}^{(1)}),
# \qquad
# \mathbf{O} = \mathbf{H} \mathbf{W}^{(2)} + \mathbf{b}^{(2)}.$$
#
# ## ReLU
#
# The rectified linear unit keeps what is positive and replaces the rest by
# zero: $\mathrm{ReLU}(x) = \max(x, 0)$. It consists of two straight lines.

# %%
x = np.arange(-8.0, 8.0, 0.1)
y, grad = mlp.value_and_grad(mlp.relu, x)
d2l.plot(x, y, 'x', 'relu(x)', figsize=(5, 2.5))
d2l.save_figure('mlp_relu')

# %% [markdown]
# Its derivative is 0 on the left and 1 on the right. ReLU has no derivative
# at 0, where we take the one from the left, 0. This seldom matters, because
# a weighted sum of real data is hardly ever exactly 0. So a unit either
# passes the whole gradient on or none of it.

# %%
d2l.plot(x, grad, 'x', 'grad of relu', figsize=(5, 2.5))
d2l.save_figure('mlp_grad_of_relu')

# %% [markdown]
# ## Sigmoid
#
# The sigmoid function squashes all real numbers into the interval (0, 1):
#
# $$\mathrm{sigmoid}(x) = \frac{1}{1 + \exp(-x)}.$$
#
# It is a smooth version of the threshold unit, which jumps from 0 to 1 and
# has no gradient to learn from.

# %%
y, grad = mlp.value_and_grad(mlp.sigmoid, x)
d2l.plot(x, y, 'x', 'sigmoid(x)', figsize=(5, 2.5))
d2l.save_figure('mlp_sigmoid')

# %% [markdown]
# Its derivative is $\mathrm{sigmoid}(x) (1 - \mathrm{sigmoid}(x))$. The
# largest value is 0.25, at 0; far from 0 it vanishes on both sides.

# %%
d2l.plot(x, grad, 'x', 'grad of sigmoid', figsize=(5, 2.5))
d2l.save_figure('mlp_grad_of_sigmoid')

# %% [markdown]
# ## Tanh
#
# The hyperbolic tangent has the shape of the sigmoid, but it maps to
# (-1, 1) and is symmetric about the origin:
#
# $$\tanh(x) = \frac{1 - \exp(-2x)}{1 + \exp(-2x)}.$$

# %%
y, grad = mlp.value_and_grad(mlp.tanh, x)
d2l.plot(x, y, 'x', 'tanh(x)', figsize=(5, 2.5))
d2l.save_figure('mlp_tanh')

# %% [markdown]
# Its derivative, $1 - \tanh^2(x)$, is 1 at 0 and vanishes far from it.

# %%
d2l.plot(x, grad, 'x', 'grad of tanh', figsize=(5, 2.5))
d2l.save_figure('mlp_grad_of_tanh')

# %%
book_ends()  # a script with --book-only ends here

# %% [markdown]
# ## Beyond the listings
#
# ### pReLU
#
# The parameterized ReLU lets a share $\alpha$ of a negative input through:
# $\mathrm{pReLU}(x) = \max(0, x) + \alpha \min(0, x)$.

# %%
y, grad = mlp.value_and_grad(lambda x: mlp.prelu(x, alpha), x)
d2l.plot(x, y, 'x', 'prelu(x)', [f'alpha = {alpha:g}'],
         figsize=(5, 2.5))
d2l.save_figure('mlp_prelu')
d2l.plot(x, grad, 'x', 'grad of prelu', [f'alpha = {alpha:g}'],
         figsize=(5, 2.5))
d2l.save_figure('mlp_grad_of_prelu')

# %% [markdown]
# ### The four functions in numbers

# %%
for name, f in (('relu', mlp.relu),
                ('prelu', lambda x: mlp.prelu(x, alpha)),
                ('sigmoid', mlp.sigmoid), ('tanh', mlp.tanh)):
    y, grad = mlp.value_and_grad(f, x)
    largest = int(grad.argmax())
    print(f'{name}: values from {float(y.min()):.4f} to '
          f'{float(y.max()):.4f}; the largest gradient is '
          f'{float(grad[largest]):.4f}, at x = {float(x[largest]):.1f}')

# %% [markdown]
# ### Close to a line, and close to a softmax
#
# Near 0 sigmoid is close to the line $1/2 + x/4$, and tanh to $x$. Sigmoid is
# also the softmax of two classes whose outputs are $x$ and 0.

# %%
for most in (0.5, 1, 2):
    near = np.linspace(-most, most, 101)
    print(f'for x from {-most:g} to {most:g} the line at 0 is off by at most:'
          + ','.join(f' {name} {float(abs(f(near) - line).max()):.4f}'
                     for name, f in (('sigmoid', mlp.sigmoid),
                                     ('tanh', mlp.tanh))
                     for line in [mlp.tangent(f, near)]))
difference = abs(mlp.sigmoid(x) - mlp.sigmoid_by_softmax(x)).max()
print('sigmoid(x) is the softmax of (x, 0) up to '
      f'{float(difference):.1g}')

# %% [markdown]
# ### What a hidden layer costs
#
# A fully connected layer has a weight for each pair of an input and an
# output. That is much even for the small images of this chapter, and out of
# the question for large ones. Fewer parameters can do as well if layers
# share some of them. Zhang et al. (2021) build weight matrices from small
# ones by Kronecker products, and so need a fraction. Chapter 6 of the book
# shares them between the places of an image.

# %%
for what, num_units in (
        ('softmax regression, 28 x 28', (784, 10)),
        ('256 hidden units, 28 x 28', (784, 256, 10)),
        ('twice 256 hidden units, 28 x 28', (784, 256, 256, 10)),
        ('256 hidden units, 1000 x 1000, colours', (3000000, 256, 10))):
    print(f'{mlp.num_params(num_units):11,} parameters: {what}')

# %% [markdown]
# ### Affine layers in a row are one affine layer
#
# Multiplying out two layers without an activation between them gives
#
# $$(\mathbf{X} \mathbf{W}^{(1)} + \mathbf{b}^{(1)}) \mathbf{W}^{(2)} +
# \mathbf{b}^{(2)} = \mathbf{X} \mathbf{W}^{(1)} \mathbf{W}^{(2)} +
# (\mathbf{b}^{(1)} \mathbf{W}^{(2)} + \mathbf{b}^{(2)}).$$
#
# The outputs agree up to rounding, and with ReLU they do not.

# %%
X = np.random.normal(0, 1, (1000, 4))
layers = [(np.random.normal(0, 1, (4, 5)), np.random.normal(0, 1, 5)),
          (np.random.normal(0, 1, (5, 3)), np.random.normal(0, 1, 3))]
O = mlp.forward(X, [mlp.as_one_layer(layers)])
print('Affine layers 4-5-3 against one affine layer 4-3, on 1000 inputs:')
for name, activation in (('no activation', None), ('ReLU', mlp.relu)):
    difference = abs(mlp.forward(X, layers, activation) - O)
    print(f'  {name} between them: outputs differ by at most '
          f'{float(difference.max()):.2g}')

# %% [markdown]
# ### What a linear model cannot learn
#
# The label is 1 in two opposite quadrants of the plane and 0 in the other
# two. No line separates them, but 16 hidden units with ReLU do.

# %%
X, y = mlp.get_quadrants()
for num_units in ((2, 1), (2, 16, 1)):
    print('Opposite quadrants, layers {}: loss {:.3f}, accuracy {:.3f}'
          .format(num_units, *mlp.fit(X, y, num_units)))
