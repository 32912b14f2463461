"""The comparison with the book as a page for readers, and for programs.

`write` makes `index.html`, one file with all its figures in it, so that it
opens from disk; `write_json` makes `compare.json`.
"""
import ast
import base64
import io
import json
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..files import written_whole
from .published import about as about_published
from .rows import FALSE_ALARM, prediction_interval

ROOT = Path(__file__).resolve().parents[2]
# The page's style classes.
VERDICTS = {'reproduced': 'yes', 'given the edition': 'edition',
            'differs': 'no', 'not compared': 'none'}

# Ours are coloured lines, the book's are black marks; in grey the dashes and
# the shapes of the marks still tell the curves apart. The colours are those
# of Okabe and Ito, which colour-blind readers can tell apart.
CURVES = (('#0072B2', '-', 'o'), ('#D55E00', '--', 's'),
          ('#009E73', '-.', '^'))
ALLOWED, SHIFTED = '#c4c4c4', '#e9e9e9'  # the bands of the differences
STYLE = {'font.size': 9, 'font.family': 'DejaVu Sans', 'axes.grid': True,
         'grid.color': '#e4e4e4', 'axes.edgecolor': '#888888',
         'axes.axisbelow': True, 'axes.formatter.limits': (-3, 4),
         'legend.frameon': False, 'lines.linewidth': 1.4,
         'svg.hashsalt': 'gluon_mlp'}  # the same figure, the same file
MOST_MARKS = 30  # on a curve; its differences are all drawn


