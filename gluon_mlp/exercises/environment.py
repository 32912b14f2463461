"""Answers to the exercises of 4.9."""
import math

import numpy as onp
from mxnet import gluon, np, npx
from mxnet.gluon import nn

from ..d2l.plotting import save_figure
from ..d2l.training import seed
from ..environment import (
    covariate_data,
    covariate_weights,
    effective_size,
    evaluate,
    mean_test,
    mean_train,
    predict,
    train_domain_classifier,
    train_weighted,
)
from .common import draw_seeds, paired, plot, show_table

npx.set_np()

SETTINGS = {'num_epochs': 20, 'lr': 0.1, 'batch_size': 100}


def _train(X, y, weights=None):
    """Softmax regression with two classes, as the section's script."""
    weights = np.ones(len(X)) if weights is None else weights
    return train_weighted(nn.Dense(2), X, y, weights,
                          gluon.loss.SoftmaxCrossEntropyLoss(), **SETTINGS)


def _draw_pages(n):
    """Pages (n, 2), content and keywords, and whether they are good (n,)."""
    y = (np.random.uniform(size=n) < 0.5).astype('float32')
    mean = np.stack([0.75 * (2 * y - 1), 1.5 * (2 * y - 1)], axis=1)
    return np.random.normal(size=(n, 2)) + mean, y.astype('int32')


def _react(net, X, y, effort=4):
    """Bad pages buy the keywords that `net` still wants, up to `effort`."""
    w = onp.diff(net.weight.data().asnumpy(), axis=0)[0]
    b = float(onp.diff(net.bias.data().asnumpy())[0])
    X = X.copy().asnumpy()
    score = X @ w + b
    need = onp.where(w[1] > 0, 0.01 - score / max(w[1], 1e-9), onp.inf)
    buys = (y.asnumpy() == 0) & (need > 0) & (need <= effort)
    X[buys, 1] += need[buys]
    return np.array(X, dtype='float32')


def exercise_1(quick=False):
    """A search engine changes its behaviour: users and advertisers

    What is deployed changes the data that it is judged on. Users notice what
    ranks high: they reword their queries until the engine likes them, click
    what is on top because it is on top (so clicks, the labels of the next
    version, confirm the present one), or leave, and those who stay are
    another population. Advertisers and site owners have money at stake and
    act on purpose: they find the features that count and supply these instead
    of quality, move their bids, or sue. The distribution after the change is
    then not that of the experiment before it, and offline accuracy overstates
    the gain. Small live experiments do not show the reaction of those who
    have not noticed yet.

    A model of it: the engine tells good pages from bad by two features,
    content, which cannot be faked, and keywords, which tell more but can be
    bought. The owners of bad pages buy just enough of them, up to a limit.
    Each round the engine trains on the pages as they now are.

    Measured: 5 draws of `5000` pages, over 6 rounds. The first engine has an
    accuracy of 0.954 on pages like those that it was trained on, and of 0.496
    once the owners have reacted, which is worse than what content alone would
    give (`0.773`, by the normal distribution). From the first round to the
    last its weight of keywords falls by 2.16 +- 0.04, and that of content
    does not move beyond chance (+0.08 +- 0.03, a tie). The accuracy when
    trained falls by 0.225 +- 0.012, that after the reaction rises by 0.157 +-
    0.004, and what the reaction costs falls from 0.458 to 0.077. So the two
    draw near each other, below the accuracy of content alone.
    """
    n, num_rounds = (500, 3) if quick else (5000, 6)
    runs = onp.array([_rounds(number, n, num_rounds)
                      for number in draw_seeds(2 if quick else 5)])
    rows = [(i, *row) for i, row in enumerate(runs.mean(axis=0).tolist(), 1)]
    show_table(['round', 'weight of content', 'of keywords',
                'acc when trained', 'acc after the reaction', 'lost'], rows)
    changes = {name: paired(runs[:, -1, i], runs[:, 0, i])
               for i, name in enumerate(('content', 'keywords', 'trained',
                                         'after', 'lost'))}
    show_table(['last round - first', 'mean', '+-', ''],
               [(name, *row) for name, row in changes.items()])
    rounds, _, _, *curves, _ = zip(*rows)
    plot(rounds, curves, 'round', 'accuracy',
         ['when trained', 'after the reaction'], fmts=['o-', 'ms--'])
    save_figure('exercise_4_9_1')
    return {'rows': rows, 'changes': changes}


