"""Computational graphs: squares for variables, circles for operators."""
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

SIZE = 0.32  # half a square's side and a circle's radius; columns 1 apart


def draw_computational_graph(variables, operators, axes=None):
    """Draw a computational graph (4.7).

    `variables` gives each variable's place, `{name: (column, row)}`, with
    row 0 at the bottom; `operators` are tuples of a symbol, its place, the
    names of its inputs and that of its output. Names and symbols are in
    TeX's notation. Returns the axes, which are those of a new figure unless
    given. Raises `ValueError` for an input or output that is no variable.
    """
    for symbol, _, inputs, output in operators:
        unknown = {*inputs, output}.difference(variables)
        if unknown:
            raise ValueError(f'no such variables at {symbol}: '
                             f'{", ".join(sorted(unknown))}')
    places = [*variables.values(), *(place for _, place, *_ in operators)]
    width, height = (max(numbers) + 1 for numbers in zip(*places))
    if axes is None:
        _, axes = plt.subplots(figsize=(0.8 * width, 0.8 * height))
    squares = {name: _draw_node(axes, name, place, square=True)
               for name, place in variables.items()}
    _draw_operators(axes, operators, squares)
    axes.set(aspect='equal', xlim=(-0.5, width - 0.5),
             ylim=(-0.5, height - 0.5))
    axes.set_axis_off()
    return axes


def _draw_operators(axes, operators, squares):
    for symbol, place, inputs, output in operators:
        circle = _draw_node(axes, symbol, place, square=False)
        for name in inputs:
            _draw_arrow(axes, squares[name], circle)
        _draw_arrow(axes, circle, squares[output])


def _draw_node(axes, name, place, square):
    """Draw a square or a circle around `name`; returns it."""
    x, y = place
    if square:
        node = Rectangle((x - SIZE, y - SIZE), 2 * SIZE, 2 * SIZE)
    else:
        node = Circle(place, SIZE)
    node.set(fc='lightblue' if square else 'white', ec='black', label=name)
    axes.add_patch(node)
    axes.text(x, y, f'${name}$', ha='center', va='center')
    return node


def _draw_arrow(axes, a, b):
    axes.add_patch(FancyArrowPatch(
        a.get_center(), b.get_center(), patchA=a, patchB=b, shrinkA=0,
        shrinkB=0, arrowstyle='-|>', mutation_scale=9, lw=0.8,
        color='black'))
