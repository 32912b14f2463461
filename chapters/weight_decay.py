"""4.5 Weight decay."""
from gluon_mlp.d2l.plot import save_figure
from gluon_mlp.run.options import BatchSize, LearningRate, NumEpochs, run
from gluon_mlp.weight_decay import (
    init_params,
    load_data,
    step_both_ways,
    tikhonov,
    train,
    train_concise,
    train_with_input_noise,
)
from mxnet import np


def main(batch_size: BatchSize = 5, lr: LearningRate = 0.003,
         num_epochs: NumEpochs = 100):
    num_inputs = 200
    train_iter, test_iter = load_data(num_inputs=num_inputs,
                                      batch_size=batch_size)
    # The gradient of lambd / 2 * |w|^2 is lambd * w, so each step shrinks w.
    print('w <- (1 - lr * lambd) * w - lr * (mean gradient of the loss)')
    for lambd in (0, 3):
        print(f'from scratch, lambd = {lambd}: each step multiplies w by '
              f'{1 - lr * lambd:.4g} first')
        show('scratch', lambd, *train(lambd, train_iter, test_iter,
                                      num_inputs, num_epochs, lr))
    for wd in (0, 3):
        print(f'concise, wd = {wd}')
        show('concise', wd, *train_concise(wd, train_iter, test_iter,
                                           num_epochs, lr))

    show_that_input_noise_is_decay(sigma=0.5)
    show_that_a_step_decays(*next(iter(train_iter)), lr, lambd=3)


def show_that_input_noise_is_decay(sigma):
    X = np.random.normal(size=(50, 3))
    y = np.dot(X, np.array([1, -2, 3])) + np.random.normal(size=50)
    X, y = X.asnumpy().astype(float), y.asnumpy().astype(float)
    print(f'linear regression, input noise of scale {sigma}: w of')
    for name, w in (
            ('least squares', tikhonov(X, y, 0)),
            (f'L2 penalty, lambd={sigma ** 2}', tikhonov(X, y, sigma ** 2)),
            ('trained with the noise',
             train_with_input_noise(X, y, sigma, 5000))):
        print(f'  {name:22} {w.round(3)}')


def show_that_a_step_decays(X, y, lr, lambd):
    w, by_formula = step_both_ways(init_params(X.shape[1])[0], X, y, lr,
                                   lambd)
    print('one step on loss + penalty, and (1 - lr * lambd) * w - lr * grad:'
          f'\n  w up to {float(abs(w).max()):.3f}, they differ by at most '
          f'{float(abs(w - by_formula).max()):.1g}')


def show(name, decay, norm, history):
    print('  train loss {:.4g}, test loss {:.4g}'.format(*history[-1][1:]))
    print(f'  L2 norm of w: {norm:.4f}')
    save_figure(f'weight_decay_{name}_{decay}')


if __name__ == '__main__':
    run(main)
