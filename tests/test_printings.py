"""The three printings of the book, and a reader's own."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import hashlib
import json

import numpy as np
import pytest
from gluon_mlp.compare import printings, quantities
from gluon_mlp.errors import DataError
from numpy.testing import assert_array_equal

# Of the values of each printing, float64, section by section.
DIGESTS = {
    'en-2021-03-19':
    '3212a39c41d847671d03ddf8cb0c3a9f4844831a7310a01628c46d9acf4dd165',
    'zh-2022-01-14':
    '29ec2da82746327438979a356ca8147a2181b80ab1c01af75deefd8059a808a1',
    'zh-2022-03-15':
    '1c2b6d2f7deb495555731f2eccfaad8bcba5af1bd5cb24e917d6500f59f1a00a'}


def whats(quantities):
    return [(q.section, q.what, q.x) for q in quantities]


@pytest.mark.parametrize('name', printings.NAMES)
def test_each_printing_has_1307_numbers(name):
    found = printings.load(name).quantities()
    assert sum(q.count for q in found) == 1307


@pytest.mark.parametrize('name', printings.NAMES)
def test_the_numbers_are_those_that_were_read_from_the_notebooks(name):
    values = b''.join(q.values.astype('<f8').tobytes()
                      for q in printings.load(name).quantities())
    assert hashlib.sha256(values).hexdigest() == DIGESTS[name]


def test_the_printings_lack_the_same_numbers():
    """They are the points outside the figures' axes."""
    first, *others = (printings.load(name).quantities()
                      for name in printings.NAMES)
    for other in others:
        assert whats(other) == whats(first)
        for q, q_first in zip(other, first):
            assert_array_equal(np.isnan(q.values), np.isnan(q_first.values))


def test_what_does_not_depend_on_the_shuffle_agrees_between_them():
    """To the digits known; the long product of 4.8 to rounding."""
    first, *others = (printings.load(name).quantities()
                      for name in printings.NAMES)
    exact = [q for q in first if q.kind == 'exact']
    assert len(exact) == 19
    for other in others:
        for q, q_first in zip(other, first):
            if q.kind == 'exact':
                allowed = (2e-5 * abs(q.values) if 'product' in q.what
                           else q.tolerance + q_first.tolerance)
                assert (abs(q.values - q_first.values) <= allowed).all()


def test_the_first_epochs_are_those_of_all():
    printing = printings.load('en-2021-03-19')
    for q, whole in zip(printing.quantities('mlp_concise', 5),
                        printing.quantities('mlp_concise')):
        assert q.x == [1, 2, 3, 4, 5]
        assert_array_equal(q.values, whole.values[:5])


@pytest.mark.parametrize('name', printings.NAMES)
def test_a_printing_says_where_it_comes_from(name):
    about = printings.load(name).about
    assert about['executed'] == name[3:]
    assert ('English' if name[:2] == 'en' else 'Chinese') in about['book']
    assert about['how']


def test_every_kind_digits_and_axis_is_explained():
    about = quantities.about()
    entries = [e for es in quantities.described().values() for e in es]
    assert {e['kind'] for e in entries} == set(about['kind'])
    assert {e['digits'] for e in entries} == set(about['digits'])
    assert all(('x' in e) != ('shape' in e) for e in entries)


# A reader's own


@pytest.fixture
def own(tmp_path):
    """Write a printing, and load it."""
    def load(numbers, **about):
        path = tmp_path / 'own.json'
        path.write_text(numbers if isinstance(numbers, str) else json.dumps(
            {'about': about, 'numbers': numbers}), 'utf-8')
        return printings.load(path)
    return load


def test_a_file_of_the_same_form_is_a_printing(own):
    losses = [None, 0.6, 0.52, 0.48, 0.46, 0.44, 0.42, 0.41, 0.4, 0.39]
    printing = own({'mlp_concise': {'train_loss': losses}}, book='mine')
    quantity, = printing.quantities()
    assert (quantity.section, quantity.what) == ('mlp_concise', 'train_loss')
    assert quantity.values.tolist()[1:] == losses[1:]
    assert (quantity.count, quantity.kind) == (9, 'statistical')
    assert printing.about == {'book': 'mine'}
    assert printing.quantities('mlp') == []


@pytest.mark.parametrize('name', printings.NAMES)
def test_the_books_files_have_that_form(own, name):
    path = printings.FOLDER / f'{name}.json'
    printing = own(path.read_text('utf-8'))
    for q, q_book in zip(printing.quantities(),
                         printings.load(name).quantities()):
        assert_array_equal(q.values, q_book.values)


LOSSES = [0.5] * 10


@pytest.mark.parametrize('numbers, told', [
    ('{"numbers": {"mlp"', "Expecting ':' delimiter: line 1 column 19"),
    ('[1, 2]', 'not of the form {"about": {...}, "numbers": {...}}'),
    ('{"about": 3}', 'not of the form'),
    ('[' * 100000, 'recursion'),
    ('{"about": {}}', '"numbers" is not an object'),
    ({}, 'it holds no number'),
    ({'mlp_concise': {'train_loss': [None] * 10}}, 'it holds no number'),
    ({'mlp_consise': {}}, "there is no section 'mlp_consise', only mlp, "),
    ({'mlp_concise': [LOSSES]}, 'mlp_concise is not an object'),
    ({'mlp_concise': {'loss': LOSSES}},
     "mlp_concise has no quantity 'loss', only train_loss, "),
    ({'mlp_concise': {'train_loss': LOSSES[1:]}},
     'mlp_concise, train_loss: its shape is (9,), not (10,)'),
    ({'mlp_concise': {'train_loss': [LOSSES[:2], LOSSES[1:]]}},
     'its shape is (2,), not (10,)'),
    ({'mlp_concise': {'train_loss': 0.5}}, 'its shape is (), not (10,)'),
    ({'mlp_concise': {'train_loss': []}}, 'its shape is (0,), not (10,)'),
    ({'mlp_concise': {'train_loss': ['0.5'] * 10}}, "'0.5' cannot be its"),
    ({'mlp_concise': {'train_loss': [True] * 10}}, 'True cannot be its'),
    ({'mlp_concise': {'train_loss': [{}] * 10}}, '{} cannot be its'),
    ({'mlp_concise': {'train_loss': LOSSES[1:] + [float('nan')]}},
     'nan cannot be its value'),
    ({'mlp_concise': {'train_loss': LOSSES[1:] + [10 ** 400]}},
     'cannot be its value'),
    ({'weight_decay': {'concise_wd_3/train_loss': [0.0] * 20}},
     '0.0 cannot be its value')])
def test_a_file_of_another_form_is_told_in_one_line(own, numbers, told):
    with pytest.raises(DataError) as error:
        own(numbers)
    message = str(error.value)
    assert message.startswith('printing ') and 'own.json' in message
    assert told in message
    assert '\n' not in message


@pytest.mark.parametrize('name, told', [
    ('en-2021', 'No such file or directory'), ('.', 'Is a directory')])
def test_a_printing_that_is_not_there_is_told_in_one_line(name, told):
    with pytest.raises(DataError) as error:
        printings.load(name)
    assert str(error.value) == (
        f'printing {name}: {told}; it is neither a file nor one of '
        'en-2021-03-19, zh-2022-01-14, zh-2022-03-15')
