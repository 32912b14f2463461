"""docs/source-map.md: what it names exists, and no row of it is empty."""
import inspect
import re
from functools import cache
from pkgutil import resolve_name

import pytest
from conftest import ROOT
from gluon_mlp.exercises import exercises
from gluon_mlp.sections import SECTIONS
from test_docs import tables

PAGE = ROOT / 'docs' / 'source-map.md'
EXERCISES = exercises()
ROWS = [row for table in tables(PAGE) for row in table[2:]]


def flat(text):
    """The text without line breaks and marks of comments."""
    return ' '.join(re.sub('^# ?', '', text, flags=re.M).split())


def below(heading, text, mark):
    """What stands in `text` from its `heading` to the next English one."""
    _, *parts = re.split(rf'^{mark}#+ (?=\w)(?![\u4e00-\u9fff])', text,
                         flags=re.M)
    found, = (part for part in parts
              if part.partition('\n')[0] == heading)
    return flat(found)


@cache
def source(name):
    """The text of what a map's code span names; raises if there is none."""
    if name.startswith('exercise '):
        number = name.partition(' ')[2]
        return flat(inspect.getsource(EXERCISES[number].run))
    if ': ' in name:
        page, heading = name.split(': ', 1)
        if page == 'README':
            return below(heading, (ROOT / 'README.md').read_text(), '')
        script = (ROOT / 'chapters' / f'{page}.py').read_text()
        return below(heading, script, '# ')
    found = resolve_name(f'gluon_mlp.{name}')
    return flat(inspect.getsource(found)) if callable(found) else ''


def spans(cell):
    return re.findall(r'`([^`]+)`', cell)


def problems(row):
    """What is wrong with a row of the map, in words."""
    if len(row) != 4 or not all(cell.strip() for cell in row):
        return 'a cell is missing or empty'
    _, how, ours, beyond = row
    texts = []
    for name in [*spans(ours), *spans(beyond)]:
        try:
            texts.append(source(name))
        except (ImportError, AttributeError, KeyError, OSError, ValueError):
            return f'there is no {name}'
    quotes = re.findall(r'"([^"]+)"', ours + beyond)
    lost = [quote for quote in quotes
            if not any(quote in text for text in texts)]
    if lost:
        return f'not said there: {lost[0]}'
    if how not in ('code', 'words', 'none'):
        return f'what is {how}?'
    if how == 'words' and not quotes:
        return 'where are the words?'
    if bool(spans(ours)) == (how == 'none'):
        return 'nothing is named, or something is'
    return None


def test_every_row_names_what_exists_and_quotes_what_is_said():
    assert len(ROWS) > 100
    assert {row[0]: wrong for row in ROWS if (wrong := problems(row))} == {}


def test_the_page_counts_its_rows():
    hows = [row[1] for row in ROWS]
    told = re.search(r'(\d+) passages: (\d+) have code, (\d+) words only, '
                     r'and (\d+) neither', PAGE.read_text())
    assert [*map(int, told.groups())] == [
        len(hows), *map(hows.count, ('code', 'words', 'none'))]


def test_each_section_has_a_table():
    headings = re.findall(r'^## (\S+)', PAGE.read_text(), re.M)
    assert headings[1:] == [section.number for section in SECTIONS]


@pytest.mark.parametrize('ours, how, problem', [
    ('`mlp.relu`', 'code', None),
    ('`mlp.rely`', 'code', 'there is no mlp.rely'),
    ('`nowhere.relu`', 'code', 'there is no nowhere.relu'),
    ('`mlp: ReLU`', 'code', None),
    ('`mlp: Rely`', 'code', 'there is no mlp: Rely'),
    ('`README: The sections`', 'code', None),
    ('`exercise 4.1.1`', 'code', None),
    ('`exercise 4.1.9`', 'code', 'there is no exercise 4.1.9'),
    ('`mlp: ReLU`: "consists of two straight lines"', 'words', None),
    ('`mlp: ReLU`: "of three lines"', 'words',
     'not said there: of three lines'),
    ('`mlp: ReLU`', 'words', 'where are the words?'),
    ('of ReLU', 'code', 'nothing is named, or something is'),
    ('another chapter', 'none', None), ('`mlp.relu`', 'new', 'what is new?'),
    (' ', 'none', 'a cell is missing or empty')])
def test_what_is_wrong_with_a_row_is_found(ours, how, problem):
    assert problems(['a passage', how, ours, '–']) == problem
