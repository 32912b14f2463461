"""The wrong ports: each is wrong, and their table says who catches it."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import functools
import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from conftest import ROOT
from gluon_mlp.compare import command, control, power, reproduce
from gluon_mlp.compare.power import MUTANTS, Caught, Port
from gluon_mlp.compare.quantities import is_trained
from gluon_mlp.errors import NonFiniteLossError
from house_tables import use_real_tables

TABLE = json.loads(command.POWER.read_text('utf-8'))['mutants']


def numbers_of(section):
    """The bits of two epochs of each training, or those of the section."""
    if not is_trained(section):
        numbers = reproduce.reproduce(section)
        return [numbers[what].tobytes() for what in sorted(numbers)]
    return [array.tobytes() for training in control.our_trainings(section, 2)
            for array in training]


right = functools.cache(numbers_of)


@pytest.mark.parametrize('index', range(len(MUTANTS)), ids=[
    f'{mutant.section}: {mutant.what}' for mutant in MUTANTS])
def test_each_wrong_port_computes_something_else(few_images, monkeypatch,
                                                 tmp_path, index):
    """And is gone again afterwards."""
    section, _, make = MUTANTS[index]
    if section == 'kaggle_house_price':
        use_real_tables(monkeypatch, tmp_path)
    before = right(section)
    with Port() as port:
        make(port)
        try:
            assert numbers_of(section) != before
        except NonFiniteLossError:
            pass  # it diverges
    if index + 1 == len(MUTANTS) or MUTANTS[index + 1].section != section:
        assert numbers_of(section) == before


def test_there_are_as_many_as_promised_and_none_twice():
    names = [(mutant.section, mutant.what) for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 30


def test_the_table_has_each_of_them_and_none_is_caught_by_neither():
    assert [(row['section'], row['what']) for row in TABLE] == [
        mutant[:2] for mutant in MUTANTS]
    for row in TABLE:
        assert list(row) == ['section', 'what', *Caught._fields]
        assert row['printings'] or row['control'], row
        assert row['printings'] or not row['quick_printings'], row
        assert row['control'] or not row['quick_control'], row


def test_the_page_on_compare_has_the_same_table():
    page = (ROOT / 'docs/compare.md').read_text('utf-8')
    rows = [line for line in page.splitlines()
            if line.count('|') == 5 and line.startswith('| 4.')]
    assert rows == [power.table_row(**row) for row in TABLE]


@pytest.mark.parametrize('caught, quick, row', [
    ((True, False), (False, False), '| 4.1 | it | printings | neither |'),
    ((True, True), (False, True), '| 4.1 | it | both | control |')])
def test_a_row_of_the_table_says_by_whom(caught, quick, row):
    found = Caught(*caught, *quick)._asdict()
    assert power.table_row('mlp', 'it', **found) == row


def test_what_quick_misses_is_told_of_the_sections_compared(monkeypatch,
                                                            tmp_path):
    found = [{'section': section, 'what': what, **Caught(
        True, True, *quick)._asdict()} for section, what, *quick in [
            ('mlp', 'a', False, False), ('mlp', 'b', True, False),
            ('mlp', 'c', False, True), ('dropout', 'd', False, False)]]
    monkeypatch.setattr(command, 'POWER', tmp_path / 'power.json')
    command.POWER.write_text(power.written(found), 'utf-8')
    assert json.loads(command.POWER.read_text('utf-8'))['mutants'] == found
    for sections, told in ((['mlp'], '4.1 a'), (['dropout'], '4.6 d'),
                           (['weight_decay'], 'none')):
        assert command.not_caught(SimpleNamespace(sections=sections)) == told


def test_power_judges_each_and_writes_the_table(monkeypatch, tmp_path,
                                                capsys):
    """In this process, and without a training."""
    @contextmanager
    def here():
        yield lambda f, *args: SimpleNamespace(result=lambda: f(*args))
    monkeypatch.setattr(command, 'processes', here)
    assert power.power('mlp', tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        f'| 4.1 | {mutant.what} | printings | printings |'
        for mutant in MUTANTS if mutant.section == 'mlp']
    found = json.loads((tmp_path / 'power.json').read_text('utf-8'))
    assert [row['what'] for row in found['mutants']] == [
        mutant.what for mutant in MUTANTS if mutant.section == 'mlp']


@pytest.fixture(scope='module')
def books_of():
    """The trainings of the book's code, as `power.judge` is given them."""
    found = {}

    def of(section):
        if section not in found:
            found[section] = [control.book_trainings(section, n)
                              for n in power.EPOCHS]
        return found[section]
    return of


@pytest.mark.slow
@pytest.mark.parametrize('section, what', [
    ('weight_decay', 'bias decayed, too'), ('weight_decay', 'lambda 3.1'),
    ('mlp_concise', 'one order for all epochs')])
def test_the_table_says_what_is_found(real_data, books_of, section, what):
    row, = (row for row in TABLE if row['section'] == section
            and row['what'] == what)
    index = [mutant[:2] for mutant in MUTANTS].index((section, what))
    assert power.judge(index, books_of(section))._asdict() == {
        name: row[name] for name in Caught._fields}


@pytest.mark.slow
@pytest.mark.parametrize('section', ['mlp_concise', 'weight_decay'])
def test_a_training_that_is_right_is_caught_by_nobody(
        real_data, books_of, monkeypatch, section):
    monkeypatch.setattr(power, 'MUTANTS', [
        power.Mutant(section, 'nothing', lambda port: None)])
    assert power.judge(0, books_of(section)) == (False,) * 4


def test_a_port_that_is_right_is_caught_by_nobody(monkeypatch):
    monkeypatch.setattr(power, 'MUTANTS', [
        power.Mutant('mlp', 'nothing', lambda port: None)])
    assert power.judge(0, []) == (False, False, False, False)


def test_a_training_that_fails_is_caught(monkeypatch):
    def fails(*args):
        raise ValueError('shapes')
    monkeypatch.setattr(power, 'MUTANTS', [power.Mutant(
        'mlp_scratch', 'it', lambda port: port.put(reproduce, reproduce=fails)
    )])
    monkeypatch.setattr(control, 'reproduce', fails)
    assert power.judge(0, [{}, {}]) == (True, True, True, True)
