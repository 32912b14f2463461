"""The comparison for readers: `index.html`, one file with all its figures."""
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from .. import sections
from ..files import written_whole
from . import figures, published
from .rows import FALSE_ALARM, prediction_interval

ROOT = Path(__file__).resolve().parents[2]
# The page's style classes.
VERDICTS = {'reproduced': 'yes', 'given the edition': 'edition',
            'differs': 'no', 'not compared': 'none'}


def write(comparison, folder):
    """Write `index.html` into `folder`, never half of it; its path.

    The folder is made if need be. Raises `OSError`.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent),
                              autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template('page.html').render(
        total=_total(comparison),
        sections=[_section(comparison, s) for s in comparison.sections],
        controls=[_control(c) for c in comparison.controls],
        source_text=[_source_text(s) for s in comparison.source_text],
        false_alarm=FALSE_ALARM, about=comparison.about,
        published=published.about(), style=_listing_style())
    path = Path(folder) / 'index.html'
    with written_whole(path) as partial:
        partial.write_text(page, encoding='utf-8')
    return path


def _total(comparison):
    return {**comparison.counts()._asdict(),
            'not_compared': [_title(s) for s in comparison.not_compared],
            'differs': _number_that_differ(comparison.rows)}


def _number_that_differ(rows):
    return sum(row.verdict == 'differs' for row in rows)


def _section(comparison, slug):
    rows = comparison.rows_of(slug)
    compared = slug not in comparison.not_compared
    return {'slug': slug, 'title': _title(slug), 'compared': compared,
            'differs': _number_that_differ(rows),
            'rows': [_cells(r) for r in rows],
            'figures': figures.of_section(rows) if compared else [],
            'tables': [_table(r) for r in rows
                       if compared and r.quantity.values.size > 1],
            'listings': _listings(slug), **comparison.counts(slug)._asdict()}


def _title(slug):
    section = sections.find(slug)
    return f'{section.number} {section.title}'


def _listings(slug):
    """The chapter's script and its module, highlighted: (path, code)."""
    formatter = HtmlFormatter(nowrap=True)
    paths = [ROOT / folder / f'{slug}.py' for folder in ('chapters',
                                                         'gluon_mlp')]
    return [(p.relative_to(ROOT).as_posix(),
             Markup(highlight(p.read_text('utf-8'), PythonLexer(),
                              formatter))) for p in paths if p.exists()]


def _listing_style():
    return Markup(HtmlFormatter(style='tango').get_style_defs('.listing'))


def _cells(row):
    """The cells of a row of a section's table."""
    q = row.quantity
    cells = {'what': q.what, 'kind': q.kind, 'runs': row.runs,
             'verdict': row.verdict, 'class': VERDICTS[row.verdict],
             'count': f'{row.agrees.sum()} of {q.count}' if q.count > 1
             else '', 'book': _first_to_last(row, q.values), 'ours': '–',
             'difference': '–', 'allowed': '–'}
    if row.runs == 0:
        return cells
    ours = _first_to_last(row, row.ours)
    if q.values.size == 1 and q.kind != 'exact':
        ours += f' ± {float(row.std):.2g}'
    return {**cells, 'ours': ours, 'difference': _difference(row),
            'allowed': _allowed(row)}


def _first_to_last(row, values):
    """A number, or the first and last of those that the book has."""
    known = values[row.known]
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


def _difference(row):
    """The difference of a number, or the largest share of what is allowed."""
    if row.quantity.values.size == 1:
        return f'{float(row.difference):+.2g}'
    worst = row.shares[row.worst]
    if np.isnan(row.ours[row.worst]):
        return 'ours is not a number'
    if 0 < worst < 0.01:
        return 'below 0.01 × allowed'
    return f'{worst:.2g} × allowed' if worst != 0 else 'none'


def _allowed(row):
    allowed = row.allowed[row.known]
    texts = [f'{value:.2g}' for value in (allowed.min(), allowed.max())]
    text = ' to '.join(dict.fromkeys(texts))
    return text + (f', edition {row.shift:.2g}' if row.shift else '')


def _table(row):
    """Every number of a quantity, for the table that can be unfolded."""
    q = row.quantity
    lines = []
    for i in np.ndindex(q.values.shape):
        verdict = ('yes' if row.reproduced[i] else 'given the edition'
                   if row.by_edition[i] else 'no' if row.known[i] else
                   "outside the figure's axes")
        at = ', '.join(map(str, i)) if q.x is None else f'{q.x[i[0]]:g}'
        lines.append([at, _text(q.values[i], q.digits),
                      _text(row.ours[i], q.digits), _short(row.std[i]),
                      _short(row.difference[i]), _short(row.allowed[i]),
                      _short(row.shift), verdict])
    return {'what': q.what, 'lines': lines,
            'at': 'index' if q.x is None else figures.xlabel(row)}


def _short(value):
    return f'{value:.2g}' if np.isfinite(value) else '–'


def _control(control):
    return {'title': _title(control.section), 'what': control.what,
            'num_epochs': control.num_epochs, 'reason': control.reason,
            'history': f'{control.history:.2g}',
            'weights': f'{control.weights:.2g}',
            'allowed': f'{control.allowed:.2g}',
            'verdict': 'agrees' if control.agrees else 'differs',
            'class': 'yes' if control.agrees else 'no'}


def _source_text(number):
    mean, std, half = prediction_interval(number.draws, FALSE_ALARM)
    return {'what': number.what, 'text': str(number.text),
            'ours': f'{mean:.5g} ± {std:.2g}', 'draws': len(number.draws),
            'interval': f'{mean - half:.5g} to {mean + half:.5g}',
            'place': f'above {number.below} of our {len(number.draws)}',
            'verdict': 'within' if number.agrees else 'outside',
            'class': 'yes' if number.agrees else 'no',
            'image': figures.histogram(number, mean, half)}
