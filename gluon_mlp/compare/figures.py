"""The figures of the page: each curve, the book's and ours.

Below the curves are their differences, and the range of our runs. Each figure
is SVG within the page, in the page's own colours and fonts, so it follows a
dark scheme. A point of the book tells its numbers when the mouse is over it.
"""
import io
import re
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..sections import find

# Our curves are coloured lines, and the book's are black marks. The colours
# are those of Okabe and Ito, which colour-blind readers can tell apart. In
# grey, the dashes and the shapes of the marks still differ.
CURVES = (('#0072b2', '-', 'o'), ('#d55e00', '--', 's'),
          ('#009e73', '-.', '^'))
RANGE, INTERVAL = '#c4c4c4', '#e9e9e9'  # of our runs; for one more draw
GRID, EDGE = '#e4e4e4', '#888888'
# What the page's style sheet calls these colours.
NAMES = {'#000000': 'text', RANGE: 'range', INTERVAL: 'interval',
         GRID: 'grid', EDGE: 'edge', **{color: f'curve{i}' for i, (color, *_)
                                        in enumerate(CURVES)}}
STYLE = {'font.size': 9, 'font.family': 'DejaVu Sans', 'axes.grid': True,
         'grid.color': GRID, 'axes.edgecolor': EDGE, 'axes.axisbelow': True,
         'figure.facecolor': 'none', 'axes.facecolor': 'none',
         'axes.formatter.limits': (-3, 4), 'legend.frameon': False,
         'lines.linewidth': 1.4, 'svg.fonttype': 'none',
         'svg.hashsalt': 'gluon_mlp'}  # the same figure, the same file
SVG = '{http://www.w3.org/2000/svg}'
ElementTree.register_namespace('', SVG[1:-1])
ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')
MOST_MARKS = 30  # on a curve; its differences are all drawn


def of_section(rows):
    """What the page needs of each figure: name, caption, SVG."""
    return [{'name': name, 'caption': _caption(group),
             'svg': _svg(draw_curves(group), f'{name}: the book and ours, '
                         'and their difference', _told(group))}
            for name, group in by_figure(rows).items()]


def by_figure(rows):
    """The curves among `rows`, by the names of their figures.

    The curves of a section share a figure if they have the same prefix. Each
    curve of 4.1 has its own.
    """
    figures = {}
    for row in rows:
        q = row.quantity
        name = q.what.rpartition('/')[0] or (
            q.what if q.section == 'mlp' else find(q.section).title)
        if q.x is not None:
            figures.setdefault(title_of(name), []).append(row)
    return figures


def title_of(what):
    """The name of a quantity or of its figure in words."""
    words = what.replace('/', ': ').replace('_', ' ')
    return re.sub('(lambd|wd) (?=[0-9])', r'\1 = ', words)


def _caption(rows):
    return ', '.join(f'{_curve_name(r)}: {r.verdict}' for r in rows)


def _told(rows):
    """The texts that the book's marks show, by the marks' ids."""
    return {f'{r.quantity.what}/{name}': [
        f'{xlabel(r)} {x:g}: book {value:.5g} ({name}), ours {ours:.5g}, '
        f'from {low:.5g} to {high:.5g}'
        for x, value, ours, low, high in list(zip(
            r.quantity.x, q.values, r.ours, r.low, r.high))[::_step(q)]
        if np.isfinite(value)]
        for r in rows for name, q in r.printings.items()}


def _svg(figure, title, told):
    """The figure as an SVG element with a title.

    `told` has the texts for the marks that matplotlib draws under an id.
    """
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format='svg', metadata={'Date': None})
    root = ElementTree.fromstring(file.getvalue())
    for unused in root[:2]:  # metadata, and a style that the page has
        root.remove(unused)
    for group in root.iter(f'{SVG}g'):
        name = group.attrib.pop('id', '')  # another figure has the same
        for mark, text in zip(group.iter(f'{SVG}use'), told.get(name, ())):
            ElementTree.SubElement(mark, f'{SVG}title').text = text
    for name in ('width', 'height'):
        del root.attrib[name]
    root.set('role', 'img')
    root.set('aria-label', title)
    text = ElementTree.tostring(root, 'unicode')
    text = re.sub('#[0-9a-f]{6}', lambda color: f'var(--{NAMES[color[0]]})'
                  if color[0] in NAMES else color[0], text)
    # Hundredths of a pixel, the page's font, no indentation: half the size.
    text = re.sub(r" font-family: 'DejaVu Sans';?|"
                  r' transform="rotate\(-0 [^"]*"', '', text)
    text = re.sub(r' (d|x|y)="[^"]*"', lambda places: re.sub(
        r'(\.\d\d)\d+', r'\1', places[0]), text)
    return Markup(re.sub(r'\n\s*', '\n', text))


