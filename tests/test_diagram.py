"""Diagrams: the right units, names and connections."""
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from gluon_mlp import experiment
from gluon_mlp.d2l import diagram
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


@pytest.fixture
def fonts(monkeypatch):
    """Let the machine have just the fonts of these files."""
    def fonts(*paths):
        diagram.chinese_font.cache_clear()
        monkeypatch.setattr(diagram.font_manager, 'findSystemFonts',
                            lambda: [*map(str, paths)])
    yield fonts
    diagram.chinese_font.cache_clear()


def make_font(path, characters):
    """Write a font with empty shapes for these characters."""
    names = ['.notdef', *map('u{:04X}'.format, map(ord, characters))]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, characters), names[1:])))
    font.setupGlyf({name: TTGlyphPen(None).glyph() for name in names})
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({'familyName': path.stem, 'styleName': 'Regular'})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


def titles_in_chinese():
    with experiment.use(lang='zh'):
        axes = draw_network(MLP)
    axes.figure.canvas.draw()
    return axes.texts[0], [text.get_text() for text in axes.texts
                           if '$' not in text.get_text()]


@pytest.mark.filterwarnings('error')  # a missing character is a warning
def test_titles_in_chinese_are_in_a_font_that_has_them(fonts, tmp_path):
    """Not in the first font, nor in one that cannot be read.

    Matplotlib measures a line by the letters l and p.
    """
    damaged = tmp_path / 'A-Regular.ttf'
    damaged.write_text('no font')
    right = make_font(tmp_path / 'C.ttf', '输入层隐藏出lp')
    fonts(damaged, make_font(tmp_path / 'B-Regular.ttf', '输入'), right)
    text, titles = titles_in_chinese()
    assert titles == ['输入层', '隐藏层', '输出层']
    assert text.get_fontproperties().get_file() == str(right)
    assert layer_titles(4, 'zh')[1:3] == ['隐藏层 1', '隐藏层 2']


def test_without_such_a_font_one_line_says_so(fonts, tmp_path, capsys):
    fonts(make_font(tmp_path / 'B.ttf', '输入'))
    for _ in range(2):
        _, titles = titles_in_chinese()
        assert titles == ['Input layer', 'Hidden layer', 'Output layer']
    out, err = capsys.readouterr()
    assert out == '' and len(err.splitlines()) == 1
    assert 'so the labels are in English' in err


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
