"""PyTorch as the rival: data in memory, the same batches and statistics.

Its process imports no MXNet, so the constants of a network come as
arguments: the `sizes` of its layers, the `dropouts` between them, and `lr`.
Each function returns what to time, and what waits for its end.
"""
import os
import time

import numpy as np

from ..d2l import fashion_mnist
from ..machine import compat

EVALUATED = 2048  # test images at once, as in our code


def _torch(device):
    """PyTorch with as many threads as ours, its device, and its waiting."""
    os.environ.pop('GOMP_SPINCOUNT', None)
    import torch
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS')
                              or os.environ.get('MXNET_OMP_MAX_THREADS')
                              or compat.usable_processors()))
    torch.manual_seed(0)
    if device == 'gpu' and not torch.cuda.is_available():
        raise RuntimeError('this PyTorch has no GPU')
    wait = torch.cuda.synchronize if device == 'gpu' else (lambda: None)
    return torch, torch.device('cuda' if device == 'gpu' else 'cpu'), wait


def epoch(network, batch_size, compiled, device='cpu'):
    """One epoch, training and evaluation; gives the test accuracy.

    `network` has the arguments of `network_of`, and `lr`.
    """
    torch, place, wait = _torch(device)
    found = fashion_mnist.load()
    # On the CPU they share the memory of NumPy's arrays.
    X, X_test = (torch.from_numpy(images.reshape(-1, 784)).to(place)
                 for images in (found.train_images, found.test_images))
    y, y_test = (torch.from_numpy(labels).to(place).long()
                 for labels in (found.train_labels, found.test_labels))
    net, train = _trainer(torch, compiled, place, **network)

    def run():
        order = torch.tensor(np.random.permutation(len(X)), device=place)
        train(X, y, order.split(batch_size))
        with torch.no_grad():
            net.eval()
            correct = sum((net(a).argmax(1) == b).sum() for a, b in zip(
                X_test.split(EVALUATED), y_test.split(EVALUATED)))
            return {'accuracy': float(correct) / len(y_test)}
    return run, wait


def _trainer(torch, compiled, place, lr, **network):
    """The network, and a function that trains it on batches."""
    net = network_of(**network).to(place)
    optimizer = torch.optim.SGD(net.parameters(), lr, fused=True)

    def forward(X, y):
        y_hat = net(X)
        l = torch.nn.functional.cross_entropy(y_hat, y)
        return l, l.detach() * len(y), (y_hat.argmax(1) == y).sum()

    if compiled:
        forward = torch.compile(forward, dynamic=False)

    def train(X, y, batches):
        net.train()
        sums = []
        for batch in batches:
            l, *statistics = forward(X[batch], y[batch])
            optimizer.zero_grad()
            l.backward()
            optimizer.step()
            sums.append(torch.stack(statistics))
        return (sum(sums) / sum(map(len, batches))).tolist()
    return net, train


def network_of(sizes, dropouts, scratch):
    """A network of the chapter: of layers, or of operations on parameters.

    `dropouts` is empty, or has a probability for each hidden layer.
    """
    from torch import nn
    layers = [nn.Linear(*size) for size in zip(sizes, sizes[1:])]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    if scratch:
        return _scratch(layers, dropouts)
    modules = [layers[0]]
    for i, layer in enumerate(layers[1:]):
        modules += [nn.ReLU(), *map(nn.Dropout, dropouts[i:i + 1]), layer]
    return nn.Sequential(*modules)


def _scratch(layers, dropouts):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.params = torch.nn.ParameterList(
                p for layer in layers
                for p in (layer.weight.T.contiguous(), layer.bias))

        def forward(self, X):
            W, b, *params = self.params
            H = X @ W + b
            for i, (W, b) in enumerate(zip(params[::2], params[1::2])):
                H = torch.relu(H)
                if dropouts and self.training:
                    mask = torch.rand_like(H) > dropouts[i]
                    H = mask * H / (1 - dropouts[i])
                H = H @ W + b
            return H
    return Net()


def products(shapes, num_repeats):
    """The products of `ours.products`, in PyTorch."""
    torch, _, wait = _torch('cpu')
    pairs = {}
    for name, (m, k, n, transposed) in shapes.items():
        A = torch.randn((k, m) if transposed else (m, k))
        B = torch.randn((k, n))
        pairs[name] = A.T if transposed else A, B

    def run():
        return {'parts': {name: _product_seconds(torch, A, B, num_repeats)
                          for name, (A, B) in pairs.items()}}
    return run, wait


def _product_seconds(torch, A, B, num_repeats):
    out = A @ B
    start = time.perf_counter()
    for _ in range(num_repeats):
        torch.mm(A, B, out=out)
    return (time.perf_counter() - start) / num_repeats
