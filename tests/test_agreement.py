"""Whether our runs and the printings agree: the tests, by simulation."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from gluon_mlp.compare import agreement, printings, recorded, reproduce
from gluon_mlp.compare.agreement import FALSE_ALARM, POWER, Sample, measures
from gluon_mlp.compare.quantities import Quantity
from gluon_mlp.compare.statistics import (
    NOTHING,
    difference_at_equal_x,
    difference_of_means,
)
from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.errors import DataError

FASHION_MNIST = ['mlp_scratch', 'mlp_concise', 'dropout']
BOOKS = [printings.load(name) for name in printings.NAMES]
SHIFT = {'train_loss': 0.004, 'train_acc': -0.002, 'test_acc': 0.01}


def quantities(section, num_epochs=10):
    return [book.quantities(section, num_epochs) for book in BOOKS]


def compared(books, *args):
    """The tests of a section, given the quantities of each printing."""
    wanted = {}
    for i, book in enumerate(books):
        for q in book:
            wanted.setdefault(q.what, {})[i] = q
    return agreement.test_section(wanted, *args)


def recorded_runs(section):
    """The recorded runs of a section, as `reproduce` would return them."""
    curves = {q.what: recorded.curves(section, q.what)
              for q in BOOKS[0].quantities(section)
              if q.kind == 'statistical'}
    return [{what: curve[i] for what, curve in curves.items()}
            for i in range(len(next(iter(curves.values()))))]


def curve(values, what='train_loss', kind='statistical', **kwargs):
    values = np.array(values, dtype=float)
    return Quantity('mlp_concise', what, kind, 'curve', values,
                    list(range(1, len(values) + 1)), **kwargs)


def sample(quantity, book, ours):
    book, ours = np.array(book, dtype=float), np.array(ours, dtype=float)
    return Sample(quantity, book, ours, np.full(book.shape[1], 1e-9))


# The summary measures


def test_a_line_has_its_mean_as_level_and_its_rise_as_trend():
    """From the second epoch on; the first one is a measure of its own."""
    line = np.r_[9, 3 + 0.5 * np.arange(9)]
    q = curve(line, 'train_acc')
    found = dict(measures(sample(q, [line], [line])))
    assert found['level'] @ line == pytest.approx(5)
    assert found['trend'] @ line == pytest.approx(4.5)
    assert found['start'] @ line == 9


def test_points_that_a_printing_lacks_are_left_out():
    q = curve([np.nan, 1, 2, 3])
    found = dict(measures(sample(q, [[np.nan, 1, 2, 3], [4, 5, np.nan, 7]],
                                 [[1, 2, 3, 4]])))
    assert found['level'].tolist() == [0, 0.5, 0, 0.5]
    assert list(found) == ['level', 'trend']


def test_on_a_log_axis_quiet_points_count_more():
    """By the inverse of the standard deviation over printings and runs."""
    q = curve([1, 1, 1], kind='converged', axis='log')
    book, ours = [[0, 10, 0], [0.1, 20, 1]], [[0.2, 30, 2], [0.3, 40, 3]]
    found = dict(measures(sample(q, book, ours)))
    expected = np.array([10, 0.1, 1]) / 11.1
    np.testing.assert_allclose(found['level'], expected, rtol=1e-6)
    # The trend is blind to a level, and finds the slope of a line.
    assert found['trend'].sum() == pytest.approx(0)
    assert found['trend'] @ [0, 2, 4] == pytest.approx(4)


@pytest.mark.parametrize('what, astray', [
    ('train_loss', 0.7), ('train_acc', -0.3), ('test_acc', -0.3)])
def test_the_level_leaves_epochs_out_that_go_astray(what, astray):
    """Two of nine epochs. What moves all of them moves the level."""
    weights = np.r_[0, np.ones(9)] / 9
    level = recorded.scorer('mlp_concise', what, 'level', weights)
    usual = np.median(recorded.curves('mlp_concise', what), axis=0)
    runs = np.stack([usual] * 5)
    runs[1, 1:3] += astray
    runs[2, 1:4] += astray
    runs[3] += 0.01
    runs[4, 9] = np.nan
    found = level(runs)
    assert found[0] == pytest.approx(usual[1:].mean())
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx(found[0] + astray / 7)
    assert found[3] == pytest.approx(found[0] + 0.01)
    assert np.isnan(found[4])


def test_a_dip_of_the_test_accuracy_is_no_alarm():
    """The book's 0.7399 in the last epoch of 4.6 alone is no alarm."""
    runs = recorded_runs('dropout')
    for run in runs:
        run['scratch/test_acc'] = run['scratch/test_acc'].copy()
    runs[0]['scratch/test_acc'][9] -= 0.12
    tests = compared(quantities('dropout'), runs)
    found = [(test.measure, test.verdict) for test in tests
             if test.what == 'scratch/test_acc']
    assert [measure for measure, _ in found] == ['level']
    assert found[0][1] != 'differs'


