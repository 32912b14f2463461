"""The plots hold what they were given."""
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib
import numpy as onp
import pytest
from gluon_mlp import d2l, experiment
from gluon_mlp.d2l import plotting
from gluon_mlp.d2l.plotting import (
    Animator,
    Curve,
    plot,
    plt,
    save_figure,
    show_images,
)
from gluon_mlp.errors import NonFiniteLossError
from matplotlib import image
from mxnet import np


def drawn(axes):
    return [[list(map(float, values)) for values in line.get_data()]
            for line in axes.lines]


X, Y = [0.0, 1.0, 2.0], [3.0, 5.0, 4.0]


@pytest.mark.parametrize('args, curves', [
    ((np.array(X), np.array(Y)), [[X, Y]]),
    ((X, Y), [[X, Y]]),
    ((np.array(X), [np.array(Y), Y]), [[X, Y], [X, Y]]),
    ((X, [Y]), [[X, Y]]),
    (([X, X[:2]], [Y, Y[:2]]), [[X, Y], [X[:2], Y[:2]]]),
    ((Y,), [[X, Y]]),
    (([Y, Y],), [[X, Y], [X, Y]]),
    ((X, [Y] * 6), [[X, Y]] * 6),
])
def test_plot_draws_one_or_several_curves(args, curves):
    """One curve or several, over one x or several, arrays or lists."""
    assert drawn(plot(*args)) == curves


@pytest.mark.parametrize('figsize', [{}, {'figsize': (4, 3)}])
def test_plot_is_the_books(figsize, monkeypatch):
    """The lines, formats, size, labels and limits are d2l.plot's."""
    from d2l import mxnet as book
    arguments = {
        'X': onp.arange(1, 9.0), 'Y': [onp.arange(8) ** 2, onp.ones(8)],
        'xlabel': 'x', 'ylabel': 'f(x)', 'legend': ['a', 'b'],
        'xlim': [1, 7], 'ylim': [1e-2, 70], 'yscale': 'log', **figsize}
    monkeypatch.setattr(book, 'use_svg_display', lambda: None)
    book.plot(**arguments)
    theirs, ours = plt.gca(), plot(**arguments)
    assert drawn(ours) == drawn(theirs)
    for ask in ('get_xlabel', 'get_ylabel', 'get_xlim', 'get_ylim',
                'get_xscale', 'get_yscale'):
        assert getattr(ours, ask)() == getattr(theirs, ask)()
    for a, b in zip(ours.lines, theirs.lines):
        assert a.get_color() == b.get_color()
        assert a.get_linestyle() == b.get_linestyle()
    assert ([t.get_text() for t in ours.get_legend().get_texts()]
            == ['a', 'b'])
    assert (ours.figure.get_size_inches()
            == theirs.figure.get_size_inches()).all()


def test_plot_into_given_axes():
    """`axes` are drawn into, instead of a new figure."""
    _, axes = plt.subplots()
    assert plot(X, Y, axes=axes) is axes
    assert len(plt.get_fignums()) == 1


def test_animator_grows_by_a_point_a_call():
    """Each call adds a point to each line; a None adds none."""
    animator = Animator(xlabel='epoch', xlim=[1, 3], ylim=[0.3, 0.9],
                        legend=['train loss', 'train acc', 'test acc'])
    animator.add(1, (0.9, 0.5, None))
    animator.add(2, (0.8, None, 0.6))
    axes, = animator.axes
    assert drawn(axes) == [[[1, 2], [0.9, 0.8]], [[1], [0.5]], [[2], [0.6]]]
    assert axes.get_xlim() == (1, 3) and axes.get_ylim() == (0.3, 0.9)
    assert ([t.get_text() for t in axes.get_legend().get_texts()]
            == ['train loss', 'train acc', 'test acc'])
    assert [line.get_linestyle() for line in axes.lines] == ['-', '--', '-.']


def test_animator_of_one_line_and_own_x():
    """`y` may be a number, and `x` one for each line; scales are kept."""
    animator = Animator(yscale='log')
    animator.add(1, 10)
    assert drawn(animator.axes[0]) == [[[1], [10]]]
    assert animator.axes[0].get_yscale() == 'log'
    animator = Animator()
    animator.add([1, 2], [3, 4])
    assert drawn(animator.axes[0]) == [[[1], [3]], [[2], [4]]]


def test_without_limits_all_points_are_seen():
    """The axes grow with the points, as d2l's do."""
    animator = Animator()
    for x in range(1, 11):
        animator.add(x, 100 * x)
    (left, right), (low, high) = (getattr(animator.axes[0], f'get_{a}lim')()
                                  for a in 'xy')
    assert left < 1 and right > 10 and low < 100 and high > 1000


@pytest.mark.filterwarnings('error')
def test_one_epoch_is_no_warning(tmp_path):
    """Limits of no width, from training for one epoch, are left out."""
    Animator(xlim=[1, 1]).add(1, 0.5)
    with experiment.use(figures=tmp_path):
        save_figure('one')


def test_a_short_run_has_whole_epochs():
    """Two epochs have no tick between them, and 100 have what d2l has."""
    for last, expected in [(1, [1]), (2, [1, 2]),
                           (100, [20, 40, 60, 80, 100])]:
        animator = Animator(xlabel='epoch', xlim=[1, last])
        animator.add(1, 0.5)
        ticks = animator.axes[0].get_xticks()
        assert [x for x in ticks if 1 <= x <= last] == expected
    ticks = plot(X, Y, 'epochs').get_xticks()
    assert (ticks == ticks.round()).all()


