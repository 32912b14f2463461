"""Diagrams of networks, and computational graphs (4.1, 4.6, 4.7)."""
import sys
from functools import lru_cache
from itertools import product
from pathlib import Path

from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from .. import experiment

RADIUS, LAYER_HEIGHT = 0.34, 2.2  # the units of a layer are 1 apart
NODE_SIZE = 0.32  # of a graph: a circle's radius, half a square's side
TITLES = {'en': ('Input layer', 'Hidden layer', 'Output layer'),
          'zh': ('输入层', '隐藏层', '输出层')}


def draw_network(layers, dropped=(), axes=None):
    """Draw a network of dense layers, inputs at the bottom (3.4, 4.1, 4.6).

    `layers` are pairs of a letter and a number of units, inputs first:
    `('h', 5)` stands for h_1 to h_5. A unit named in `dropped` becomes a
    faint outline without connections. Draws into `axes`, or into a figure of
    its own, and returns the axes.
    """
    names = [[f'{letter}_{i}' for i in range(1, number + 1)]
             for letter, number in layers]
    width, height = max(map(len, names)), len(names) * LAYER_HEIGHT
    if axes is None:
        _, axes = plt.subplots(figsize=(0.5 * (width + 2), 0.5 * height))
    font = chinese_font() if experiment.current.lang == 'zh' else None
    titles = layer_titles(len(names), 'zh' if font else 'en')
    rows = []
    for j, (title, row) in enumerate(zip(titles, names)):
        left, y = (width - len(row)) / 2, j * LAYER_HEIGHT
        axes.text(-0.6, y, title, ha='right', va='center', font=font)
        rows.append(_draw_layer(axes, row, left, y, dropped))
    for lower, upper in zip(rows, rows[1:]):
        for a, b in product(lower, upper):
            _draw_arrow(axes, a, b, mutation_scale=5, lw=0.6)
    return _trim(axes, width, height - LAYER_HEIGHT + 1)


def draw_dropout(layers, dropped):
    """Draw the network twice, whole and without the units `dropped` (4.6).

    The arguments are those of `draw_network`. Returns both axes.
    """
    _, both = plt.subplots(1, 2, figsize=(9, 3.2))
    for axes, names in zip(both, ((), dropped)):
        draw_network(layers, names, axes)
    return both


def layer_titles(num_layers, lang='en'):
    """The titles of the layers; several hidden layers are numbered."""
    first, title, last = TITLES[lang]
    hidden = [f'{title} {i}' for i in range(1, num_layers - 1)]
    if len(hidden) == 1:
        hidden = [title]
    return [first, *hidden, last]


@lru_cache
def chinese_font():
    """The file of a font that has Chinese titles, or None.

    None is told on standard error, once.
    """
    for path in sorted(font_manager.findSystemFonts(),
                       key=lambda path: ('Regular' not in path, path)):
        try:
            font = font_manager.get_font(path)
        except (OSError, RuntimeError):  # no outlines, for instance
            continue
        if all(font.get_char_index(ord(c)) for c in ''.join(TITLES['zh'])):
            return Path(path)
    print('no font with Chinese characters is installed, so the labels are '
          'in English: fonts-noto-cjk is one', file=sys.stderr)


def _draw_layer(axes, names, left, y, dropped):
    """Draw a row of circles, and return those that are not dropped."""
    circles = []
    for x, name in enumerate(names):
        here = name not in dropped
        letter, i = name.split('_')
        circle = Circle((left + x, y), RADIUS, ec='black' if here else 'grey',
                        fc='lightblue' if here else 'none',
                        ls='-' if here else ':', label=name, zorder=2)
        _draw_node(axes, circle, f'{letter}_{{{i}}}')
        if here:
            circles.append(circle)
    return circles


def draw_computational_graph(variables, operators, axes=None):
    """Draw variables as squares and operators as circles (4.7).

    `variables` gives the place of each variable, `{name: (column, row)}`,
    with row 0 at the bottom. `operators` are tuples of a symbol, its place,
    the names of its inputs and the name of its output. Names and symbols are
    in the notation of TeX. Draws into `axes`, or into a figure of its own,
    and returns the axes.
    """
    places = [*variables.values(), *(place for _, place, *_ in operators)]
    width, height = (max(numbers) + 1 for numbers in zip(*places))
    if axes is None:
        _, axes = plt.subplots(figsize=(0.8 * width, 0.8 * height))
    squares = {}
    for name, (x, y) in variables.items():
        squares[name] = _draw_node(axes, Rectangle(
            (x - NODE_SIZE, y - NODE_SIZE), 2 * NODE_SIZE, 2 * NODE_SIZE,
            fc='lightblue', ec='black', label=name), name)
    for symbol, place, inputs, output in operators:
        circle = _draw_node(axes, Circle(place, NODE_SIZE, fc='white',
                                         ec='black', label=symbol), symbol)
        for name in inputs:
            _draw_arrow(axes, squares[name], circle)
        _draw_arrow(axes, circle, squares[output])
    return _trim(axes, width, height)


def _trim(axes, width, height):
    """Leave nothing but what is drawn, 1 between the middles of two units."""
    axes.set(aspect='equal', xlim=(-0.5, width - 0.5),
             ylim=(-0.5, height - 0.5))
    axes.set_axis_off()
    return axes


def _draw_node(axes, node, text):
    """Draw a square or a circle with `text` in it, and return it."""
    axes.add_patch(node)
    axes.text(*node.get_center(), f'${text}$', ha='center', va='center',
              color=node.get_edgecolor(), zorder=3)
    return node


def _draw_arrow(axes, a, b, mutation_scale=9, lw=0.8):
    """Draw an arrow from the edge of `a` to the edge of `b`."""
    axes.add_patch(FancyArrowPatch(
        a.get_center(), b.get_center(), patchA=a, patchB=b, shrinkA=0,
        shrinkB=0, arrowstyle='-|>', mutation_scale=mutation_scale, lw=lw,
        color='black'))
