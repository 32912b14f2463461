"""4.1 Multilayer perceptrons."""
from gluon_mlp.d2l.diagram import draw_network
from gluon_mlp.d2l.plot import plot, save_figure
from gluon_mlp.mlp import (
    as_one_layer,
    fit,
    forward,
    get_quadrants,
    prelu,
    relu,
    sigmoid,
    tanh,
    value_and_grad,
)
from gluon_mlp.run.options import run
from mxnet import np


def main():
    draw_network([('x', 4), ('o', 3)])
    save_figure('mlp_softmax_regression')
    draw_network([('x', 4), ('h', 5), ('o', 3)])
    save_figure('mlp_one_hidden_layer')
    show_that_affine_layers_are_one()
    X, y = get_quadrants()
    for num_units in ((2, 1), (2, 16, 1)):
        print('Opposite quadrants, layers {}: loss {:.3f}, accuracy {:.3f}'
              .format(num_units, *fit(X, y, num_units)))

    x = np.arange(-8.0, 8.0, 0.1)
    show('relu', relu, x)
    show('prelu', lambda x: prelu(x, alpha=0.25), x, ['alpha = 0.25'])
    show('sigmoid', sigmoid, x)
    show('tanh', tanh, x)


def show_that_affine_layers_are_one():
    X = np.random.normal(0, 1, (1000, 4))
    layers = [(np.random.normal(0, 1, (4, 5)), np.random.normal(0, 1, 5)),
              (np.random.normal(0, 1, (5, 3)), np.random.normal(0, 1, 3))]
    one_layer = [as_one_layer(layers)]
    print('Affine layers 4-5-3 against one affine layer 4-3, on 1000 inputs:')
    for name, activation in (('no activation', None), ('ReLU', relu)):
        difference = forward(X, layers, activation) - forward(X, one_layer)
        print(f'  {name} between them: outputs differ by at most '
              f'{float(abs(difference).max()):.2g}')


def show(name, f, x, legend=None):
    y, grad = value_and_grad(f, x)
    plot(x, y, 'x', f'{name}(x)', legend)
    save_figure(f'mlp_{name}')
    plot(x, grad, 'x', f'grad of {name}', legend)
    save_figure(f'mlp_grad_of_{name}')
    largest = int(grad.argmax())
    print(f'{name}: values from {float(y.min()):.4f} to '
          f'{float(y.max()):.4f}; its largest gradient, '
          f'{float(grad[largest]):.4f}, at x = {float(x[largest]):.1f}')


if __name__ == '__main__':
    run(main)