def write(comparison, folder):
    """Write the page `index.html` into `folder`; returns its path.

    The folder is made if need be. An earlier page is replaced, once the new
    one is whole; other files are left alone. Raises `OSError`.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent),
                              autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template('report.html').render(
        total=_count(comparison), sections=_sections(comparison),
        controls=[_control(c) for c in comparison.controls],
        source_text=[_source_text(s) for s in comparison.source_text],
        false_alarm=FALSE_ALARM, about=comparison.about,
        published=about_published(), style=_listing_style())
    path = Path(folder) / 'index.html'
    with written_whole(path) as partial:
        partial.write_text(page, encoding='utf-8')
    return path


def write_json(comparison, path):
    """Write the comparison for programs to `path`; returns it as a `Path`.

    UTF-8 JSON; NaN and infinity are null. An object with these keys:

    - `schema`: 1; it changes whenever a key changes its meaning or goes.
    - `about`: texts about our run. `published`: about the book's numbers.
    - `total`: `numbers` (published), `reproduced` (with the next ones),
      `by_edition` (those that agree only given the edition of the data),
      `not_compared` (the slugs of the sections that are not compared).
    - `sections`: a list of `section`, `numbers`, `reproduced`, `by_edition`.
    - `rows`: a list of `section` (slug), `what`, `kind` ('exact',
      'converged', 'statistical'), `digits` ('float32', 'decimals6', 'curve',
      'integer'), `axis` ('linear', 'log'), `runs` (of ours; 0: not compared),
      `verdict` ('reproduced', 'given the edition', 'differs', 'not compared'),
      `x` (a list, or null where it is no curve), and, each a number or
      nested lists of one shape: `book`, `ours` (the mean), `std`, `allowed`
      (for ours minus the book's), `shift` (of the edition, on top of it),
      `reproduced` and `by_edition` (true or false).
    - `controls`: a list of `section`, `what`, `num_epochs`, `history`,
      `weights` (largest relative differences), `allowed`, `agrees`.
    - `source_text`: a list of `what`, `text`, `draws`, `agrees`.
    """
    document = {
        'schema': 1, 'about': comparison.about,
        'published': about_published(),
        'total': {**_numbers(comparison),
                  'not_compared': _not_compared(comparison)},
        'sections': [{'section': s, **_numbers(comparison, s)}
                     for s in _slugs(comparison)],
        'rows': [_row_json(row) for row in comparison.rows],
        'controls': [{**vars(c), 'agrees': c.agrees}
                     for c in comparison.controls],
        'source_text': [{**vars(s), 'agrees': s.agrees}
                        for s in comparison.source_text]}
    text = json.dumps(_plain(document), indent=1, allow_nan=False,
                      ensure_ascii=False)
    with written_whole(Path(path)) as partial:
        partial.write_text(text + '\n', encoding='utf-8')
    return path


# For programs

def _row_json(row):
    q = row.quantity
    return {'section': q.section, 'what': q.what, 'kind': q.kind,
            'digits': q.digits, 'axis': q.axis, 'runs': row.runs,
            'verdict': row.verdict, 'x': q.x, 'book': q.values,
            'ours': row.ours, 'std': row.std, 'allowed': row.allowed,
            'shift': np.broadcast_to(row.shift, q.values.shape),
            'reproduced': row.reproduced, 'by_edition': row.by_edition}


def _plain(a):
    """`a` of lists, dictionaries and numbers that JSON knows."""
    if isinstance(a, dict):
        return {key: _plain(value) for key, value in a.items()}
    if isinstance(a, (np.ndarray, np.generic)):
        return _plain(a.tolist())
    if isinstance(a, (list, tuple)):
        return [_plain(value) for value in a]
    return None if isinstance(a, float) and not np.isfinite(a) else a


def _numbers(comparison, section=None):
    names = ('numbers', 'reproduced', 'by_edition')
    return dict(zip(names, comparison.counts(section)))


def _slugs(comparison):
    return list(dict.fromkeys(r.quantity.section for r in comparison.rows))


def _not_compared(comparison):
    return [s for s in _slugs(comparison)
            if all(r.runs == 0 for r in _rows(comparison, s))]


def _rows(comparison, section):
    return [r for r in comparison.rows if r.quantity.section == section]


# For readers: what the template shows, as texts

def _count(comparison):
    return {**_numbers(comparison),
            'not_compared': [_title(s) for s in _not_compared(comparison)],
            'differs': sum(r.verdict == 'differs' for r in comparison.rows)}


def _sections(comparison):
    return [_section(comparison, s) for s in _slugs(comparison)]


def _section(comparison, slug):
    rows = _rows(comparison, slug)
    compared = slug not in _not_compared(comparison)
    return {'slug': slug, 'title': _title(slug), 'compared': compared,
            'differs': sum(r.verdict == 'differs' for r in rows),
            'rows': [_cells(r) for r in rows],
            'figures': [_figure(name, group) for name, group
                        in _figures(rows).items()] if compared else [],
            'tables': [_table(r) for r in rows
                       if compared and r.quantity.values.size > 1],
            'listings': _listings(slug), **_numbers(comparison, slug)}


def _title(slug):
    """The title of the section, from its chapter script."""
    script = ROOT / 'chapters' / f'{slug}.py'
    if not script.exists():
        return slug.replace('_', ' ')
    title = ast.get_docstring(ast.parse(script.read_text('utf-8'))) or slug
    return title.splitlines()[0].rstrip('.')


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
    agree = int((row.reproduced | row.by_edition).sum())
    cells = {'what': q.what, 'kind': q.kind, 'runs': row.runs,
             'verdict': row.verdict, 'class': VERDICTS[row.verdict],
             'count': f'{agree} of {q.count}' if q.count > 1 else '',
             'book': _first_to_last(row, q.values), 'ours': '–',
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
    """A number's difference; of more, the largest of what is allowed."""
    known = row.known
    if row.quantity.values.size == 1:
        return f'{float(row.difference):+.2g}'
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.abs(row.difference) / row.allowed
    share[row.difference == 0] = 0  # nothing allowed, nothing needed
    worst = np.max(share[known])  # NaN if ours is no number somewhere
    if 0 < worst < 0.01:
        return 'below 0.01 × allowed'
    return f'{worst:.2g} × allowed' if worst != 0 else 'none'


def _allowed(row):
    allowed = row.allowed[row.known]
    texts = [f'{value:.2g}' for value in (allowed.min(), allowed.max())]
    text = ' to '.join(dict.fromkeys(texts))
    shift = float(np.max(row.shift))
    return text + (f', edition {shift:.2g}' if shift else '')


def _table(row):
    """Every number of a quantity, for the table that can be unfolded."""
    q = row.quantity
    shift = np.broadcast_to(row.shift, q.values.shape)
    lines = []
    for i in np.ndindex(q.values.shape):
        verdict = ('yes' if row.reproduced[i] else 'given the edition'
                   if row.by_edition[i] else 'no' if row.known[i] else
                   "outside the figure's axes")
        at = q.x[i[0]] if q.x is not None else ', '.join(map(str, i))
        lines.append([at if isinstance(at, str) else f'{at:g}',
                      _text(q.values[i], q.digits),
                      _text(row.ours[i], q.digits),
                      *(_short(a[i]) for a in (row.std, row.difference,
                                               row.allowed, shift)),
                      verdict])
    return {'what': q.what, 'at': 'index' if q.x is None else _xlabel(row),
            'lines': lines}


def _short(value):
    return f'{value:.2g}' if np.isfinite(value) else '–'


def _control(control):
    return {**vars(control), 'title': _title(control.section),
            'history': f'{control.history:.2g}',
            'weights': f'{control.weights:.2g}',
            'allowed': f'{control.allowed:.2g}',
            'verdict': 'agrees' if control.agrees else 'differs',
            'class': 'yes' if control.agrees else 'no'}


def _source_text(number):
    draws = np.asarray(number.draws)
    mean, std, half = prediction_interval(draws, FALSE_ALARM)
    return {'what': number.what, 'text': str(number.text),
            'ours': f'{mean:.5g} ± {std:.2g}', 'draws': len(draws),
            'interval': f'{mean - half:.5g} to {mean + half:.5g}',
            'place': f'above {number.below} of our {len(draws)}',
            'verdict': 'within' if number.agrees else 'outside',
            'class': 'yes' if number.agrees else 'no',
            'image': _image(_draw_histogram(number, mean, half))}


# The figures

def _figures(rows):
    """The curves among `rows`, by the figure of the chapter they are in.

    Curves of a section share a figure, or those with one prefix; those of
    4.1 have a figure each.
    """
    figures = {}
    for row in rows:
        q = row.quantity
        name = (q.what.rpartition('/')[0]
                or (q.what if q.section == 'mlp' else q.section))
        if q.x is not None:
            figures.setdefault(name, []).append(row)
    return figures


def _figure(name, rows):
    """What the template needs of a figure: image, caption, name."""
    counts = [f'{_curve_name(r)} {int((r.reproduced | r.by_edition).sum())} '
              f'of {r.quantity.count}' for r in rows]
    return {'name': name, 'caption': ', '.join(counts),
            'image': _image(_draw_curves(rows))}


def _image(figure):
    """The figure as an SVG image that the page itself contains."""
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format='svg', metadata={'Date': None})
    width, height = (figure.get_size_inches() * 96).round().astype(int)
    data = base64.b64encode(file.getvalue()).decode('ascii')
    return {'src': f'data:image/svg+xml;base64,{data}',
            'width': width, 'height': height}


