"""What a script does last: the history's file, and the closing word."""
import csv
import re
from types import SimpleNamespace

import numpy as onp
import pytest
from gluon_mlp import (
    dropout,
    environment,
    experiment,
    mlp,
    mlp_concise,
    sections,
    underfit_overfit,
    weight_decay,
)
from gluon_mlp import kaggle_house_price as house
from gluon_mlp.compare import printings
from gluon_mlp.d2l import training
from gluon_mlp.run import closing
from mxnet import np

USUAL = {'seed': 0, 'device': 'cpu', 'num_epochs': 10}
ROWS = [(1, 0.9, 0.5, 0.6), (2, 0.25, 0.75, 0.84316)]


@pytest.fixture(autouse=True)
def no_data_yet():
    """No test sees the edition of the images that another one has loaded."""
    with experiment.use(edition=None):
        yield


def train(*histories):
    """Trainings that have these rows."""
    for rows in histories:
        history = []
        for _ in experiment.current.epochs(len(rows), history, None):
            history.append(rows[len(history)])


def words(capsys):
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize('section, settings, edition, reasons', [
    (mlp_concise, {}, '2017-08-26', 'another shuffle'),
    (mlp_concise, {}, '2017-08-31', 'another shuffle, older images'),
    (mlp_concise, {'num_epochs': 2}, '2017-08-26',
     'num_epochs 10, another shuffle'),
    (mlp_concise, {'seed': 1, 'lr': 0.2, 'num_gpus': 1}, None,
     'seed 0, lr 0.1, another shuffle'),
    (mlp_concise, {'device': 'gpu'}, None, 'device cpu, another shuffle')])
def test_the_books_number_and_why_it_differs(section, settings, edition,
                                             reasons, capsys):
    with closing.closing(section, {**USUAL, **settings}):
        train(ROWS)
        experiment.current.edition = edition
    *lines, last = words(capsys)
    assert lines == ['yours: test acc 0.8432',
                     f'book:  test acc 0.8612 ({reasons})']
    assert re.fullmatch(r'took \d+ s; next: .* exercise 4\.3, or run 4\.4',
                        last)


@pytest.mark.parametrize('section, histories', [
    (mlp, []), (environment, [[(1, 0.5)]]), (mlp_concise, []),
    (mlp_concise, [ROWS, ROWS])])
def test_what_the_book_has_not_is_not_compared(section, histories, capsys):
    """Nor is a script that trains something else than the book's."""
    with closing.closing(section, USUAL):
        train(*histories)
    line, = words(capsys)
    assert line.startswith('took ')


def test_the_books_numbers_are_those_of_a_printing():
    numbers = printings.load('zh-2022-01-14').numbers
    wanted = {
        'mlp_scratch': [numbers['mlp_scratch']['test_acc'][-1]],
        'mlp_concise': [numbers['mlp_concise']['test_acc'][-1]],
        'underfit_overfit': numbers['underfit_overfit']['normal/weight'],
        'weight_decay': [values for what, values in
                         numbers['weight_decay'].items() if 'norm' in what],
        'dropout': [numbers['dropout'][f'{name}/test_acc'][-1]
                    for name in ('scratch', 'concise')],
        'kaggle_house_price': [
            numbers['kaggle_house_price'][f'average_log_rmse/{name}']
            for name in ('train', 'valid')]}
    assert set(wanted) == {slug for slug, known in closing.CLOSINGS.items()
                           if known.book}
    for slug, values in wanted.items():
        texts = closing.CLOSINGS[slug].book.split(', ')
        # A point of a figure is right to six digits.
        onp.testing.assert_allclose([float(text) for text in texts],
                                    onp.ravel(values), rtol=0, atol=0.51 * (
                                        10.0 ** -len(texts[0].split('.')[1])))


