"""`bench.json`, what is printed of a run, and two runs compared."""
import json
import sys
from operator import itemgetter

from rich.console import Console
from rich.table import Table

from ..errors import ChapterError, printable
from ..files import write_whole
from . import tables

SAME = 'kind', 'what', 'part', 'who', 'beside'  # what names an entry
ENTRY = {*SAME, 'times', 'median', 'q1', 'q3'}  # to compare


def write_json(result, path):
    """Write bench.json, never half of it; its path."""
    return write_whole(path, json.dumps(result, indent=1) + '\n')


def read_json(path):
    """What `write_json` wrote. Raises `ChapterError` if `path` is not one."""
    try:
        result = json.loads(path.read_text('utf-8'))
        if result['schema'] == 2 and isinstance(result['about'], dict) and (
                all(map(_is_entry, result['results']))):
            return result
    except (ValueError, LookupError, TypeError, AttributeError,
            RecursionError):
        pass
    raise ChapterError(f'{path} is no bench.json of this version')


def _is_entry(r):
    """Whether `r` is named by texts, and has seconds that can be compared."""
    return (r.keys() >= ENTRY and isinstance(r['times'], list) and r['times']
            and all(isinstance(r[name], str) for name in SAME[:2])
            and all(type(seconds) in (int, float) and 0 < seconds < 1e9
                    for seconds in (*r['times'], r['median'], r['q1'],
                                    r['q3'])))


def print_result(result):
    """Print the machine, a row for each entry, and the page's tables."""
    console = _console()
    console.print(printable(', '.join(
        f'{name} {value}' for name, value in result['about'].items()
        if value is not None)), soft_wrap=True, highlight=False)
    console.print(_table(result))
    for missing in result['missing']:
        console.print('not timed: {what}, {who}: {why}'.format(**missing),
                      soft_wrap=True)
    print(tables.page(result))


def _console():
    """A terminal, or a log, which has no width. A `[` is a plain letter."""
    return Console(width=None if sys.stdout.isatty() else 160, markup=False)


def _table(result):
    table = Table('what', 'who', box=None)
    for name in ('first', 'runs', 'median', 'quartiles', 'peak MB'):
        table.add_column(name, justify='right')
    for r in result['results']:
        table.add_row(
            title(r), r['who'], tables.seconds(r['first']),
            str(len(r['times'])), tables.seconds(r['median']),
            f'{tables.seconds(r["q1"])} - {tables.seconds(r["q3"])}',
            f'{r["peak_mb"]:,.0f}' if r['peak_mb'] else '')
    return table


def title(r):
    """What an entry is of, in words."""
    words = r['what'] + (f': {r["part"]}' if r['part'] else '')
    if r['kind'] != 'load':
        return words
    return f'{words}, busy processes: {r["beside"]}'


def print_against(new, old):
    """Print what is faster or slower than in `old` by more than noise."""
    for name in sorted(new['about'].keys() & old['about'].keys()):
        if name not in ('date', 'seconds', 'load_average') and (
                new['about'][name] != old['about'][name]):
            print(printable(f'{name}: {old["about"][name]} then, '
                            f'{new["about"][name]} now'))
    table = Table('what', 'who', 'then', 'now', 'now it is', box=None)
    for r, before in pairs(new, old):
        table.add_row(title(r), r['who'], tables.seconds(before['median']),
                      tables.seconds(r['median']), verdict(r, before))
    _console().print(table)


def pairs(new, old):
    """Pairs of an entry of `new`, and the same one of `old`."""
    key = itemgetter(*SAME)
    return [(r, before) for r in new['results'] for before in old['results']
            if key(r) == key(before)]


def verdict(new, old):
    """'faster, 1.50 x', 'slower, 1.50 x', or 'the same within noise'.

    The noise is the distance between the quartiles, added over both runs.
    """
    if min(len(new['times']), len(old['times'])) < 3:
        return 'too few repeats to tell'
    noise = sum(r['q3'] - r['q1'] for r in (new, old))
    if abs(new['median'] - old['median']) <= noise:
        return 'the same within noise'
    ratio = old['median'] / new['median']
    return (f'faster, {ratio:.2f} x' if ratio > 1
            else f'slower, {1 / ratio:.2f} x')