def _rounds(number, n, num_rounds):
    """Train and react in turn: weights, accuracies, loss of each round."""
    seed(number)
    X, y = _draw_pages(n)
    X_test, y_test = _draw_pages(n)
    seen, seen_test, rows = X, X_test, []
    for _ in range(num_rounds):
        net = _train(seen, y)
        before = evaluate(net, seen_test, y_test)
        seen, seen_test = (_react(net, X, y), _react(net, X_test, y_test))
        after = evaluate(net, seen_test, y_test)
        w = onp.diff(net.weight.data().asnumpy(), axis=0)[0]
        rows.append((*w.tolist(), before, after, before - after))
    return rows


def detect(X_train, X_test):
    """Is there a covariate shift? A classifier's verdict on held-out halves.

    Returns the accuracy with which it tells the second halves apart, and
    the probability of as many hits or more by fair coins: if there is no
    shift, it is at most that. Both inputs (n, d) have the same n.
    """
    half = len(X_train) // 2
    h = train_domain_classifier(X_train[:half], X_test[:half], **SETTINGS)
    hits = sum(float(((h(X[half:2 * half]).reshape(-1) > 0) == z).sum())
               for X, z in ((X_train, False), (X_test, True)))
    # Coins: binomial, n = 2 half, p = 1/2, so nearly normal.
    z = (hits - 0.5 - half) / (half / 2) ** 0.5
    return hits / (2 * half), 0.5 * math.erfc(z / 2 ** 0.5)


def exercise_2(quick=False):
    """A detector of covariate shift

    If nobody can tell training inputs from test inputs, there is no shift
    worth speaking of; so train a classifier to tell them apart (the one whose
    outputs are the weights in section 4.9.3) on half of both, and count its
    hits on the other half. Without a shift an input is called a test input
    with one probability q, wherever it is from. So of n inputs, half of each
    kind, n / 2 are hit on average. The variance of the hits is n q (1 - q),
    which is n / 4 at most, that of fair coins. So the p-value of fair coins
    is too large, if anything. A linear classifier sees a shift of the mean
    only. One of the variances with equal means mostly escapes it: for that it
    needs features such as the squares, or a network. It looks at the inputs
    only: it does not see that the labels of the same inputs change, and a
    shift that it sees need not harm the model.

    Measured: how often a shift is claimed at the level `0.05`, in 60 draws of
    `200` inputs of each kind. Without a shift it is 3 % of the draws, and 5 %
    are allowed. A mean that moves by `0.25`, `0.5` or `1` is claimed in 23 %,
    82 % and all of them. Inputs that are twice as wide are claimed in 12 %,
    and in 85 % if the classifier sees their squares, too. (The standard error
    of such a share is `6.5` points at most.)
    """
    repeats, n, results = (2 if quick else 60), 200, {}

    def share(draw, features=lambda X: X):
        runs = [detect(features(covariate_data(mean_train, n)[0]),
                       features(draw())) for _ in range(repeats)]
        accs, ps = zip(*runs)
        return float(onp.mean(accs)), float((onp.array(ps) < 0.05).mean())

    for shift in (0, 0.25, 0.5, 1):
        mean = (mean_train[0] + shift, mean_train[1])
        results[f'mean + {shift}'] = share(
            lambda mean=mean: covariate_data(mean, n)[0])

    def wider():
        X, centre = covariate_data(mean_train, n)[0], np.array(mean_train)
        return centre + 2 * (X - centre)
    results['twice as wide'] = share(wider)
    results['twice as wide, squares'] = share(
        wider, lambda X: np.concatenate([X, X ** 2 / 10], axis=1))
    show_table(['test inputs', 'mean accuracy', 'claimed'],
               [(name, *values) for name, values in results.items()])
    return results


