# %% [markdown]
# # 4.10 Predicting house prices on Kaggle
# # 实战Kaggle比赛：预测房价
#
# The prices of houses in Ames, Iowa, sold from 2006 to 2010, from 79 features
# of each. Everything of this chapter comes together: data with gaps, a
# model, cross-validation, and predictions in the form that Kaggle takes.

# %%
from gluon_mlp.run.options import options

from gluon_mlp import d2l
from gluon_mlp import kaggle_house_price as house

k, num_epochs, lr, weight_decay, batch_size, submission = options(
    house, 'k, num_epochs, lr, weight_decay, batch_size, submission')
submission = house.submission_path(submission)

# %% [markdown]
# ## Data
#
# The training data has the price of each house in its last column, the test
# data has none. The first column is an id, which tells nothing.

# %%
train_data, test_data = house.load_data()
print(train_data.shape, test_data.shape)
print(train_data.iloc[0:4, [0, 1, 2, 3, -3, -2, -1]])

# %% [markdown]
# ## Preprocessing
#
# A number $x$ becomes $(x - \mu) / \sigma$, of mean 0 and variance 1, and a
# missing number becomes 0. A category becomes a column of zeros and ones for
# each of its values, and another one for a missing value.

# %%
all_features = house.preprocess(train_data, test_data)
print(all_features.shape)
train_features, test_features, train_labels = house.to_arrays(all_features,
                                                              train_data)

# %% [markdown]
# ## Cross-validation
#
# The model is linear regression with squared loss, trained with Adam. What
# counts is the relative error of a price, so errors are measured between
# logarithms:
#
# $$\sqrt{\frac{1}{n} \sum_{i=1}^n (\log y_i - \log \hat{y}_i)^2}.$$
#
# Each of the $k$ folds is left out once for validation. The average over the
# folds says how good the hyperparameters are.

# %%
folds = house.k_fold(k, train_features, train_labels, num_epochs, lr,
                     weight_decay, batch_size)
for i, (train_ls, valid_ls) in enumerate(folds, 1):
    print(f'fold {i}, train log rmse {train_ls[-1]:f}, '
          f'valid log rmse {valid_ls[-1]:f}')
train_l, valid_l = house.average(folds)
print(f'{k}-fold validation: average train log rmse {train_l:f}, '
      f'average valid log rmse {valid_l:f}')

# %%
epochs, ticks = range(1, num_epochs + 1), [0.2, 0.5, 1, 2, 4]
axes = d2l.plot(epochs, list(folds[0]), 'epoch', 'log rmse',
                ['train', 'valid'], [1, num_epochs], yscale='log')
axes.set_yticks(ticks, ticks)
d2l.save_figure('kaggle_house_price_fold_1')

# %% [markdown]
# ## Submission
#
# Once the hyperparameters are chosen, all training data can be used to train
# the model that predicts the test prices.

# %%
train_ls, preds = house.train_and_pred(train_features, test_features,
                                       train_labels, num_epochs, lr,
                                       weight_decay, batch_size)
print(f'train log rmse {train_ls[-1]:f}')
axes = d2l.plot(epochs, train_ls, 'epoch', 'log rmse',
                xlim=[1, num_epochs], yscale='log')
axes.set_yticks(ticks, ticks)
d2l.save_figure('kaggle_house_price')
house.save_submission(test_data, preds, submission)
