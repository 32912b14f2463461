"""4.1 Multilayer perceptrons: activation functions, and why there are any."""
from mxnet import autograd, np, npx

npx.set_np()


def relu(x):
    """The larger of x and 0, elementwise; its gradient at 0 is 0 (4.1.2)."""
    return npx.relu(x)


def prelu(x, alpha):
    """max(0, x) + alpha min(0, x), elementwise (4.1.2).

    The gradient at 0 is alpha, the left one, as ReLU's is.
    """
    # Not with np.maximum and np.minimum: both pass the gradient on at 0.
    return np.where(x > 0, x, alpha * x)


def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise: from R into (0, 1) (4.1.2)."""
    return npx.sigmoid(x)


def tanh(x):
    """The hyperbolic tangent, elementwise: from R into (-1, 1) (4.1.2)."""
    return np.tanh(x)


def value_and_grad(f, x):
    """f(x) and its derivative at each element of `x`, by `autograd` (4.1.2).

    `f` works elementwise; both results have the shape of `x`.
    """
    x = x.copy()  # a caller's own gradient of x stays as it is
    x.attach_grad()
    with autograd.record():
        y = f(x)
    y.backward()
    return y, x.grad


def forward(X, layers, activation=None):
    """The outputs of affine layers, pairs (W, b), for the rows of X (4.1.1).

    X (n, d); W (inputs, outputs), b (outputs,). `activation` comes between
    the layers, not after the last.
    """
    for i, (W, b) in enumerate(layers):
        if activation and i > 0:
            X = activation(X)
        X = np.dot(X, W) + b
    return X


def as_one_layer(layers):
    """The (W, b) that does what `layers` do without an activation (4.1.1)."""
    W, b = layers[0]
    for W2, b2 in layers[1:]:
        W, b = np.dot(W, W2), np.dot(b, W2) + b2
    return W, b


def get_quadrants(num_examples=400):
    """Draw X (n, 2) uniform in [-1, 1) and y (n, 1): is x_1 x_2 > 0?

    No line parts opposite quadrants: the effect of x_1 turns around with the
    sign of x_2, which a linear model has no way to say (4.1.1).
    """
    X = np.random.uniform(-1, 1, (num_examples, 2))
    return X, (X[:, :1] * X[:, 1:] > 0).astype(X.dtype)


def fit(X, y, num_units, num_steps=2000, lr=0.5):
    """Fit affine layers of these units, ReLU between them, to y (n, 1).

    `num_units` from inputs to outputs: (2, 1) is logistic regression,
    (2, 16, 1) has one hidden layer. By gradient descent on all of X. Returns
    the last step's mean loss and the share classified correctly (4.1.1).
    """
    layers = [(np.random.normal(scale=(2 / m) ** 0.5, size=(m, n)),
               np.zeros(n)) for m, n in zip(num_units, num_units[1:])]
    params = [param for layer in layers for param in layer]
    for param in params:
        param.attach_grad()
    for _ in range(num_steps):
        with autograd.record():
            o = forward(X, layers, relu)
            # log(1 + exp(o)) - y o: the cross-entropy of sigmoid(o) and y.
            l = (npx.activation(o, 'softrelu') - y * o).mean()
        l.backward()
        for param in params:
            param[:] = param - lr * param.grad
    return float(l), float(((o > 0) == (y > 0)).mean())