# The error rates, by simulation


class World:
    """Draws of everything from normal distributions fitted to the runs.

    From the second epoch on, the printings lie `SHIFT` away from our
    edition. `remember` makes `recorded` see the draws instead of the true
    runs and printings.
    """

    def __init__(self, seed, monkeypatch):
        self.rng = np.random.default_rng(seed)
        self.monkeypatch = monkeypatch
        self.late = False  # whether some runs of 4.6 begin late
        self.true = {section: {q.what: recorded.curves(section, q.what)
                               for q in BOOKS[0].quantities(section)
                               if q.kind == 'statistical'}
                     for section in FASHION_MNIST}
        self.templates = {section: [q for q in BOOKS[0].quantities(section)
                                    if q.kind == 'statistical']
                          for section in FASHION_MNIST}

    def draw(self, section, n, shift=None):
        """`n` runs: a dictionary of curves (n, 10)."""
        runs = self.draw_normal(section, n, shift)
        return (self.delay(runs) if self.late and section == 'dropout'
                else runs)

    def draw_normal(self, section, n, shift):
        """Curves that are correlated as those of the true runs are."""
        true = self.true[section]
        number = len(next(iter(true.values())))
        noise = self.rng.normal(size=(n, number)) / (number - 1) ** 0.5
        return {what: curves.mean(axis=0)
                + noise @ (curves - curves.mean(axis=0))
                + (shift or {}).get(what.split('/')[-1], 0)
                * (np.arange(10) > 0)
                for what, curves in true.items()}

    def delay(self, runs, share=0.1):
        """Let one run in ten of 4.6 begin late, and stay behind for good.

        As seen in true runs: an accuracy in the first epoch that is lower by
        0.05 goes with a loss that is higher by 0.03 from then on.
        """
        later = np.arange(10) > 0
        for network in ('scratch', 'concise'):
            number = len(runs[f'{network}/train_acc'])
            late = (self.rng.uniform(0.02, 0.06, (number, 1))
                    * (self.rng.random((number, 1)) < share))
            lost = 0.35 * late + 4 * late ** 2
            runs[f'{network}/train_loss'] += lost * later
            runs[f'{network}/train_acc'] -= np.where(later, lost / 2.5, late)
            runs[f'{network}/test_acc'] -= lost / 3
        return runs

    def remember(self):
        """Draw the recorded runs and the book's printings anew."""
        runs = {section: self.draw(section, 8)
                for section in FASHION_MNIST}
        drawn = {section: self.draw(section, len(BOOKS), SHIFT)
                 for section in FASHION_MNIST}
        books = [{section: {what: values[i]
                            for what, values in drawn[section].items()}
                  for section in FASHION_MNIST} for i in range(len(BOOKS))]
        self.monkeypatch.setattr(recorded, '_read', lambda: runs)
        self.monkeypatch.setattr(recorded, '_books', lambda: books)
        return books

    def compare(self, section, n=8, number=3, num_epochs=10, error=None):
        """The tests of `n` of our runs, `error` added to their curves."""
        books = self.remember()[:number]
        drawn = self.draw(section, n, error)
        ours = [{what: values[i, :num_epochs]
                 for what, values in drawn.items()} for i in range(n)]
        return compared(
            [[replace(q, x=q.x[:num_epochs], values=(
                book[section][q.what] + 0 * q.values)[:num_epochs])
              for q in self.templates[section]] for book in books], ours)


@pytest.fixture
def world(monkeypatch):
    return World(0, monkeypatch)


def standard_error(share, number):
    return (share * (1 - share) / number) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize('section, n, number, num_epochs', [
    ('mlp_scratch', 8, 3, 10), ('mlp_concise', 8, 3, 10),
    ('dropout', 8, 3, 10),
    ('mlp_concise', 8, 1, 10), ('mlp_concise', 3, 3, 5)])
