"""Plots as the book draws them, saved to files from a script."""
import math
import sys
from itertools import cycle

from matplotlib import pyplot as plt

from .. import experiment
from ..errors import DisplayError, NonFiniteLossError
from ..files import written_whole

FORMATS = ('-', 'm--', 'g-.', 'r:')
DISC = (20, 0)  # a marker that no format has


def in_notebook():
    """Whether this runs in a Jupyter kernel, where plots can be live."""
    ipython = sys.modules.get('IPython')
    return bool(ipython and getattr(ipython.get_ipython(), 'kernel', None))


if in_notebook():  # figures are drawn as the book's are
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    set_matplotlib_formats('svg')


def set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend):
    """Label and scale `axes` (2.4)."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_xscale(xscale)
    axes.set_yscale(yscale)
    if xlabel in ('epoch', 'epochs') and xscale == 'linear':
        axes.locator_params('x', integer=True, min_n_ticks=1)
    # set_xlim(None) would end the autoscaling; one epoch has no width.
    if xlim is not None and xlim[0] != xlim[1]:
        axes.set_xlim(xlim)
    if ylim is not None:
        axes.set_ylim(ylim)
    if legend:
        axes.legend(legend)
    axes.grid()


def plot(X, Y=None, xlabel=None, ylabel=None, legend=None, xlim=None,
         ylim=None, xscale='linear', yscale='linear', fmts=FORMATS,
         figsize=(3.5, 2.5), axes=None):
    """Plot a curve or a list of curves (2.4).

    Several curves may share one x or have one each. Without `Y` the curves
    are `X`, over 0, 1, 2 ... Draws into `axes`, or into a figure of its own,
    and returns the axes.
    """
    curves = _curves(X if Y is None else Y)
    xs = _curves(range(len(curves[0])) if Y is None else X)
    if len(xs) == 1:
        xs = xs * len(curves)
    if axes is None:
        _, axes = plt.subplots(figsize=figsize)
    for x, y, fmt in zip(xs, curves, cycle(fmts)):
        for line in axes.plot(x, y, fmt):
            _mark(line)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)
    return axes


def _mark(line):
    """Mark the points of a line of fewer than five: one alone has no line."""
    if line.get_marker() in ('None', DISC):
        line.set_marker(DISC if len(line.get_xdata()) < 5 else 'None')


def _curves(a):
    """One curve or several, as a list."""
    several = isinstance(a, (list, tuple)) and hasattr(a[0], '__len__')
    return [_numpy(curve) for curve in (a if several else [a])]


def _numpy(a):
    return a.asnumpy() if hasattr(a, 'asnumpy') else a


class Animator:
    """A plot that grows with each call, live in a notebook (3.6).

    The arguments are the book's. A script saves it with `save_figure`.
    """

    def __init__(self, xlabel=None, ylabel=None, legend=None, xlim=None,
                 ylim=None, xscale='linear', yscale='linear', fmts=FORMATS,
                 nrows=1, ncols=1, figsize=(3.5, 2.5)):
        self.fig, axes = plt.subplots(nrows, ncols, figsize=figsize)
        self.axes = [axes] if nrows * ncols == 1 else axes
        self.legend = legend
        set_axes(self.axes[0], xlabel, ylabel, xlim, ylim, xscale, yscale,
                 None)
        self.fmts, self.lines, self.shown = fmts, [], None

    def add(self, x, y):
        """Add a point to each line.

        `x` and `y` are numbers, or have one for each line. A None adds
        nothing to its line.
        """
        ys = y if hasattr(y, '__len__') else [y]
        xs = x if hasattr(x, '__len__') else [x] * len(ys)
        if not self.lines:
            self.lines = [self.axes[0].plot([], [], fmt)[0]
                          for _, fmt in zip(ys, cycle(self.fmts))]
            if self.legend:
                self.axes[0].legend(self.legend)
        for line, a, b in zip(self.lines, xs, ys):
            if a is not None and b is not None:
                line.set_data([*line.get_xdata(), a], [*line.get_ydata(), b])
                _mark(line)
        self.axes[0].relim()
        self.axes[0].autoscale_view()
        if in_notebook():
            self._show()

    def _show(self):
        """Show the figure as it is now, where the cell has shown it first."""
        from IPython.display import display
        vars(self.fig).pop('_ipython_display_', None)
        if self.shown:
            self.shown.update(self.fig)
        else:
            self.shown = display(self.fig, display_id=True)
        # The end of the cell displays all open figures. Not this one again.
        self.fig._ipython_display_ = lambda: vars(self.fig).pop(
            '_ipython_display_')


class Curve(list):
    """A training's history: rows of an epoch, its training loss, and more.

    An `Animator`, if there is one, draws each row that is appended. `width`
    is how many numbers a row has: one more than it has curves, if it names
    them. Raises `NonFiniteLossError` for a loss that is not finite.
    """

    def __init__(self, animator=None, width=None):
        super().__init__()
        self.animator = animator
        legend = getattr(animator, 'legend', None)
        named = legend and not isinstance(legend, str)
        self.width = 1 + len(legend) if named else width

    def append(self, row):
        """Keep and draw a row: the epoch, the training loss, and more."""
        epoch, l, *_ = row
        if not math.isfinite(l):
            raise NonFiniteLossError(
                f'the training loss is {l} in epoch {epoch}: try a lower '
                'learning rate')
        super().append(row)
        if self.animator:
            self.animator.add(epoch, row[1:])


def show_images(imgs, num_rows, num_cols, titles=None, scale=1.5):
    """Show images (n, height, width) in a grid, with `titles` (3.5)."""
    figsize = (num_cols * scale, num_rows * scale * (1.4 if titles else 1))
    _, axes = plt.subplots(num_rows, num_cols, figsize=figsize, squeeze=False)
    for i, (ax, img) in enumerate(zip(axes.flatten(), imgs)):
        ax.imshow(_numpy(img))
        ax.set_axis_off()
        if titles:
            ax.set_title(titles[i], fontsize=10)
    return axes.flatten()


def save_figure(name):
    """Save the current figure in the experiment's folder, as NAME.png.

    Or as NAME.svg, if that is the experiment's format. Prints where it is.
    Never leaves half a file. Raises `DisplayError` if no figure is open.
    """
    if not plt.get_fignums():
        raise DisplayError(f'no figure is open to save as {name!r}: a '
                           'notebook closes the figures of a cell at its '
                           'end, so save them in the cell that draws them')
    suffix = experiment.current.format
    path = experiment.current.figures / f'{name}.{suffix}'
    if experiment.current.workers.rank > 0:  # the first worker saves it
        plt.close()
        return
    with written_whole(path) as partial:
        plt.savefig(partial, format=suffix, dpi=150, bbox_inches='tight')
    print(f'figure: {path}')
    if plt.get_backend().lower() == 'agg':
        plt.close()  # with a window, it stays open until the end
