"""4.8 Numerical stability and initialization."""
from gluon_mlp.d2l.plot import plot, save_figure
from gluon_mlp.numerical_stability_and_init import (
    get_symmetry_data,
    product_of_matrices,
    train_from,
    variances,
)
from gluon_mlp.run.options import run
from mxnet import autograd, init, np, npx


def main():
    x = np.arange(-8.0, 8.0, 0.1)
    x.attach_grad()
    with autograd.record():
        y = npx.sigmoid(x)
    y.backward()
    plot(x, [y, x.grad], 'x', legend=['sigmoid', 'gradient'],
         figsize=(4.5, 2.5))
    save_figure('numerical_stability_and_init_sigmoid')

    M, product = product_of_matrices(100)
    print(f'a single matrix\n{M}\nafter multiplying 100 matrices\n{product}')
    show_symmetry()
    for phi in (None, 'tanh'):
        show_variances(phi)


def show_symmetry():
    X, y = get_symmetry_data()
    print('\ntraining from equal and unequal weights: how the hidden units '
          'differ\nweights   dropout  first gradient  last weight  accuracy')
    for name, initializer in (('constant', init.Constant(0.5)),
                              ('random', init.Normal(0.5))):
        for dropout in (0, 0.5):
            result = train_from(initializer, X, y, dropout)
            print('{:9}{:8}{:16.1e}{:13.1e}{:10.3f}'.format(name, dropout,
                                                            *result))


def show_variances(phi):
    name = phi or 'linear'
    print(f'\nvariance in 50 layers of 256 units, {name}\n'
          'initialization  last activations  gradients at the inputs')
    initializers = {'sigma 0.01': init.Normal(0.01),
                    'sigma 1': init.Normal(1), 'Xavier': init.Xavier()}
    curves = []
    for label, initializer in initializers.items():
        curves.append(variances(initializer, phi))
        print(f'{label:14}{curves[-1][0][-1]:18.2e}{curves[-1][1][0]:25.2e}')
    for what, ys in zip(('activations', 'gradients'), zip(*curves)):
        axes = plot([range(51)] * 3, ys, 'layer', f'variance of {what}',
                    list(initializers), yscale='log')
        axes.set_title('tanh' if phi else 'no activation function')
        save_figure(f'numerical_stability_and_init_{name}_{what}')


if __name__ == '__main__':
    run(main)