def test_false_alarms_are_as_rare_as_promised(world, section, n, number,
                                              num_epochs):
    """The right program differs once in a hundred comparisons.

    Before Holm's procedure, the p-values are below 0.05 in a twentieth of
    cases, so they are neither too small nor too large.
    """
    times, alarms, p_values = 250, 0, []
    for _ in range(times):
        tests = world.compare(section, n, number, num_epochs)
        alarms += any(test.adjusted < FALSE_ALARM for test in tests)
        p_values.append([test.p for test in tests])
    assert alarms / times <= FALSE_ALARM + 4 * standard_error(
        FALSE_ALARM, times)
    shares = (np.array(p_values) < 0.05).mean(axis=0)
    assert abs(shares - 0.05).max() <= 4 * standard_error(0.05, times)


@pytest.mark.slow
def test_runs_that_begin_late_raise_no_false_alarm(world):
    """Neither among the printings nor among ours."""
    world.late, times = True, 250
    alarms = sum(any(test.adjusted < FALSE_ALARM
                     for test in world.compare('dropout'))
                 for _ in range(times))
    assert alarms / times <= FALSE_ALARM + 4 * standard_error(
        FALSE_ALARM, times)


@pytest.mark.slow
def test_the_start_of_a_run_takes_most_of_its_noise_away(world):
    """In 4.6; without it, the level's error would be twice as large."""
    world.late = True
    errors = []
    for _ in range(50):
        runs = world.draw('dropout', 30)
        groups = [(runs['scratch/train_loss'][half, 1:].mean(axis=1),
                   runs['scratch/train_acc'][half, 0])
                  for half in (slice(15), slice(15, 30))]
        errors.append([difference_at_equal_x(*groups).error,
                       difference_of_means(*(y for y, _ in groups)).error])
    with_start, without = np.mean(errors, axis=0)
    assert with_start < 0.5 * without


@pytest.mark.slow
@pytest.mark.parametrize('n, number, num_epochs', [(8, 3, 10), (3, 3, 5)])
def test_the_detectable_difference_is_found_as_often_as_stated(
        world, n, number, num_epochs):
    """By the test of the training loss's level."""
    def level(**kwargs):  # the first of the tests
        return world.compare('mlp_concise', n, number, num_epochs,
                             **kwargs)[0]

    # That of a single comparison is an estimate; this is their mean square.
    detectable = np.mean([level().detectable ** 2
                          for _ in range(200)]) ** 0.5
    found = [level(error={'train_loss': detectable}).p
             < FALSE_ALARM / level().number for _ in range(200)]
    assert np.mean(found) == pytest.approx(
        POWER, abs=4 * standard_error(POWER, 200))


def test_the_edition_is_no_error_of_ours(world):
    """The printings lie `SHIFT` away, and that is what `offsets` finds."""
    tests = world.compare('mlp_concise', n=20)
    found = agreement.offsets(tests)
    assert set(found) == set(SHIFT)
    for name, estimate in found.items():
        assert abs(estimate.value - SHIFT[name]) < 4 * estimate.error
    assert abs(found['train_loss'].value) > 4 * found['train_loss'].error


def test_no_section_explains_its_own_error_away(world):
    """An error of the size of the edition's offset, to both sides."""
    for error in (0.005, -0.005):
        tests = world.compare('mlp_concise', error={'train_loss': error})
        assert (tests[0].what, tests[0].measure) == ('train_loss', 'level')
        assert tests[0].verdict == 'differs'


# The real runs


def number_of_runs(section):
    """How many runs of the section are recorded."""
    return len(recorded_runs(section))


def split(section, order, monkeypatch):
    """Printings, ours, and the recorded ones, which stay behind."""
    runs = recorded_runs(section)
    what = list(runs[0])
    rest = {w: np.stack([runs[i][w] for i in order[7:]]) for w in what}
    monkeypatch.setitem(recorded._read(), section, rest)
    books = [[replace(q, values=runs[i][q.what] + 0 * q.values)
              for q in BOOKS[0].quantities(section) if q.what in what]
             for i in order[:3]]
    return books, [runs[i] for i in order[3:7]]


@pytest.mark.slow
@pytest.mark.parametrize('section', [
    section for section in FASHION_MNIST if number_of_runs(section) > 7])
