"""Diagrams: the right units, names and connections."""
from gluon_mlp.d2l.diagram import (
    draw_computational_graph,
    draw_dropout,
    draw_network,
    layer_titles,
)
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

MLP = [('x', 4), ('h', 5), ('o', 3)]  # figure 4.1.1


def circles(axes):
    return {patch.get_label(): patch for patch in axes.patches
            if isinstance(patch, Circle)}


def connections(axes):
    """The names that arrows join, in pairs."""
    at = {tuple(patch.get_center()): patch.get_label()
          for patch in axes.patches
          if isinstance(patch, (Circle, Rectangle))}
    return {tuple(at[tuple(place)] for place in arrow._posA_posB)
            for arrow in axes.patches if isinstance(arrow, FancyArrowPatch)}


def units(letter, numbers):
    return [f'{letter}_{i}' for i in numbers]


def dense(lower, upper):
    return {(a, b) for a in lower for b in upper}


def test_softmax_regression_joins_each_input_with_each_output():
    axes = draw_network([('x', 4), ('o', 3)])
    x, o = units('x', range(1, 5)), units('o', range(1, 4))
    assert set(circles(axes)) == {*x, *o}
    assert connections(axes) == dense(x, o)


def test_mlp_joins_each_unit_with_each_of_the_layer_above():
    axes = draw_network(MLP)
    x, h, o = (units(letter, range(1, n + 1)) for letter, n in MLP)
    assert connections(axes) == dense(x, h) | dense(h, o)


def test_dropped_units_lose_their_connections_and_only_they():
    axes = draw_network(MLP, dropped=['h_2', 'h_5'])
    x, h, o = (units('x', range(1, 5)), units('h', [1, 3, 4]),
               units('o', range(1, 4)))
    assert connections(axes) == dense(x, h) | dense(h, o)


def test_dropout_is_drawn_beside_the_whole_network():
    whole, thinned = draw_dropout(MLP, ['h_2', 'h_5'])
    assert whole.figure is thinned.figure
    assert connections(whole) == connections(draw_network(MLP))
    assert connections(thinned) == connections(
        draw_network(MLP, dropped=['h_2', 'h_5']))


def test_dropped_units_are_empty_outlines():
    drawn = circles(draw_network(MLP, dropped=['h_2', 'h_5']))
    assert {name for name, circle in drawn.items()
            if circle.get_facecolor()[3] == 0} == {'h_2', 'h_5'}


def test_no_two_circles_overlap():
    drawn = list(circles(draw_network(MLP)).values())
    gaps = [((a.center[0] - b.center[0]) ** 2
             + (a.center[1] - b.center[1]) ** 2) ** 0.5 - a.radius - b.radius
            for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(gaps) > 0


def test_inputs_are_below_hidden_units_below_outputs():
    drawn = circles(draw_network(MLP))
    heights = [drawn[name].center[1] for name in ('x_1', 'h_1', 'o_1')]
    assert heights == sorted(set(heights))


def test_units_are_labelled_in_mathematics_in_their_circles():
    axes = draw_network([('x', 12), ('o', 1)])
    labels = {text.get_position(): text.get_text() for text in axes.texts}
    drawn = circles(axes)
    assert labels[drawn['x_12'].center] == '$x_{12}$'
    assert labels[drawn['o_1'].center] == '$o_{1}$'


def test_layers_are_named_beside_their_row():
    axes = draw_network(MLP)
    heights = {text.get_text(): text.get_position()[1]
               for text in axes.texts}
    drawn = circles(axes)
    for title, name in [('Input layer', 'x_1'), ('Hidden layer', 'h_1'),
                        ('Output layer', 'o_1')]:
        assert heights[title] == drawn[name].center[1]


def test_several_hidden_layers_are_numbered():
    assert layer_titles(2) == ['Input layer', 'Output layer']
    assert layer_titles(4) == ['Input layer', 'Hidden layer 1',
                               'Hidden layer 2', 'Output layer']


def test_given_axes_are_drawn_on_and_returned():
    _, (left, right) = plt.subplots(1, 2)
    assert draw_network(MLP, dropped=['h_2', 'h_5'], axes=right) is right
    assert len(plt.get_fignums()) == 1
    assert not left.patches and right.patches


def test_without_axes_a_new_figure_is_made():
    figure = plt.figure()
    assert draw_network(MLP).figure is not figure


def test_a_graph_joins_each_operator_with_its_inputs_and_output():
    axes = draw_computational_graph(
        {'a': (0, 0), 'b': (1, 1), 'c': (2, 0)},
        [(r'\times', (1, 0), ['a', 'b'], 'c')])
    assert connections(axes) == {('a', r'\times'), ('b', r'\times'),
                                 (r'\times', 'c')}
    assert set(circles(axes)) == {r'\times'}