def _curve_name(row):
    return row.quantity.what.rpartition('/')[2].replace('_', ' ')


def _xlabel(row):
    return 'x' if row.quantity.kind == 'exact' else 'epoch'


def _draw_curves(rows):
    """The curves of `rows` above each other, their differences below."""
    with rc_context(STYLE):
        axes = _panels([2.2] + [0.65] * len(rows))
        for row, curve, strip in zip(rows, CURVES, axes[1:]):
            _draw_curve(axes[0], row, *curve)
            _draw_difference(strip, row, *curve)
        axes[0].set_yscale(rows[0].quantity.axis)
        _legend(axes[0], max(2, len(rows)))
        axes[-1].set_xlabel(_xlabel(rows[0]))
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes[0].figure


def _panels(heights, width=4.6):
    """Axes of such heights in inches, one below the other, with one x.

    Margins of a fixed size, as matplotlib's layouts take most of the time.
    """
    left, right, top, gap, bottom = 0.65, 0.1, 0.5, 0.3, 0.45
    total = top + sum(heights) + gap * (len(heights) - 1) + bottom
    figure, axes, y = Figure(figsize=(width, total)), [], total - top
    for height in heights:
        y -= height
        axes.append(figure.add_axes(
            [left / width, y / total, (width - left - right) / width,
             height / total], sharex=axes[0] if axes else None))
        y -= gap
    for above in axes[:-1]:
        above.tick_params(labelbottom=False)
    return axes


def _legend(axes, columns):
    """Above the axes, at the top of the figure."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc='upper left',
                       ncols=columns, columnspacing=1, borderaxespad=0.2)


def _draw_curve(axes, row, color, dashes, mark):
    """Our mean with a band of a standard deviation, the book's as marks."""
    q, name = row.quantity, _curve_name(row)
    low, high = row.ours - row.std, row.ours + row.std
    if q.axis == 'log':  # as far down as up, on that axis
        low = row.ours ** 2 / high
    axes.fill_between(q.x, low, high, color=color, alpha=0.25, linewidth=0)
    axes.plot(q.x, row.ours, dashes, color=color, label=f'{name}, ours')
    axes.plot(q.x, q.values, mark, color='black', markersize=4,
              markerfacecolor='none', markeredgewidth=0.8,
              markevery=-(-len(q.x) // MOST_MARKS), label=f'{name}, book')


def _draw_difference(axes, row, color, dashes, mark):
    """Ours minus the book's (relative on a log axis), and what may be."""
    q = row.quantity
    log = q.axis == 'log'
    unit = q.values if log else np.ones_like(q.values)
    allowed = row.allowed / unit
    outer = (row.allowed + row.shift) / unit
    if np.any(row.shift):
        axes.fill_between(q.x, -outer, outer, color=SHIFTED, linewidth=0)
    axes.fill_between(q.x, -allowed, allowed, color=ALLOWED, linewidth=0)
    axes.axhline(0, color='#555555', linewidth=0.6)
    axes.plot(q.x, row.difference / unit, dashes, color=color, marker=mark,
              markersize=2.5, linewidth=1)
    axes.set_title(f'{_curve_name(row)}: ours '
                   + ('/ book − 1' if log else '− book'), loc='right',
                   fontsize=8, pad=3)


def _draw_histogram(number, mean, half):
    """Our draws, with the source text's number as a line."""
    with rc_context(STYLE):
        axes, = _panels([1.5])
        axes.axvspan(mean - half, mean + half, color=SHIFTED,
                     label='interval for one more')
        axes.hist(number.draws, bins=10, color=CURVES[0][0], alpha=0.8,
                  label=f'our {len(number.draws)} draws')
        axes.axvline(number.text, color='black', linestyle='--',
                     label=f'source text: {number.text:.6g}')
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=number.what, ylabel='draws')
        _legend(axes, 2)
    return axes.figure
