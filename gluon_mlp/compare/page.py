"""The comparison for readers: `index.html`, one file with all its figures."""
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import sections
from ..files import write_whole
from . import figures
from .agreement import FALSE_ALARM
from .quantities import is_trained
from .rows import VERDICTS
from .statistics import prediction_interval
from .terminal import test_text

ROOT = Path(__file__).resolve().parents[2]
# The page's style classes.
CLASSES = {'agrees': 'yes', 'within': 'yes', 'differs as known': 'edition',
           'differs': 'no', 'outside': 'no', 'not compared': 'none',
           'too wide to tell': 'none'}


def write(comparison, folder):
    """Write `index.html` into `folder`, never half of it; its path.

    The folder is made if need be. Raises `OSError`.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent),
                              autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template('page.html').render(
        verdict=comparison.verdict(), classes=CLASSES, find=sections.find,
        counts=_counts(comparison),
        sections=[_section(comparison, s) for s in in_order(comparison)],
        controls=comparison.controls,
        source_text=[_source_text(s) for s in comparison.source_text],
        false_alarm=FALSE_ALARM, about=comparison.about,
        printings=comparison.printings)
    return write_whole(Path(folder) / 'index.html', page)


def in_order(comparison):
    """The slugs of the sections: what differs, trainings, exact numbers."""
    def rank(slug):
        verdict = VERDICTS.index(comparison.verdict(slug))
        return min(verdict, 2), not is_trained(slug)
    return sorted(comparison.sections, key=rank)


def _counts(comparison, slug=None):
    """'n of m' for each printing."""
    return {name: f'{c.within:,} of {c.numbers:,}'
            for name, c in comparison.counts(slug).items()}


def _section(comparison, slug):
    rows = comparison.rows_of(slug)
    compared = any(len(r.runs) for r in rows)
    return {'section': sections.find(slug),
            'verdict': comparison.verdict(slug),
            'counts': _counts(comparison, slug),
            'rows': [_cells(r) for r in sorted(rows, key=lambda row: (
                row.quantity.kind == 'exact', VERDICTS.index(row.verdict)))],
            'figures': figures.of_section(rows) if compared else [],
            'tables': [_table(r) for r in rows
                       if compared and r.quantity.values.size > 1],
            'listings': _listings(slug)}


def _listings(slug):
    """The chapter's script and its module: pairs of a path and a text."""
    paths = (sections.script(sections.find(slug)),
             ROOT / 'gluon_mlp' / f'{slug}.py')
    return [(path.relative_to(ROOT).as_posix(), path.read_text('utf-8'))
            for path in paths]


def _cells(row):
    """The cells of a row of a section's table."""
    q = row.quantity
    ours = _first_to_last(row, row.ours) if len(row.runs) else '–'
    if q.values.size == 1 and q.kind != 'exact':
        ours += f' ± {float(row.std):.2g}'
    return {'what': figures.title_of(q.what), 'kind': q.kind,
            'runs': len(row.runs),
            'verdict': row.verdict, 'reason': row.reason,
            'book': _first_to_last(row, q.values), 'ours': ours,
            'tests': _tests(row.tests)}


def _tests(tests):
    """The tests in words; of many only those that do not agree."""
    telling = [t for t in tests if len(tests) <= 3 or t.verdict != 'agrees']
    texts = [test_text(t) for t in telling]
    if len(tests) > len(telling):
        texts.append(f'{len(tests) - len(telling)} of {len(tests)} agree')
    return texts


def _first_to_last(row, values):
    """A number, or the first and last of those that the book has."""
    known = values[np.isfinite(row.quantity.values)]
    texts = [_text(known[i], row.quantity.digits) for i in (0, -1)]
    return ' … '.join(texts if known.size > 1 else texts[:1])


def _text(value, digits='curve'):
    """A number with the digits that the book gives of such a number."""
    if not np.isfinite(value):
        return '–'
    if digits == 'float32':
        return str(np.float32(value))
    if digits == 'integer':
        return f'{value:g}'
    return f'{value:.6f}' if digits == 'decimals6' else f'{value:.6g}'


def _table(row):
    """Every number of a quantity, for the table that can be unfolded."""
    q = row.quantity
    lines = []
    for i in np.ndindex(q.values.shape):
        at = ', '.join(map(str, i)) if q.x is None else f'{q.x[i[0]]:g}'
        lines.append([at, *(_text(p.values[i], q.digits)
                            for p in row.printings.values()),
                      *(_text(values[i], q.digits)
                        for values in (row.ours, row.low, row.high))])
    return {'what': figures.title_of(q.what), 'lines': lines,
            'printings': list(row.printings),
            'at': 'index' if q.x is None else figures.xlabel(row)}


def _source_text(number):
    mean, half = prediction_interval(number.draws, FALSE_ALARM)
    return {'what': number.what, 'text': str(number.text),
            'ours': f'{mean:.5g} ± {number.draws.std(ddof=1):.2g}',
            'draws': len(number.draws),
            'interval': f'{mean - half:.5g} to {mean + half:.5g}',
            'place': f'above {number.below} of our {len(number.draws)}',
            'verdict': 'within' if number.agrees else 'outside',
            'svg': figures.histogram(number, mean, half)}