def _curve_name(row):
    return row.quantity.what.rpartition('/')[2].replace('_', ' ')


def xlabel(row):
    """What is on the x axis of a curve."""
    return 'x' if row.quantity.kind == 'exact' else 'epoch'


def draw_curves(rows):
    """The figure of the curves, with a strip below for each difference."""
    with rc_context(STYLE):
        axes = _panels([2.2] + [0.65] * len(rows))
        for row, curve, strip in zip(rows, CURVES, axes[1:]):
            _draw_curve(axes[0], row, *curve)
            _draw_difference(strip, row, *curve)
        axes[0].set_yscale(rows[0].quantity.axis)
        _legend(axes[0], max(2, len(rows)))
        axes[-1].set_xlabel(xlabel(rows[0]))
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes[0].figure


def _panels(heights, width=4.6):
    """Axes of these heights in inches, one below the other, over the same x.

    The margins are fixed, because matplotlib's layouts take too much time.
    """
    left, right, top, gap, bottom = 0.65, 0.1, 0.5, 0.3, 0.45
    total = top + sum(heights) + gap * (len(heights) - 1) + bottom
    return Figure(figsize=(width, total)).subplots(
        len(heights), sharex=True, squeeze=False, gridspec_kw={
            'height_ratios': heights, 'hspace': gap / np.mean(heights),
            'left': left / width, 'right': 1 - right / width,
            'bottom': bottom / total, 'top': 1 - top / total})[:, 0]


def _legend(axes, columns):
    """Put the legend above the axes, at the top of the figure."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc='upper left',
                       ncols=columns, columnspacing=1, borderaxespad=0.2)


def _draw_curve(axes, row, color, dashes, mark):
    """Draw our mean, the range of our runs, the printings' points."""
    q, name = row.quantity, _curve_name(row)
    axes.fill_between(q.x, row.low, row.high, color=color, alpha=0.25,
                      linewidth=0)
    axes.plot(q.x, row.ours, dashes, color=color, label=f'{name}, ours')
    label = f'{name}, book'
    for printing_name, printing in row.printings.items():
        axes.plot(q.x, printing.values, mark, color='black', markersize=4,
                  markerfacecolor='none', markeredgewidth=0.8, label=label,
                  markevery=_step(q), gid=f'{q.what}/{printing_name}')
        label = None  # once in the legend


def _step(quantity):
    """Of how many points of a curve one has a mark."""
    return -(-len(quantity.x) // MOST_MARKS)


def _draw_difference(axes, row, color, dashes, mark):
    """Draw the book's minus our mean, or the ratio minus 1 on a log axis."""
    q = row.quantity
    log = q.axis == 'log'
    unit = row.ours if log else np.ones_like(row.ours)
    axes.fill_between(q.x, (row.low - row.ours) / unit,
                      (row.high - row.ours) / unit, color=RANGE, linewidth=0)
    axes.axhline(0, color=EDGE, linewidth=0.6)
    for printing in row.printings.values():
        axes.plot(q.x, (printing.values - row.ours) / unit, dashes,
                  color=color, marker=mark, markersize=2.5, linewidth=1)
    axes.set_title(f'{_curve_name(row)}: book '
                   + ('/ ours − 1' if log else '− ours'), loc='right',
                   fontsize=8, pad=3)


def histogram(number, mean, half):
    """Our draws as SVG, with the source text's number as a line."""
    return _svg(_draw_histogram(number, mean, half),
                f'{number.what}: histogram of our draws, and the source '
                'text', {})


def _draw_histogram(number, mean, half):
    with rc_context(STYLE):
        axes, = _panels([1.5])
        axes.axvspan(mean - half, mean + half, color=INTERVAL,
                     label='interval for one more')
        axes.hist(number.draws, bins=10, color=CURVES[0][0], alpha=0.8,
                  label=f'our {len(number.draws)} draws')
        axes.axvline(number.text, color='black', linestyle='--',
                     label=f'source text: {number.text:.6g}')
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=number.what, ylabel='draws')
        _legend(axes, 2)
    return axes.figure
