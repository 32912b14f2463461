# %% [markdown]
# # 4.9 Environment and distribution shift
# # 环境和分布偏移
#
# A model often meets data from another distribution than it was trained on.
# Two kinds of shift can be corrected without any new label, and a third one
# with some. The book has formulas here and no listings: all code is ours, it
# makes a shift of each kind and corrects it, and `--book-only` leaves nothing
# out.
#
# The training data come from a source distribution $q$, the test data from a
# target distribution $p$. The weights of training examples are $p / q$.

# %%
from gluon_mlp.run.options import options

import numpy as onp
from gluon_mlp import d2l
from gluon_mlp import environment as env
from gluon_mlp.d2l import fashion_mnist
from mxnet import gluon, np
from mxnet.gluon import nn

num_epochs, lr, batch_size = options(env, 'num_epochs, lr, batch_size')
loss = gluon.loss.SoftmaxCrossEntropyLoss()

# %% [markdown]
# ## Covariate shift
#
# The distribution of the inputs changes, and the label of each input stays.
# The true boundary between the two classes is a parabola here. A linear model
# cannot follow it everywhere, so it depends on where its inputs were.

# %%
X, y = env.covariate_data(env.mean_train, 1000)
X_test, y_test = env.covariate_data(env.mean_test, 1000)

# %% [markdown]
# The risk is the expected loss on the test distribution, and the empirical
# risk is its mean over the training examples. With the weights
# $\beta(\mathbf{x}) = p(\mathbf{x}) / q(\mathbf{x})$ these stand for the test
# distribution:
#
# $$\min_f \; \frac{1}{n} \sum_{i=1}^n \beta(\mathbf{x}_i) \,
# l(f(\mathbf{x}_i), y_i).$$
#
# A classifier estimates the weights. It learns to tell test inputs from
# training inputs, by logistic regression on as many of both:
#
# $$P(\text{test} \mid \mathbf{x}) =
# \frac{1}{1 + \exp(-h(\mathbf{x}))}
# \quad \Longrightarrow \quad
# \beta(\mathbf{x}) = \frac{P(\text{test} \mid \mathbf{x})}
# {P(\text{train} \mid \mathbf{x})} = \exp(h(\mathbf{x})).$$

# %%
h = env.train_domain_classifier(X, X_test, num_epochs, lr, batch_size)
beta = env.covariate_weights(h, X)

# %% [markdown]
# Training with equal weights and with these. The fewer examples carry the
# weight, the smaller is the effective sample size.

# %%
before = env.train_weighted(nn.Dense(2), X, y, np.ones(1000), loss,
                            num_epochs, lr, batch_size)
after = env.train_weighted(nn.Dense(2), X, y, beta, loss, num_epochs, lr,
                           batch_size)
print(f'covariate shift, test acc: {env.evaluate(before, X_test, y_test):.3f}'
      f', weighted {env.evaluate(after, X_test, y_test):.3f}')
print('effective sample size after weighting: '
      f'{env.effective_size(beta):.0f} of {len(X)}')

# %%
x = onp.linspace(-4, 4, 81)
axes = d2l.plot([X[:300, 0], X_test[:300, 0], x, x, x],
                [X[:300, 1], X_test[:300, 1], env.true_boundary(x),
                 env.boundary(before, x), env.boundary(after, x)],
                '$x_1$', '$x_2$', xlim=[-4, 4], ylim=[-3, 3],
                fmts=['.', 'm.', 'k:', 'r--', 'g-'], figsize=(5, 2.5))
axes.legend(['train', 'test', 'true boundary', 'learned', 'weighted'],
            loc='center left', bbox_to_anchor=(1, 0.5))  # beside the points
d2l.save_figure('environment_covariate_shift')

# %% [markdown]
# ## Label shift
#
# The shares of the classes change, and each class looks as before. In the
# training data all ten classes of Fashion-MNIST have the same share $q(y)$.
# In the test data half of the images are shirts, class 6.

