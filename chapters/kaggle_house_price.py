"""4.10 Predicting house prices on Kaggle."""
from gluon_mlp.d2l import plot
from gluon_mlp.files import check_folder
from gluon_mlp.kaggle_house_price import (
    average,
    k_fold,
    load_data,
    preprocess,
    save_submission,
    to_arrays,
    train_and_pred,
)
from gluon_mlp.run.options import (
    BatchSize,
    Folds,
    LearningRate,
    NumEpochs,
    Submission,
    WeightDecay,
    run,
)


def main(k: Folds = 5, num_epochs: NumEpochs = 100, lr: LearningRate = 5.0,
         wd: WeightDecay = 0.0, batch_size: BatchSize = 64,
         submission: Submission = None):
    submission = submission or plot.folder / 'submission.csv'
    check_folder(submission.parent)
    train_data, test_data = load_data()
    print(train_data.shape, test_data.shape)
    print(train_data.iloc[0:4, [0, 1, 2, 3, -3, -2, -1]])
    all_features = preprocess(train_data, test_data)
    print(all_features.shape)
    train_features, test_features, train_labels = to_arrays(all_features,
                                                            train_data)

    folds = k_fold(k, train_features, train_labels, num_epochs, lr, wd,
                   batch_size)
    for i, (train_ls, valid_ls) in enumerate(folds, 1):
        print(f'fold {i}, train log rmse {train_ls[-1]:f}, '
              f'valid log rmse {valid_ls[-1]:f}')
    train_l, valid_l = average(folds)
    print(f'{k}-fold validation: average train log rmse {train_l:f}, '
          f'average valid log rmse {valid_l:f}')
    show(folds[0], 'kaggle_house_price_fold_1')

    train_ls, preds = train_and_pred(train_features, test_features,
                                     train_labels, num_epochs, lr, wd,
                                     batch_size)
    print(f'train log rmse {train_ls[-1]:f}')
    show([train_ls], 'kaggle_house_price')
    save_submission(test_data, preds, submission)


def show(curves, name):
    axes = plot.plot(range(1, len(curves[0]) + 1), list(curves),
                     xlabel='epoch', ylabel='log rmse', yscale='log',
                     legend=['train', 'valid'][:len(curves)])
    axes.set_yticks([0.2, 0.5, 1, 2, 4], ['0.2', '0.5', '1', '2', '4'])
    plot.save_figure(name)


if __name__ == '__main__':
    run(main)
