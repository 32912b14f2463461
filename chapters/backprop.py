"""4.7 Forward propagation, backward propagation, computational graphs."""
from gluon_mlp.backprop import (
    OPERATORS,
    VARIABLES,
    autograd_gradient,
    backward,
    finite_differences,
    forward,
    memory,
    partial_functions,
)
from gluon_mlp.d2l.graph import draw_computational_graph
from gluon_mlp.d2l.plot import plot, save_figure
from gluon_mlp.run.options import run
from mxnet import np

num_inputs, num_hiddens, num_outputs, lambd = 4, 5, 3, 0.1


def main():
    draw_computational_graph(VARIABLES, OPERATORS)
    save_figure('backprop_graph')

    # float64, for the sake of the finite differences.
    x, W1, W2 = (np.random.normal(size=size, dtype='float64') for size in [
        (num_inputs,), (num_hiddens, num_inputs), (num_outputs, num_hiddens)])
    y = 0
    values = forward(x, y, W1, W2, lambd)
    for name, value in values._asdict().items():
        print(f'{name} = {value}')
    gradients = backward(x, y, W1, W2, lambd, values)
    show_differences(gradients, partial_functions(x, y, W1, W2, lambd))
    show_memory()


def show_differences(gradients, functions):
    print('\nlargest difference of the chain rule from:\n'
          'gradient  shape   its norm  autograd  finite differences')
    for name, grad, (f, a) in zip(gradients._fields, gradients, functions):
        by_autograd = abs(grad - autograd_gradient(f, a)).max()
        numeric = abs(grad.asnumpy() - finite_differences(f, a)).max()
        print(f'dJ/d{name:5} {str(grad.shape):7}'
              f'{float(np.linalg.norm(grad)):9.4f}'
              f'{float(by_autograd):10.1e}{numeric:10.1e}')


def show_memory():
    legend = ['prediction', 'training']
    layers, batch_sizes = (1, 2, 4, 8, 16), (64, 128, 256, 512)
    by_layers = [memory(n, 256) for n in layers]
    by_batch_size = [memory(8, n) for n in batch_sizes]
    print('\nmost MB of arrays at once (layers of 256 units)\n'
          'layers  batch size  prediction  training')
    for case, (predict, train) in zip(
            [*((n, 256) for n in layers), *((8, n) for n in batch_sizes)],
            by_layers + by_batch_size):
        print('{:6}{:12}{:12.2f}{:10.2f}'.format(*case, predict / 1e6,
                                                 train / 1e6))
    for name, xs, ys in [('layers', layers, by_layers),
                         ('batch size', batch_sizes, by_batch_size)]:
        curves = [[y / 1e6 for y in curve] for curve in zip(*ys)]
        plot([xs, xs], curves, name, 'memory, MB', legend)
        save_figure('backprop_memory_' + name.replace(' ', '_'))


if __name__ == '__main__':
    run(main)
