"""4.1 Multilayer perceptrons: activation functions, and why we need them."""
from mxnet import autograd, np, npx

npx.set_np()

alpha = 0.25  # the slope of pReLU below zero


def relu(x):
    """max(x, 0), elementwise; the gradient at 0 is 0 (4.1.2)."""
    return npx.relu(x)


def prelu(x, alpha=alpha):
    """max(0, x) + alpha min(0, x), elementwise (4.1.2).

    The gradient at 0 is alpha, the one from the left, as for ReLU.
    """
    # np.maximum and np.minimum would both pass the gradient on at 0.
    return np.where(x > 0, x, alpha * x)


def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise; it maps R to (0, 1) (4.1.2)."""
    return npx.sigmoid(x)


def tanh(x):
    """The hyperbolic tangent, elementwise; it maps R to (-1, 1) (4.1.2)."""
    return np.tanh(x)


def value_and_grad(f, x):
    """f(x) and its derivative at each element of `x`, by `autograd` (4.1.2).

    `f` works elementwise. Both results have the shape of `x`.
    """
    x = x.copy()  # so the caller's x.grad does not change
    x.attach_grad()
    with autograd.record():
        y = f(x)
    y.backward()
    return y, x.grad


def tangent(f, x):
    """The line that touches `f` at 0, at each element of `x` (4.1.2)."""
    y, slope = value_and_grad(f, np.zeros(1))
    return y + slope * x


def sigmoid_by_softmax(x):
    """The softmax of the pair (x, 0), of which it gives the first (4.1.2).

    It is exp(x) / (exp(x) + 1), so the sigmoid: two classes need one output.
    """
    return npx.softmax(np.stack([x, np.zeros_like(x)], axis=-1))[..., 0]


def num_params(num_units):
    """How many weights and biases dense layers have (4.1.1).

    `num_units` are the widths from input to output.
    """
    return sum((m + 1) * n for m, n in zip(num_units, num_units[1:]))


def forward(X, layers, activation=None):
    """Apply affine layers, pairs (W, b), to the rows of X (4.1.1).

    X (n, d), W (inputs, outputs), b (outputs,). The `activation` is applied
    between the layers, not after the last one.
    """
    for i, (W, b) in enumerate(layers):
        if activation and i > 0:
            X = activation(X)
        X = np.dot(X, W) + b
    return X


def as_one_layer(layers):
    """The one affine layer (W, b) that equals several in a row (4.1.1)."""
    W, b = layers[0]
    for W2, b2 in layers[1:]:
        W, b = np.dot(W, W2), np.dot(b, W2) + b2
    return W, b


def get_quadrants(num_examples=400):
    """Draw X (n, 2), uniform in [-1, 1), and labels y (n, 1): is x_1 x_2 > 0?

    The sign of x_2 decides whether a larger x_1 makes the label 1 or 0. A
    linear model cannot express this: no line separates opposite quadrants
    from the other two (4.1.1).
    """
    X = np.random.uniform(-1, 1, (num_examples, 2))
    return X, (X[:, :1] * X[:, 1:] > 0).astype(X.dtype)


def fit(X, y, num_units, num_steps=2000, lr=0.5):
    """Fit affine layers with ReLU between them to labels y (n, 1) (4.1.1).

    `num_units` are the widths from input to output: (2, 1) is logistic
    regression, (2, 16, 1) has one hidden layer. Each step of gradient descent
    takes all of X. Returns the mean loss at the last step and the share of
    the examples that are classified correctly.
    """
    layers = [(np.random.normal(scale=(2 / m) ** 0.5, size=(m, n)),
               np.zeros(n)) for m, n in zip(num_units, num_units[1:])]
    params = [param for layer in layers for param in layer]
    for param in params:
        param.attach_grad()
    for _ in range(num_steps):
        with autograd.record():
            o = forward(X, layers, relu)
            # The cross-entropy of sigmoid(o) and y: log(1 + exp(o)) - y o.
            l = (npx.activation(o, 'softrelu') - y * o).mean()
        l.backward()
        for param in params:
            param[:] = param - lr * param.grad
    return float(l), float(((o > 0) == (y > 0)).mean())
