"""4.2 Implementation of multilayer perceptrons from scratch."""
from mxnet import np, npx

npx.set_np()

num_inputs, num_outputs, num_hiddens = 784, 10, 256


def init_params():
    """Draw W1, b1, W2, b2: weights of scale 0.01, zero biases (4.2.1).

    Float32, (784, 256), (256,), (256, 10), (10,), with gradients attached.
    """
    W1 = np.random.normal(scale=0.01, size=(num_inputs, num_hiddens))
    b1 = np.zeros(num_hiddens)
    W2 = np.random.normal(scale=0.01, size=(num_hiddens, num_outputs))
    b2 = np.zeros(num_outputs)
    params = [W1, b1, W2, b2]
    for param in params:
        param.attach_grad()
    return params


def relu(X):
    """The larger of X and 0, elementwise (4.2.2)."""
    return np.maximum(X, 0)


def net(X, params):
    """The outputs (n, 10) for images `X` of 784 pixels each (4.2.3)."""
    W1, b1, W2, b2 = params
    X = X.reshape(-1, num_inputs)
    H = relu(np.dot(X, W1) + b1)
    return np.dot(H, W2) + b2
