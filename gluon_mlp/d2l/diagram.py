"""Diagrams of networks: a circle for a unit, an arrow for a weight."""
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch

RADIUS, LAYER_HEIGHT = 0.34, 1.7  # the units of a layer are 1 apart


def draw_network(layers, dropped=(), axes=None):
    """Draw a network of dense layers, inputs at the bottom (3.4, 4.1, 4.6).

    `layers` are pairs of a letter and a number of units, inputs first:
    `('h', 5)` stands for h_1 to h_5. The units named in `dropped` are left
    as faint outlines without connections. Returns the axes, which are those
    of a new figure unless given. Raises `ValueError` for fewer than two
    layers, and for a name in `dropped` that no unit has.
    """
    names = _unit_names(layers, dropped)
    width, height = max(map(len, names)), len(names) * LAYER_HEIGHT
    if axes is None:
        _, axes = plt.subplots(figsize=(0.5 * (width + 2), 0.5 * height))
    rows = []
    for j, (title, row) in enumerate(zip(layer_titles(len(names)), names)):
        left, y = (width - len(row)) / 2, j * LAYER_HEIGHT
        axes.text(-0.6, y, title, ha='right', va='center')
        rows.append(_draw_layer(axes, row, left, y, dropped))
    for lower, upper in zip(rows, rows[1:]):
        _connect(axes, lower, upper)
    axes.set(aspect='equal', xlim=(-0.5, width - 0.5),
             ylim=(-0.5, height - LAYER_HEIGHT + 0.5))
    axes.set_axis_off()
    return axes


def draw_dropout(layers, dropped):
    """Draw the network twice, whole and without the units `dropped` (4.6).

    Takes and raises what `draw_network` does; returns both axes.
    """
    _, both = plt.subplots(1, 2, figsize=(9, 2.6))
    for axes, names in zip(both, ((), dropped)):
        draw_network(layers, names, axes)
    return both


def layer_titles(num_layers):
    """Input layer, Hidden layer (numbered if several), ..., Output layer."""
    hidden = [f'Hidden layer {i}' for i in range(1, num_layers - 1)]
    if len(hidden) == 1:
        hidden = ['Hidden layer']
    return ['Input layer', *hidden, 'Output layer']


def _unit_names(layers, dropped):
    names = [[f'{letter}_{i}' for i in range(1, number + 1)]
             for letter, number in layers]
    if len(names) < 2:
        raise ValueError('a network has two layers or more')
    unknown = set(dropped).difference(*names)
    if unknown:
        raise ValueError(f'no such units: {", ".join(sorted(unknown))}')
    return names


def _draw_layer(axes, names, left, y, dropped):
    """Draw a row of circles; returns those that were not dropped."""
    circles = []
    for x, name in enumerate(names):
        here = name not in dropped
        circle = Circle((left + x, y), RADIUS, ec='black' if here else 'grey',
                        fc='lightblue' if here else 'none',
                        ls='-' if here else ':', label=name, zorder=2)
        axes.add_patch(circle)
        letter, i = name.split('_')
        axes.text(left + x, y, f'${letter}_{{{i}}}$', ha='center',
                  va='center', color=circle.get_edgecolor(), zorder=3)
        if here:
            circles.append(circle)
    return circles


def _connect(axes, lower, upper):
    """Draw an arrow from each circle of `lower` to each of `upper`."""
    for a in lower:
        for b in upper:
            axes.add_patch(FancyArrowPatch(
                a.center, b.center, patchA=a, patchB=b, shrinkA=0, shrinkB=0,
                arrowstyle='-|>', mutation_scale=7, lw=0.7, color='black',
                zorder=1))
