"""4.5 Weight decay."""
from gluon_mlp.command_line import BatchSize, LearningRate, NumEpochs, run
from gluon_mlp.plot import save_figure
from gluon_mlp.weight_decay import load_data, train, train_concise


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


def show(name, decay, norm, history):
    print('  train loss {:.4g}, test loss {:.4g}'.format(*history[-1][1:]))
    print(f'  L2 norm of w: {norm:.4f}')
    save_figure(f'weight_decay_{name}_{decay}')


if __name__ == '__main__':
    run(main)