# %%
data = fashion_mnist.load()
q, p = [0.1] * 10, onp.array([1] * 6 + [9] + [1] * 3) / 18
rows = env.draw_with_labels(data.train_labels, q, 6000)
X, X_valid = onp.split(data.train_images[rows], [4000])
y, y_valid = onp.split(data.train_labels[rows], [4000])
rows = env.draw_with_labels(data.test_labels, p, 1000)
X_test, y_test = data.test_images[rows], data.test_labels[rows]

# %% [markdown]
# The confusion matrix $\mathbf{C}$ of a trained classifier says which share
# of class $j$ it takes for class $i$. It is measured on validation data. On
# the test data only the share $\mu_i$ of each prediction is known, and that
# gives the shares of the classes:
#
# $$\mathbf{C} \, p(\mathbf{y}) = \boldsymbol{\mu}
# \quad \Longrightarrow \quad
# p(\mathbf{y}) = \mathbf{C}^{-1} \boldsymbol{\mu},
# \qquad \beta_i = \frac{p(y_i)}{q(y_i)}.$$

# %%
before = env.train_weighted(nn.Dense(10), X, y, np.ones(4000), loss,
                            num_epochs, lr, batch_size)
p_hat = env.estimate_test_labels(before, X_valid, y_valid, X_test, 10)
beta = env.label_weights(y, p_hat)

# %% [markdown]
# Training once more, with these weights:

# %%
after = env.train_weighted(nn.Dense(10), X, y, beta, loss, num_epochs, lr,
                           batch_size)
print(f'label shift, test acc: {env.evaluate(before, X_test, y_test):.3f}, '
      f'weighted {env.evaluate(after, X_test, y_test):.3f}')
labels = d2l.get_fashion_mnist_labels(range(10))
for label, share, estimate in zip(labels, p, p_hat):
    print(f'{label:10} share {share:.3f}, estimated {estimate:.3f}')
x = onp.arange(10)
axes = d2l.plot([x - 0.25, x, x + 0.25], [q, p, p_hat], ylabel='share',
                legend=['train', 'test', 'test, estimated'],
                fmts=['s', 'm^', 'go'], figsize=(5, 2.5))
axes.set_xticks(x, labels, rotation=45, ha='right')
d2l.save_figure('environment_label_shift')

# %% [markdown]
# ## Concept shift
#
# The labels of the same inputs change their meaning, here in small steps: the
# line between two classes turns by 10 degrees each time. No weights help
# against it, but a network can follow with a few new examples, as long as
# the shift is slow. It goes on from the weights that it has, and lags a few
# turns behind.

# %%
turns, few = onp.radians(range(0, 181, 10)), 50
X, y = env.concept_data(0, 1000)
old, new = (env.train_weighted(nn.Dense(2), X, y, np.ones(1000), loss,
                               num_epochs, lr, batch_size) for _ in range(2))
accs = []
for angle in turns:
    X_test, y_test = env.concept_data(angle, 1000)
    accs.append([env.evaluate(net, X_test, y_test) for net in (old, new)])
    X, y = env.concept_data(angle, few)
    env.train_on(new, X, y, np.ones(few), loss, num_epochs, lr, few)
print(f'concept shift, the line turns by 10 degrees, {few} new examples each '
      'time\n  degrees  old acc  new acc')
for degrees in (0, 30, 90, 180):
    print('  {:7}{:9.3f}{:9.3f}'.format(degrees, *accs[degrees // 10]))
d2l.plot([range(0, 181, 10)] * 2, [*zip(*accs)], 'degrees', 'test acc',
         ['trained once', 'goes on training'], figsize=(5, 2.5))
d2l.save_figure('environment_concept_shift')

# %% [markdown]
# ## Kinds of learning problems
#
# All of this was *batch* learning: train once, then predict. In *online*
# learning each prediction is followed by its true label and an update, as
# above. A *bandit* has a few actions to choose from and sees the outcome of
# the chosen one alone. In *control* the environment reacts to what we did
# before, and in *reinforcement learning* it has a memory, and perhaps goals
# of its own. The more an environment reacts, the less a test set from before
# says about the model once it is in use.
#
# ## What accuracy leaves out
#
# A model in use makes decisions. A mistake on some people may cost more than
# one on others, a group that the data lack is served worst, and decisions
# may produce the data that confirm them. One number over all test examples
# shows none of this: measure each group by itself, and put costs on errors.