def test_held_back_runs_take_the_place_of_printings(section, monkeypatch):
    """The splits share their runs, so the rate cannot be held to 1 %."""
    rng, alarms, times = np.random.default_rng(0), 0, 100
    number = number_of_runs(section)
    for _ in range(times):
        with monkeypatch.context() as patched:
            tests = compared(
                *split(section, rng.permutation(number), patched),
                recorded.BOOK_EDITION)
        alarms += any(test.adjusted < FALSE_ALARM for test in tests)
    assert alarms / times <= 0.05


def test_on_the_books_edition_there_is_no_offset():
    tests = compared(
        quantities('mlp_concise'), recorded_runs('mlp_concise'),
        recorded.BOOK_EDITION)
    assert {test.offset for test in tests} == {NOTHING}
    # So the recorded runs, which are of the other one, differ.
    assert agreement.verdict(tests) == 'differs'
    assert agreement.offsets(tests) == {}


@pytest.mark.parametrize('section', FASHION_MNIST)
def test_recorded_runs_agree_with_the_printings(section, monkeypatch):
    """Half of them as ours; the others say how much runs differ."""
    runs = recorded_runs(section)
    half = len(runs) // 2
    monkeypatch.setitem(recorded._read(), section, {
        what: np.stack([run[what] for run in runs[half:]])
        for what in runs[0]})
    tests = compared(quantities(section), runs[:half])
    assert agreement.verdict(tests) != 'differs'


def broken(run, how):
    values = run['train_loss']
    return {'diverged': {**run, 'train_loss': np.where(
                np.arange(10) < 4, values, np.nan)},
            'shorter': {**run, 'train_loss': values[:9]},
            'missing': {what: run[what] for what in run
                        if what != 'train_loss'}}[how]


@pytest.mark.parametrize('how', ['diverged', 'shorter', 'missing'])
def test_a_run_without_its_numbers_differs(how):
    first, *others = recorded_runs('mlp_concise')
    tests = compared(quantities('mlp_concise'),
                     [broken(first, how), *others])
    verdicts = {(t.what, t.measure): t.verdict for t in tests}
    assert verdicts['train_loss', 'level'] == 'differs'
    assert verdicts['train_acc', 'level'] == 'agrees'


@pytest.mark.parametrize('known', [[False] + [True] * 9, []])
def test_a_printing_without_a_first_accuracy_is_compared_as_well(known):
    """Then the start of the runs is no covariate."""
    books = [[replace(q, values=np.where(known, q.values, np.nan))
              if q.what == 'train_acc' else q for q in book
              if known or q.what != 'train_acc']
             for book in quantities('mlp_concise')]
    tests = compared(books, recorded_runs('mlp_concise'))
    assert agreement.verdict(tests) == 'agrees'
    level = recorded.scorer('mlp_concise', 'train_loss', 'level',
                            np.arange(10) > 0)
    ours = level(recorded.curves('mlp_concise', 'train_loss'))
    assert tests[0].raw == pytest.approx(difference_of_means(
        level(np.stack([book[0].values for book in books])), ours, ours))


def as_run(printing, section):
    return {q.what: q.values for q in printing.quantities(section)}


def test_one_run_and_one_printing_are_too_few_to_tell():
    """Nothing says how much a run differs from the next."""
    tests = compared(quantities('weight_decay')[:1],
                     [as_run(BOOKS[1], 'weight_decay')])
    assert {test.p for test in tests} == {1}
    assert agreement.verdict(tests) == 'too wide to tell'


def test_too_wide_is_what_a_yardstick_is_too_short_for():
    tests = compared(quantities('mlp_concise'),
                     recorded_runs('mlp_concise'))
    level = tests[0]
    assert level.verdict == 'agrees'
    for factor, verdict in ((1.01, 'agrees'), (0.99, 'too wide to tell')):
        measured = replace(level, yardstick=factor * level.detectable)
        assert measured.verdict == verdict
        assert agreement.verdict([level, measured]) == verdict
        assert replace(measured, adjusted=0.009).verdict == 'differs'


@pytest.mark.parametrize('section, number', [
    ('mlp', 0), ('mlp_concise', 6), ('dropout', 12), ('weight_decay', 20),
    ('underfit_overfit', 38), ('kaggle_house_price', 19)])
def test_every_number_that_depends_on_the_shuffle_is_tested(section, number):
    """Levels of all curves, trends of most, and single values."""
    tests = compared(quantities(section),
                     [as_run(BOOKS[0], section)] * 2)
    assert len(tests) == number
    assert {test.number for test in tests} <= {number}
    tested = {test.what.split('[')[0] for test in tests}
    assert tested == {q.what for q in BOOKS[0].quantities(section)
                      if q.kind != 'exact'}


