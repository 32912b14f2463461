"""4.4 Model selection, underfitting and overfitting."""
from gluon_mlp.d2l.plot import plot, save_figure
from gluon_mlp.run.options import BatchSize, LearningRate, NumEpochs, run
from gluon_mlp.underfit_overfit import (
    choose_degree,
    get_data,
    learning_curve,
    train,
)


def main(batch_size: BatchSize = 10, lr: LearningRate = 0.01,
         num_epochs: NumEpochs = 400, num_epochs_overfit: NumEpochs = 1500):
    features, poly_features, labels = get_data()
    print(f'features\n{features[:2]}\npoly_features\n{poly_features[:2]}\n'
          f'labels\n{labels[:2]}')

    n_train = 100
    # Columns 1, x, x^2/2!, ...: four are the cubic that made the labels.
    for name, columns, epochs in (('normal', 4, num_epochs),
                                  ('underfit', 2, num_epochs),
                                  ('overfit', 20, num_epochs_overfit)):
        X = poly_features[:, :columns]
        weight, history = train(X[:n_train], X[n_train:], labels[:n_train],
                                labels[n_train:], epochs, lr, batch_size)
        print('{}, degree {}: train loss {:.4f}, test loss {:.4f}, weight\n'
              '{}'.format(name, columns - 1, *history[-1][1:], weight))
        save_figure(f'underfit_overfit_{name}')

    show_choice_of_degree(poly_features[:n_train], labels[:n_train])
    show_gap()


def show_choice_of_degree(poly_features, labels, k=5):
    chosen, rows = choose_degree(k, poly_features, labels)
    print(f'{k}-fold cross-validation on {len(labels)} examples, by least '
          f'squares\ndegree  train loss  valid loss')
    for degree, train_loss, valid_loss in rows:
        print(f'{degree:6}  {train_loss:10.4g}  {valid_loss:10.4g}'
              + '  <- chosen' * (degree == chosen))
    degrees, *losses = zip(*rows)
    plot(list(degrees), losses, 'degree', 'loss', ['train', 'valid'],
         yscale='log', figsize=(5, 2.5)).set_xticks(degrees)
    save_figure('underfit_overfit_k_fold')


def show_gap():
    rows = learning_curve([10, 20, 40, 80, 160, 320, 640])
    print('The cubic by number of training examples, by least squares\n'
          'examples  train loss  test loss     gap')
    for n, train_loss, test_loss in rows:
        print(f'{n:8}  {train_loss:10.5f}  {test_loss:9.5f} '
              f'{test_loss - train_loss:.5f}')
    sizes, *losses = zip(*rows)
    plot(list(sizes), losses, 'training examples', 'loss', ['train', 'test'],
         xscale='log')
    save_figure('underfit_overfit_gap')


if __name__ == '__main__':
    run(main)