def exercise_3(quick=False):
    """A correction of covariate shift

    Train the detector's classifier h of train against test inputs (as many of
    both); its odds are the ratio of densities, so weight training example i
    by beta_i = exp(h(x_i)), perhaps cut at c, and minimize the mean of beta_i
    l(f(x_i), y_i). If h is right and nothing cut, that mean has the
    expectation of the test loss. The section's functions do it.

    It helps only a model too simple to be right everywhere, which is told
    where to be right. It needs test inputs within reach of the training
    inputs: the further the shift, the fewer examples carry the weight. For a
    small shift no gain shows.

    Measured: by the size of the shift of the mean, over 8 draws of `1000`
    examples. The gain in test accuracy is -0.001 +- 0.001 without a shift and
    -0.006 +- 0.003 for `0.5`, both a tie. For `1` it is 0.058 +- 0.006, for
    `1.5` 0.166 +- 0.010 and for `2` 0.300 +- 0.011, where the accuracy rises
    from 0.565 to 0.864. Weights cut at `5` gain 0.054, 0.128 and 0.260, which
    is less, the further the shift. The examples are worth 995 without a
    shift, 345 for `1` and 45 for `2`.
    """
    n, rows = (200 if quick else 1000), []
    for distance in (0, 1) if quick else (0, 0.5, 1, 1.5, 2):
        runs = onp.array([_corrected(number, n, distance)
                          for number in draw_seeds(2 if quick else 8)])
        rows.append((distance, *runs.mean(axis=0).tolist(),
                     *paired(runs[:, 1], runs[:, 0]),
                     *paired(runs[:, 2], runs[:, 0])))
    show_table(['shift', 'test acc', 'weighted', 'cut at 5',
                f'effective examples of {n}'], [row[:5] for row in rows])
    show_table(['shift', 'gain of weights', '+-', '', 'cut at 5', '+-', ''],
               [(row[0], *row[5:]) for row in rows])
    distances, *curves = zip(*rows)
    plot(distances, curves[:3], 'shift of the mean', 'test acc',
         ['unweighted', 'weighted', 'weights cut at 5'])
    save_figure('exercise_4_9_3')
    return rows


def _corrected(number, n, distance):
    """The test accuracy without weights, with them, with them cut at 5.

    The last number is the effective size of the n examples.
    """
    seed(number)
    mean = (mean_train[0] + distance, mean_test[1])
    (X, y), (X_test, y_test) = (covariate_data(mean_train, n),
                                covariate_data(mean, n))
    h = train_domain_classifier(X, X_test, **SETTINGS)
    beta = covariate_weights(h, X)
    cut = covariate_weights(h, X, c=5)
    return [*(evaluate(_train(X, y, w), X_test, y_test)
              for w in (None, beta, cut)), effective_size(beta)]


def exercise_4(quick=False):
    """What else keeps the empirical risk from the true one

    Besides shift: the sample is finite (the gap falls like 1 / sqrt(n), and
    the more functions one may choose from, the larger it is); the function
    was chosen on the same examples (overfitting; the same holds for a
    validation set that was used many times); examples are not independent
    (frames of one film, rows of one patient), so that n is less than it
    seems; labels are wrong or missing for a reason; information leaks from
    test into training; the loss is a stand-in (cross-entropy for accuracy,
    errors of one cost for another).

    Measured: three of them, with the section's data and no shift. The risk
    (here 1 - accuracy) of one fixed function is 0.116. Over 1,000 samples of
    `100` examples the empirical risk has a standard deviation of 0.031, and
    of `1000` examples 0.010. If each example is there ten times, the two are
    0.100 and 0.032: those of a tenth of the examples. If one label in ten is
    wrong, the empirical risk is too high by 0.077 in both, and no number of
    examples mends that. The formula is `0.1 (1 - 2 risk)`.
    """
    net = _train(*covariate_data(mean_train, 1000))
    X, y = covariate_data(mean_train, 20000 if quick else 400000)
    wrong = predict(net, X) != y.asnumpy()
    risk, rows = float(wrong.mean()), []
    repeats = 50 if quick else 1000
    for n in (100, 1000):
        samples = onp.random.choice(wrong, (repeats, n))
        copied = samples[:, :n // 10].repeat(10, axis=1)
        flips = onp.random.random(samples.shape) < 0.1
        for name, sample in (('independent', samples),
                             ('each ten times', copied),
                             ('1 in 10 labels wrong', samples ^ flips)):
            means = sample.mean(axis=1)
            rows.append((n, name, float(means.mean() - risk),
                         float(means.std())))
    print(f'true risk, of {len(y)} examples: {risk:.4f}')
    show_table(['examples', '', 'bias', 'standard deviation'], rows)
    print('by the formulas: bias of the wrong labels '
          f'{0.1 * (1 - 2 * risk):.4f}, standard deviation of 100 '
          f'{(risk * (1 - risk) / 100) ** 0.5:.4f}')
    return {'risk': risk, 'rows': rows}