@pytest.mark.slow
def test_weights_from_the_runs_leave_the_test_exact():
    """Also for a noise that grows a thousandfold along the curve."""
    rng, times, points = np.random.default_rng(0), 2000, 20
    noise = np.logspace(-4, -1, points)
    q = curve(np.ones(points), kind='converged', axis='log')
    p_values = []
    for _ in range(times):
        walks = rng.normal(size=(7, points)).cumsum(axis=1) * noise
        books = [replace(q, values=np.exp(walk)) for walk in walks[:3]]
        p_values.append([test.p for test in compared(
            [[book] for book in books],
            [{q.what: np.exp(walk)} for walk in walks[3:]])])
    shares = (np.array(p_values) < 0.05).mean(axis=0)
    assert shares.shape == (2,)
    assert abs(shares - 0.05).max() <= 4 * standard_error(0.05, times)


def test_what_the_digits_leave_open_is_no_difference():
    """The digits of a printing count in full, before the noise."""
    q = Quantity('weight_decay', 'norm', 'converged', 'decimals6',
                 np.array(0.25))
    for ours, p in ((0.2500004, 1), (0.2500006, 0)):
        test, = compared([[q]] * 3, [{'norm': ours}] * 4)
        assert test.p == p


# The file of recorded runs


def test_the_recorded_runs_say_where_they_come_from():
    about = json.loads(recorded.FILE.read_text('utf-8'))['about']
    assert about['edition'] == recorded.EDITION != recorded.BOOK_EDITION
    assert about['mxnet'] and about['shuffles']
    for section in recorded.SECTIONS:
        for run in recorded_runs(section):
            for what, values in run.items():
                assert values.shape == (10,) and (values > 0.3).all(), what


def test_what_is_written_is_what_is_read(monkeypatch, tmp_path):
    """To six digits; what is no curve of ten epochs is left out."""
    runs = {section: [{'scratch/test_acc': np.linspace(0.1, 1, 10) / (i + 3),
                       'mask': np.zeros((2, 8))} for i in range(2)]
            for section in recorded.SECTIONS}
    monkeypatch.setattr(recorded, 'FILE', tmp_path / 'recorded.json')
    recorded.FILE.write_text(recorded.written({'edition': '?'}, runs))
    read = recorded._read.__wrapped__()
    for section in recorded.SECTIONS:
        assert list(read[section]) == ['scratch/test_acc']
        np.testing.assert_allclose(
            read[section]['scratch/test_acc'],
            [run['scratch/test_acc'] for run in runs[section]], rtol=5e-6)


def test_the_edition_is_measured_by_printings_and_recorded_runs():
    """Of the test accuracy in the last epoch of 4.2, by hand."""
    weights = np.eye(10)[9]
    book = [book.numbers['mlp_scratch']['test_acc'][9] for book in BOOKS]
    ours = recorded.curves('mlp_scratch', 'test_acc')[:, 9]
    starts = [[book.numbers['mlp_scratch']['train_acc'][0] for book in BOOKS],
              recorded.curves('mlp_scratch', 'train_acc')[:, 0]]
    expected = difference_at_equal_x((np.array(book), np.array(starts[0])),
                                     (ours, starts[1]))
    for section, what in (('mlp_concise', 'test_acc'),
                          ('mlp_scratch', 'test_acc')):
        offset = recorded.offset(section, what, 'level', weights)
        assert (offset == pytest.approx(expected)) == (
            section == 'mlp_concise')


def test_the_recorded_shuffles_are_none_of_compares_own(monkeypatch):
    """`compare` takes those from 0 on."""
    taken = []

    def run(section, shuffle):
        taken.append((section, shuffle))
        return {'test_acc': np.linspace(0.1, 1, 10)}

    monkeypatch.setattr(reproduce, 'reproduce', run)
    monkeypatch.setattr(fashion_mnist, 'load', lambda: SimpleNamespace(
        edition=recorded.EDITION))
    text = recorded.record(2)
    assert taken == [(section, shuffle) for section in FASHION_MNIST
                     for shuffle in (1000, 1001)]
    assert '"shuffles": "from 1000 to 1001"' in text
    monkeypatch.setattr(fashion_mnist, 'load', lambda: SimpleNamespace(
        edition=recorded.BOOK_EDITION))
    with pytest.raises(DataError, match='not of 2017-08-31 here'):
        recorded.record(2)