def test_every_section_that_trains_names_its_columns():
    """Else --history, which it then takes, would fail at its end."""
    trains = {section.slug for section in sections.SECTIONS
              if 'num_epochs' in sections.script(section).read_text('utf-8')}
    assert trains == set(closing.CLOSINGS)


def test_norms_are_those_of_4_5(capsys):
    data = weight_decay.load_data()
    with closing.closing(weight_decay, {'seed': 0, 'device': 'cpu'}):
        norms = [fit(wd, *data, num_epochs=2)[0]
                 for fit in (weight_decay.train, weight_decay.train_concise)
                 for wd in (0, 3)]
    assert words(capsys)[0] == 'yours: norms of w ' + ', '.join(
        f'{norm:.4f}' for norm in norms)


def test_weights_are_those_of_4_4(capsys):
    """The images that the script loads after the listings change nothing."""
    X, y = np.random.normal(size=(8, 4)), np.random.normal(size=8)
    with closing.closing(underfit_overfit, {**USUAL, 'num_epochs': 400}):
        weight, *_ = [underfit_overfit.train(X, X, y, y, 2)[0]
                      for _ in range(3)]
        experiment.current.edition = '2017-08-31'
    ours, book, _ = words(capsys)
    assert ours == 'yours: weights ' + ', '.join(f'{w:.4f}' for w in weight)
    assert book == ('book:  weights 5.0191, 1.2223, -3.4237, 5.5720 (another '
                    'shuffle)')


def test_averages_are_those_of_4_10(capsys):
    X = np.random.normal(size=(30, 3))
    y = np.exp(np.random.normal(size=(30, 1)) + 10)
    with closing.closing(house, {**USUAL, 'k': 5}):
        folds = house.k_fold(3, X, y, 2, 5, 0, 8)
        house.train_and_pred(X, X, y, 2, 5, 0, 8)
    averages = ', '.join(f'{l:.6f}' for l in house.average(folds))
    assert words(capsys)[:2] == [
        f'yours: average log rmse {averages}',
        'book:  average log rmse 0.165234, 0.170360 (num_epochs 100, '
        'another shuffle)']


def test_the_history_is_a_table_of_all_epochs(tmp_path, capsys):
    path = tmp_path / 'history.csv'
    with closing.closing(dropout, USUAL, path):
        train(ROWS, ROWS[:1])
    assert capsys.readouterr().out == f'history: {path}\n'
    head, *rows = csv.reader(path.open(newline=''))
    assert head == ['training', 'epoch', *training.Epoch._fields]
    assert [[float(x) for x in row] for row in rows] == [
        [1, *ROWS[0]], [1, *ROWS[1]], [2, *ROWS[0]]]


def test_a_run_that_fails_leaves_no_history(tmp_path, capsys):
    """What was there before stays as it was."""
    path = tmp_path / 'history.csv'
    path.write_text('before')
    with pytest.raises(ZeroDivisionError):
        with closing.closing(dropout, USUAL, path):
            train(ROWS)
            raise ZeroDivisionError
    assert path.read_text() == 'before' and words(capsys) == []
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_first_worker_closes(tmp_path, capsys):
    with experiment.use(workers=SimpleNamespace(rank=1)):
        with closing.closing(dropout, USUAL, tmp_path / 'history.csv'):
            train(ROWS)
    assert words(capsys) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('found, command', [
    ('/usr/bin/gluon-mlp', 'gluon-mlp'), (None, 'python -m gluon_mlp')])
def test_the_next_step_can_be_typed(found, command, monkeypatch):
    monkeypatch.setattr(closing.shutil, 'which', lambda name: found)
    monkeypatch.setattr(closing.sys, 'executable', 'python')
    monkeypatch.setattr(closing.sections, 'SECTIONS', [
        sections.find('4.10'),
        sections.Section('4.11', 'none', 'No exercises', '没有练习', 0)])
    assert closing._next('kaggle_house_price') == (
        f'{command} exercise 4.10, or run 4.11')
    assert closing._next('none') == f'{command} compare'