def test_the_points_of_a_short_curve_have_markers():
    """One point alone is seen; a curve of five has the marker of its format.
    """
    animator = Animator(fmts=['-', 's-'])
    for epoch in range(1, 6):
        animator.add(epoch, (0.5, 0.6))
        marked = [line.get_marker() != 'None'
                  for line in animator.axes[0].lines]
        assert marked == [epoch < 5, True]
    assert animator.axes[0].lines[1].get_marker() == 's'
    for n, marked in [(1, True), (5, False)]:
        line, = plot(range(n), range(n)).lines
        assert (line.get_marker() != 'None') is marked


def test_a_curve_keeps_and_draws_its_rows():
    """The history of a training, with a plot or without."""
    curve, alone = Curve(Animator()), Curve()
    for history in (curve, alone):
        history.append((1, 0.5, 0.7))
        history.append((5, 0.4, 0.9))
    assert curve == alone == [(1, 0.5, 0.7), (5, 0.4, 0.9)]
    assert drawn(curve.animator.axes[0]) == [[[1, 5], [0.5, 0.4]],
                                             [[1, 5], [0.7, 0.9]]]


@pytest.mark.parametrize('legend, width', [
    (['a', 'b'], 3), (None, None), ('loss', None)])
def test_a_curve_has_the_width_of_its_legend(legend, width):
    """A text is no list of names, and a checkpoint asks for this width."""
    assert Curve(Animator(legend=legend)).width == width


@pytest.mark.parametrize('l', [float('nan'), float('inf')])
def test_a_curve_ends_where_the_loss_is_not_finite(l):
    curve = Curve(Animator())
    curve.append((1, 0.5))
    with pytest.raises(NonFiniteLossError, match=(
            f'the training loss is {l} in epoch 2: try a lower')):
        curve.append((2, l))
    assert curve == [(1, 0.5)]
    assert drawn(curve.animator.axes[0]) == [[[1], [0.5]]]


def test_d2l_exports_the_books_names():
    """Each is what its module has now, and a wrong one is an error."""
    assert d2l.plot is plot and d2l.save_figure is save_figure
    assert {'plot', 'sgd', 'train_ch3', 'load_array'} <= {*dir(d2l)}
    assert all(callable(getattr(d2l, name)) or name == 'plt'
               for name in d2l._MODULE_OF)
    with pytest.raises(AttributeError, match="has no 'train_ch9'"):
        d2l.__getattr__('train_ch9')


def test_show_images_in_a_grid():
    """Each image is in its place, under its title."""
    images = np.random.uniform(size=(6, 4, 5))
    axes = show_images(images, 2, 3, titles=list('abcdef'))
    assert [ax.get_title() for ax in axes] == list('abcdef')
    for ax, img in zip(axes, images):
        assert (ax.images[0].get_array() == img.asnumpy()).all()
        assert not ax.axison


def test_figure_is_saved_and_told(tmp_path, capsys):
    """The file is where it is said to be, whole, and alone."""
    plot(X, Y)
    with experiment.use(figures=tmp_path / 'new folder' / 'é 图'):
        save_figure('name.1')
    path = tmp_path / 'new folder' / 'é 图' / 'name.1.png'
    assert capsys.readouterr().out == f'figure: {path}\n'
    assert image.imread(path).shape[2] == 4
    assert list(path.parent.iterdir()) == [path]
    assert plt.get_fignums() == []


def test_a_figure_can_be_svg(tmp_path, capsys):
    plot(X, Y)
    with experiment.use(figures=tmp_path, format='svg'):
        save_figure('name.1')
    path, = tmp_path.iterdir()
    assert capsys.readouterr().out == f'figure: {path}\n'
    assert path.name == 'name.1.svg'
    assert ElementTree.parse(path).getroot().tag.endswith('}svg')


def test_only_the_first_worker_saves_its_figure(tmp_path, capsys):
    plot(X, Y)
    with experiment.use(figures=tmp_path, workers=SimpleNamespace(rank=1)):
        save_figure('a')
    assert list(tmp_path.iterdir()) == [] and plt.get_fignums() == []
    assert capsys.readouterr().out == ''


def test_full_disk_leaves_no_half_figure(tmp_path, monkeypatch):
    """A failure while writing leaves the old file, and nothing else."""
    (tmp_path / 'a.png').write_text('old')

    def full(path, **options):
        path.write_text('half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(plt, 'savefig', full)
    plot(X, Y)
    with pytest.raises(OSError, match='No space left'), experiment.use(
            figures=tmp_path):
        save_figure('a')
    assert [p.read_text() for p in tmp_path.iterdir()] == ['old']


def test_scripts_are_no_notebooks(monkeypatch):
    """Only a Jupyter kernel counts, not IPython in a terminal."""
    for ipython, expected in [
            (None, False),
            (SimpleNamespace(get_ipython=lambda: None), False),
            (SimpleNamespace(get_ipython=SimpleNamespace), False),
            (SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)),
             True)]:
        monkeypatch.setitem(sys.modules, 'IPython', ipython)
        assert plotting.in_notebook() is expected
    assert matplotlib.get_backend().lower() == 'agg'


def test_the_columns_of_an_array_are_curves():
    """As Matplotlib has it."""
    axes = plotting.plot([1, 2, 3], onp.arange(6).reshape(3, 2))
    assert [line.get_ydata().tolist() for line in axes.lines] == [
        [0, 2, 4], [1, 3, 5]]
