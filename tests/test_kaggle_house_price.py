"""4.10, on the real tables where they are, and on made ones."""
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import numpy as onp
import pandas as pd
import pytest
from conftest import ROOT
from gluon_mlp import experiment
from gluon_mlp import kaggle_house_price as house
from gluon_mlp.d2l import training
from gluon_mlp.errors import DataError, FolderError, NonFiniteLossError
from house_tables import (
    CATEGORIES,
    NUMERIC,
    find_real_tables,
    sha1,
    write_tables,
)
from mxnet import gluon, np


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for the data, and no way to download them."""
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(house, 'URLS', ('http://127.0.0.1:9/',))
    return house.cache_folder()


@pytest.fixture
def made(home, monkeypatch):
    """The made tables, in place of the real ones."""
    write_tables(home)
    monkeypatch.setattr(house, 'FILES',
                        {name: sha1(home / name) for name in house.FILES})
    return home


@pytest.fixture
def real(tmp_path, monkeypatch):
    """The real tables, in a folder of their own. Skips without them."""
    folder = find_real_tables()
    if folder is None:
        pytest.skip('the house price tables are not on this machine')
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    return Path(shutil.copytree(folder, house.cache_folder()))


@pytest.fixture
def small_data():
    """10 houses of 3 features: float32, prices near 100 dollars."""
    rng = onp.random.default_rng(0)
    X = rng.normal(size=(10, 3)).astype('float32')
    y = (100 + 10 * X.sum(axis=1, keepdims=True)).astype('float32')
    return np.array(X), np.array(y)


# The data

def test_a_file_that_is_there_is_used_without_the_network(made):
    assert Path(house.download('kaggle_house_pred_train.csv')).parent == made


@pytest.mark.parametrize('damage, what', [
    (lambda path: path.unlink(), 'is missing'),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), 'is damaged')])
def test_one_line_says_where_to_put_the_files(made, damage, what):
    name = 'kaggle_house_pred_test.csv'
    damage(made / name)
    with pytest.raises(DataError) as error:
        house.load_data()
    message = str(error.value)
    assert '\n' not in message
    assert f'{made / name} {what} and cannot be downloaded' in message
    assert all(file in message.split(': put')[1] for file in house.FILES)


def test_a_pipe_in_a_files_place_is_not_waited_for(made):
    path = made / 'kaggle_house_pred_train.csv'
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=f'{path} is no file: remove it'):
        house.load_data()


def test_a_data_folder_that_cannot_be_made_is_a_data_error(home):
    home.parent.parent.write_text('a file where the folder should be')
    with pytest.raises(DataError, match='is missing'):
        house.load_data()


def test_the_second_url_serves_when_the_first_is_gone_or_wrong(
        made, tmp_path, monkeypatch):
    """The first address has one file damaged, and the other not at all."""
    site = shutil.copytree(made, tmp_path / 'site' / 'good')
    wrong = tmp_path / 'site' / 'wrong'
    wrong.mkdir()
    (wrong / 'kaggle_house_pred_train.csv').write_text('Id\n1\n')
    shutil.rmtree(made)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler,
                                directory=tmp_path / 'site')
    monkeypatch.setattr(handler.func, 'log_message', lambda *args: None)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}/'
        monkeypatch.setattr(house, 'URLS', (url + 'wrong/', url + 'good/'))
        house.load_data()
        # A mirror is asked first. It has the layout of MXNet's store.
        shutil.rmtree(made)
        shutil.copytree(site, tmp_path / 'site/gluon/dataset/kaggle_house')
        monkeypatch.setattr(house, 'URLS', (url + 'wrong/',))
        monkeypatch.setenv('MXNET_GLUON_REPO', url)
        house.load_data()
        server.shutdown()
    assert {name: sha1(made / name) for name in house.FILES} == house.FILES
    (made / 'new').touch()  # others may read them as any new file
    assert len({path.stat().st_mode for path in made.iterdir()}) == 1
    (made / 'new').unlink()
    assert sorted(path.name for path in made.iterdir()) == sorted(
        path.name for path in site.iterdir())  # nothing partial


FETCH = """
import sys
from gluon_mlp import kaggle_house_price as house
house.URLS, house.FILES = (sys.argv[1],), eval(sys.argv[2])
print([table.shape for table in house.load_data()])
"""


@pytest.mark.slow
def test_eight_processes_that_fetch_at_once_all_have_the_tables(
        made, tmp_path, monkeypatch):
    site = shutil.copytree(made, tmp_path / 'site')
    shutil.rmtree(made)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler,
                                directory=site)
    monkeypatch.setattr(handler.func, 'log_message', lambda *args: None)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        processes = [subprocess.Popen(
            [sys.executable, '-c', FETCH, f'http://127.0.0.1:'
             f'{server.server_port}/', repr(house.FILES)], text=True,
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, 'NO_PROXY': '127.0.0.1'}) for _ in range(8)]
        for process in processes:
            out, err = process.communicate(timeout=200)
            assert out == '[(50, 81), (50, 80)]\n', err
        server.shutdown()
    assert sorted(path.name for path in made.iterdir()) == sorted(house.FILES)


def test_none_is_a_category_and_na_is_missing(home, monkeypatch):
    tables = write_tables(home)
    monkeypatch.setattr(house, 'FILES',
                        {name: sha1(home / name) for name in house.FILES})
    train_data, test_data = house.load_data()
    for table, read in zip(tables, (train_data, test_data)):
        for name in CATEGORIES:
            assert (read[name] == 'None').sum() == (
                table[name] == 'None').sum() > 0
            assert (read[name].isna() == table[name].isna()).all()


def test_features_equal_those_computed_cell_by_cell(made):
    """Standardized numbers, 0 and 1 for categories, in float64."""
    tables = house.load_data()
    all_features = house.preprocess(*tables)
    rows = pd.concat([tables[0].drop(columns='SalePrice'), tables[1]])
    for name in NUMERIC:
        x = rows[name].to_numpy(dtype=float)
        expected = (x - onp.nanmean(x)) / onp.nanstd(x, ddof=1)
        onp.testing.assert_allclose(  # float32 rounding of values below 4
            all_features[name], onp.nan_to_num(expected), rtol=0, atol=4e-7)
    for name in CATEGORIES:
        for value in ('None', 'Gd', 'TA'):
            assert (all_features[f'{name}_{value}'].to_numpy()
                    == [cell == value for cell in rows[name]]).all()
        assert (all_features[f'{name}_nan'].to_numpy()
                == rows[name].isna().to_numpy()).all()
    assert all_features.shape == (100, len(NUMERIC) + 4 * len(CATEGORIES))
    assert set(all_features.dtypes) == {onp.dtype('float32')}


def test_arrays_split_the_features_and_keep_the_prices(made):
    tables = house.load_data()
    all_features = house.preprocess(*tables)
    train_features, test_features, train_labels = house.to_arrays(
        all_features, tables[0])
    assert (train_features.asnumpy() == all_features.values[:50]).all()
    assert (test_features.asnumpy() == all_features.values[50:]).all()
    assert train_labels.dtype == onp.float32
    assert (train_labels.asnumpy()[:, 0] == tables[0].SalePrice).all()


def test_the_real_tables_give_the_331_features_of_the_book(real):
    tables = house.load_data()
    assert [table.shape for table in tables] == [(1460, 81), (1459, 80)]
    for name in NUMERIC + CATEGORIES:
        assert (tables[0][name].dtype.kind in 'if') == (name in NUMERIC)
    all_features = house.preprocess(*tables)
    assert all_features.shape == (2919, 331)
    assert onp.isfinite(all_features.values).all()


# The measure, the training and the folds

def test_log_rmse_is_that_of_numpy_with_prices_clipped_at_1():
    preds = onp.array([[-5.], [0.5], [1.], [2e5], [3e5]], dtype='float32')
    labels = onp.array([[1e5], [2.], [1.], [1.5e5], [7e5]], dtype='float32')
    expected = onp.sqrt(onp.mean(
        (onp.log(onp.maximum(preds.astype(float), 1))
         - onp.log(labels.astype(float))) ** 2))
    rmse = house.log_rmse(lambda X: X, np.array(preds), np.array(labels))
    assert rmse.shape == ()
    assert float(rmse) == pytest.approx(expected, rel=1e-6)


def adam(X, y, w, b, orders, lr, wd, batch_size):
    """The log rmse of each epoch of linear regression by Adam, in float64.

    MXNet's kernel has the decay rates in float32, where 1 - 0.999 is
    0.00100005.
    """
    params, ls, t = [w, b], [], 0
    beta1, beta2 = [float(onp.float32(beta)) for beta in (0.9, 0.999)]
    m, v = [[onp.zeros_like(p) for p in params] for _ in range(2)]
    for order in orders:
        for i in range(0, len(X), batch_size):
            rows, t = order[i:i + batch_size], t + 1
            error = X[rows] @ params[0] + params[1] - y[rows]
            grads = X[rows].T @ error, error.sum(axis=0)
            for j, g in enumerate(grads):
                g = g / batch_size + wd * params[j]
                m[j] = beta1 * m[j] + (1 - beta1) * g
                v[j] = beta2 * v[j] + (1 - beta2) * g ** 2
                step = lr * onp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
                params[j] = params[j] - step * m[j] / (onp.sqrt(v[j]) + 1e-8)
        preds = onp.maximum(X @ params[0] + params[1], 1)
        ls.append(onp.sqrt(((onp.log(preds) - onp.log(y)) ** 2).mean()))
    return ls


@pytest.mark.parametrize('wd', [0, 0.5])
def test_training_is_adam_in_numpy(small_data, wd):
    """On the same batches. The last one, of 2, is divided by 4, too.

    The errors of 30 updates in float32, about 1e-7 each, add up to less than
    1e-5. A wrong divisor would change the fifth digit.
    """
    X, y = small_data
    net = house.get_net()
    training.seed(0)
    net(X)  # draws the weights
    w, b = [p.data().asnumpy().astype(float)
            for p in net.collect_params().values()]
    onp.random.seed(3)
    orders = [onp.arange(10) for _ in range(10)]
    for order in orders:
        onp.random.shuffle(order)
    expected = adam(*[a.asnumpy().astype(float) for a in (X, y)], w.T, b,
                    orders, 5, wd, 4)
    onp.random.seed(3)
    train_ls, test_ls = house.train(net, X, y, X[:4], y[:4], 10, 5, wd, 4)
    onp.testing.assert_allclose(train_ls, expected, rtol=1e-5)
    assert len(test_ls) == 10
    assert test_ls[-1] == float(house.log_rmse(net, X[:4], y[:4]))


def test_a_loss_that_is_not_finite_is_an_error(small_data):
    X, y = small_data
    with pytest.raises(NonFiniteLossError, match='epoch 1'):
        house.train(house.get_net(), X * float('nan'), y, None, None, 1, 5,
                    0, 4)


@pytest.mark.parametrize('n, k', [(10, 5), (11, 3), (4, 2)])
def test_each_fold_is_the_next_block_of_rows_and_the_rest_trains(n, k):
    """Of MXNet's arrays. If k divides n, a fold is the book's n // k rows."""
    X = np.arange(2 * n).reshape(n, 2)
    y = np.arange(n).reshape(n, 1)
    for i in range(k):
        data = house.get_k_fold_data(k, i, X, y)
        valid = list(range(n * i // k, n * (i + 1) // k))
        rest = [row for row in range(n) if row not in valid]
        for a, rows in zip(data, (rest, rest, valid, valid)):
            assert isinstance(a, np.ndarray) and a.dtype == onp.float32
            assert a[:, 0].asnumpy().tolist() == [
                row * a.shape[1] for row in rows]


@pytest.mark.parametrize('n, k', [(100, 5), (11, 4), (3, 3)])
def test_folds_are_disjoint_consecutive_and_cover_all_rows(n, k):
    """Of NumPy's arrays."""
    X, y = onp.arange(2 * n).reshape(n, 2), onp.arange(n)
    valid_rows = []
    for i in range(k):
        X_train, y_train, X_valid, y_valid = house.get_k_fold_data(k, i, X, y)
        assert (X_train == X[y_train]).all() and (X_valid == X[y_valid]).all()
        assert sorted([*y_train, *y_valid]) == list(range(n))
        assert n // k <= len(y_valid) <= -(-n // k)
        valid_rows += y_valid.tolist()
    assert valid_rows == list(range(n))


@pytest.mark.parametrize('k, i, message', [
    (1, 0, '3 examples cannot make 1 folds'), (4, 0, 'cannot make 4 folds'),
    (3, 3, 'no fold 3 among 3'), (3, -1, 'no fold -1 among 3')])
def test_impossible_folds_are_refused(k, i, message):
    with pytest.raises(ValueError, match=message):
        house.get_k_fold_data(k, i, onp.ones((3, 1)), onp.ones(3))


def test_k_fold_trains_a_fresh_network_a_fold(small_data):
    """The same draws, fold by fold."""
    X, y = small_data
    training.seed(0)
    folds = house.k_fold(2, X, y, 3, 5, 0, 5)
    training.seed(0)
    for valid, (train_ls, valid_ls) in zip((slice(0, 5), slice(5, 10)),
                                           folds):
        rest = onp.setdiff1d(onp.arange(10), onp.arange(10)[valid])
        net = gluon.nn.Dense(1)
        net.initialize()
        expected = house.train(net, X[rest], y[rest], X[valid], y[valid], 3,
                               5, 0, 5)
        # A network that is not hybridized may round differently.
        onp.testing.assert_allclose((train_ls, valid_ls), expected, rtol=1e-5)
    assert house.average(folds) == pytest.approx((
        (folds[0][0][2] + folds[1][0][2]) / 2,
        (folds[0][1][2] + folds[1][1][2]) / 2))


@pytest.mark.slow
@pytest.mark.mxnet
def test_five_folds_of_the_real_data_reach_the_published_error(real):
    """Validation log rmse from 0.168 to 0.173; published is 0.17036."""
    tables = house.load_data()
    X, _, y = house.to_arrays(house.preprocess(*tables), tables[0])
    training.seed(0)
    train_l, valid_l = house.average(house.k_fold(5, X, y, 100, 5, 0, 64))
    assert 0.168 < valid_l < 0.173
    assert train_l < valid_l


# The submission and the script

def test_the_submission_holds_each_id_with_its_price(tmp_path):
    path = tmp_path / 'new' / 'submission.csv'
    house.save_submission(pd.DataFrame({'Id': [7, 9], 'LotArea': [1, 2]}),
                          onp.array([1.5, 250000], dtype='float32'), path)
    assert path.read_text() == 'Id,SalePrice\n7,1.5\n9,250000.0\n'
    assert list(path.parent.iterdir()) == [path]


def test_a_submission_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    def to_csv(table, partial, **kwargs):
        Path(partial).write_text('Id,SaleP')
        raise OSError('disk full')

    path = tmp_path / 'submission.csv'
    path.write_text('old')
    monkeypatch.setattr(pd.DataFrame, 'to_csv', to_csv)
    with pytest.raises(OSError, match='disk full'):
        house.save_submission(pd.DataFrame({'Id': [7]}), [1.5], path)
    assert path.read_text() == 'old'


def test_the_submission_lies_beside_the_figures_unless_named(tmp_path):
    with experiment.use(figures=tmp_path / 'figures'):
        assert house.submission_path() == (
            tmp_path / 'figures' / 'submission.csv')
    path = tmp_path / 'new' / 'prices.csv'
    assert house.submission_path(path) == path
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_hold_the_submission_is_refused(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(FolderError, match='cannot write into .*/file '):
        house.submission_path(tmp_path / 'file' / 'prices.csv')


@pytest.mark.parametrize('name, why', [
    ('', 'is a folder: name a file'), ('new/..', 'is a folder: name a file'),
    ('x' * 256, 'File name too long')])
def test_no_name_of_a_file_is_refused_before_the_training(
        tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match=why):
        house.submission_path(Path(name))


def test_the_longest_name_of_a_file_can_be_written(tmp_path):
    path = house.submission_path(tmp_path / ('x' * 255))
    house.save_submission(pd.DataFrame({'Id': [7]}), [1.5], path)
    assert list(tmp_path.iterdir()) == [path]


ON_MADE_TABLES = """
import runpy, sys
from gluon_mlp import kaggle_house_price as house
house.FILES = eval(sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_the_options_reach_the_numbers_and_the_submission(made, tmp_path):
    """The script's digits are those of the same calls here.

    With --book-only: all that the script does are the book's listings.
    """
    path = tmp_path / 'new' / 'prices.csv'
    args = ('--book-only --k 3 --num-epochs 2 --lr 4 --wd 1e4 --batch-size '
            f'16 --submission {path} --output {tmp_path}').split()
    done = subprocess.run(
        [sys.executable, '-c', ON_MADE_TABLES, repr(house.FILES),
         'chapters/kaggle_house_price.py', *args], cwd=ROOT, text=True,
        capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = house.load_data()
    X, X_test, y = house.to_arrays(house.preprocess(*tables), tables[0])
    training.seed(0)
    folds = house.k_fold(3, X, y, 2, 4, 1e4, 16)
    train_ls, preds = house.train_and_pred(X, X_test, y, 2, 4, 1e4, 16)
    expected = [*(ls[-1] for fold in folds for ls in fold),
                *house.average(folds), train_ls[-1]]
    assert re.findall(r'log rmse (\S+\d)', done.stdout) == [
        f'{l:f}' for l in expected]
    submission = pd.read_csv(path)
    assert list(submission.Id) == list(range(51, 101))
    assert (submission.SalePrice.astype('float32') == preds).all()
    for name in ('kaggle_house_price_fold_1', 'kaggle_house_price'):
        assert (tmp_path / f'{name}.png').exists()


@pytest.mark.slow
def test_the_script_runs_on_the_real_tables(real, run_script, tmp_path):
    done = run_script('kaggle_house_price', '--num-epochs', 2, '--k', 2)
    assert (done.returncode, done.stderr) == (0, '')
    assert '(1460, 81) (1459, 80)\n' in done.stdout
    assert '(2919, 331)\n' in done.stdout
    assert len(pd.read_csv(tmp_path / 'figures' / 'submission.csv')) == 1459


def test_without_the_data_the_script_ends_with_one_line(home, tmp_path):
    nowhere = dict.fromkeys(['http_proxy', 'https_proxy'],
                            'http://127.0.0.1:9')
    done = subprocess.run(
        [sys.executable, 'chapters/kaggle_house_price.py', '--output',
         tmp_path / 'figures'], cwd=ROOT, env={**os.environ, **nowhere},
        capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f'error: {home / "kaggle_house_pred_train.csv"} is missing')
    assert 'Traceback' not in done.stderr
