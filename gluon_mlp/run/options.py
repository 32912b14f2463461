"""The options of a chapter script."""
import math
import sys
from pathlib import Path

import click

from .. import experiment, sections
from ..errors import ChapterError, DisplayError
from ..files import check_file, check_folder
from .ending import opened, take_over

MOST = 2 ** 31 - 1  # MXNet counts in 32 bits


class Number(click.ParamType):
    """A number in a range that --help does not show."""

    def __init__(self, kind, least, most):
        self.name = 'integer' if kind is int else 'float'
        self.kind, self.least, self.most = kind, least, most

    def convert(self, value, param, ctx):
        """`value`, a text or a default, as a number of this range."""
        try:
            number = self.kind(value)
        except ValueError:
            number = math.nan
        if self.least <= number <= self.most:
            return number
        words = 'an integer' if self.kind is int else 'a number'
        self.fail(f'{value!r} is not {words} from {self.least:g} to '
                  f'{self.most:.10g}.', param, ctx)


COUNT = Number(int, 1, MOST)
PROBABILITY = Number(float, 0, 0.999)  # MXNet's Dropout(1) gives NaN
SEED = Number(int, 0, MOST)
FOLDER = click.Path(file_okay=False, writable=True, path_type=Path)
FORMAT = click.Choice(['png', 'svg'])
LANG = click.Choice(['en', 'zh'])

# The constants that a script may take from its command line: their type,
# their help, and other names of the option.
OWN = {
    'num_epochs': (COUNT, 'Passes over the training data.'),
    'num_epochs_overfit': (COUNT, 'Passes for the polynomial of degree 19.'),
    'lr': (Number(float, 1e-30, 1e30), 'Learning rate.'),
    'batch_size': (COUNT, 'Examples in a minibatch.'),
    'num_hiddens': (COUNT, 'Hidden units.'),
    'num_hiddens1': (COUNT, 'Units of the first hidden layer.'),
    'num_hiddens2': (COUNT, 'Units of the second hidden layer.'),
    'dropout1': (PROBABILITY, 'Probability of dropping a unit of the first '
                              'hidden layer.'),
    'dropout2': (PROBABILITY, 'Probability of dropping a unit of the second '
                              'hidden layer.'),
    'alpha': (Number(float, -1e30, 1e30), 'Slope of pReLU below zero.'),
    'lambd': (Number(float, 0, 1e30), 'Weight of the L2 penalty.'),
    'weight_decay': (Number(float, 0, 1e30), 'Weight decay.', '--wd'),
    'k': (Number(int, 2, 730), 'Folds of the cross-validation.'),
    'num_gpus': (COUNT, 'GPUs that share each batch, with --device gpu.'),
    'submission': (click.Path(dir_okay=False, path_type=Path),
                   'File for the predicted prices. Without it they go to '
                   'submission.csv beside the figures.'),
}
SHARED = (
    click.Option(['--seed'], type=SEED, default=0, show_default=True,
                 help='Seed of the weights, the noise and the shuffle.'),
    click.Option(['--device'], type=click.Choice(['cpu', 'gpu']),
                 default='cpu', show_default=True, help='Where to compute.'),
    click.Option(['--output'], type=FOLDER, metavar='DIR',
                 default=Path('figures'), show_default=True,
                 help='Folder for the figures.'),
    click.Option(['--format'], type=FORMAT, default='png', show_default=True,
                 help='Of the figures.'),
    click.Option(['--lang'], type=LANG, default='en', show_default=True,
                 help='Of the labels in diagrams.'),
    click.Option(['--show'], is_flag=True,
                 help='Show the figures in windows, too.'),
    click.Option(['--book-only'], is_flag=True,
                 help="Run only the book's listings, not what follows them."),
)
KEPT = (
    click.Option(['--checkpoint'], type=FOLDER, metavar='DIR', default=None,
                 help='Save the run there after each epoch. This changes no '
                      'number, except where dropout draws its masks.'),
    click.Option(['--resume'], is_flag=True,
                 help='Go on with the run that was saved there.'),
    click.Option(['--durable'], is_flag=True,
                 help='Wait for the disk at each save, so that a power '
                      'failure spares what was saved.'),
    click.Option(['--history'], type=click.Path(dir_okay=False,
                                                path_type=Path),
                 metavar='CSV', default=None,
                 help='File for the numbers of each epoch.'),
)


def options(section, names):
    """The constants `names` of `section`, a module: one value for each.

    A chapter's script takes them from its command line. Its run begins here,
    with its seed, device, figures' folder and checkpoint. From here on an
    error ends the script with one line and an exit code: 2 for a wrong
    option, 130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that is gone,
    and 1 for all others. In a notebook the values are the section's own, and
    the seed is 0.
    """
    names = names.replace(',', ' ').split()
    values = {name: getattr(section, name, None) for name in names}
    script = sys._getframe(1).f_globals.get('__file__')
    if script and _same_file(script, sys.argv[0]):
        take_over()
        _check_checkout(Path(script))
        slug = section.__name__.rpartition('.')[2]
        given = _parse(slug, values)
        values = {name: given.pop(name) for name in names}
        _begin(section, values, **given)
    elif not script:  # a notebook
        from ..d2l import training
        training.seed(0)
    return tuple(values.values()) or None  # no output of a cell that ends so


def book_ends():
    """The book's listings end here: with --book-only the script does, too."""
    if experiment.current.book_only:
        sys.exit()


def _same_file(a, b):
    return Path(a).resolve() == Path(b).resolve()


def _check_checkout(script):
    """Raise `ChapterError` if Python has found another checkout's package."""
    found = Path(__file__).resolve().parent.parent
    checkout = script.resolve().parent.parent
    own = checkout / 'gluon_mlp'
    if own.is_dir() and own != found:
        raise ChapterError(
            f'{script} belongs to {own}, but this Python runs {found}: use '
            f"the Python in {checkout / '.venv'} (make env builds it; remove "
            'that folder first if it is a copy)')


def _parse(slug, values):
    """The options on the command line, all of them by name."""
    section = sections.find(slug)
    own = [_option(name, value) for name, value in values.items()]
    kept = KEPT if 'num_epochs' in values else ()
    command = click.Command(
        slug, params=[*own, *SHARED, *kept],
        help=f'{section.number} {section.title}',
        context_settings={'help_option_names': ['-h', '--help']})
    return command.make_context(sys.argv[0], sys.argv[1:]).params


def _option(name, value):
    """The option for the constant `name`, whose default is `value`."""
    kind, text, *others = OWN[name]
    return click.Option([name, '--' + name.replace('_', '-'), *others],
                        type=kind, help=text, default=value,
                        show_default=value is not None)


def _begin(section, own, seed, device, output, format, lang, show, book_only,
           checkpoint=None, resume=False, durable=False, history=None):
    """Begin a script's run. What it opens stays open until it ends."""
    _check(device, checkpoint, resume, durable, own.get('num_gpus', 1))
    _choose_backend(show)
    from ..d2l import plotting, training
    from .checkpoint import saving
    from .closing import closing
    from .device import get_device
    check_folder(output)
    if history:
        check_file(history)
    settings = {'seed': seed, 'device': device, **{
        name: value for name, value in own.items()
        if isinstance(value, (int, float))}}  # no path
    opened.close()  # of an earlier script in this process
    opened.enter_context(experiment.use(
        figures=output, format=format, lang=lang, book_only=book_only))
    opened.enter_context(get_device(device))
    if checkpoint:
        slug = section.__name__.rpartition('.')[2]
        opened.enter_context(saving(checkpoint, slug, settings, resume,
                                    durable))
    if show:
        opened.callback(plotting.plt.show)
    opened.enter_context(closing(section, settings, history))
    training.seed(seed)


def _choose_backend(show):
    """Raise `DisplayError` where nothing can be shown."""
    import matplotlib

    from ..d2l import plotting
    if not show:
        if not plotting.in_notebook():  # where %run may start it
            matplotlib.use('agg')
    elif matplotlib.get_backend().lower() == 'agg':
        raise DisplayError('there is no display to --show the figures on; '
                           'they are saved without it, too')


def _check(device, checkpoint, resume, durable, num_gpus):
    """Raise `BadParameter` for options that do not go together."""
    if resume and not checkpoint:
        raise click.BadParameter('--resume needs --checkpoint DIR')
    if durable and not checkpoint:
        raise click.BadParameter('--durable needs --checkpoint DIR')
    if num_gpus > 1 and device == 'cpu':
        raise click.BadParameter('--num-gpus needs --device gpu')
    if num_gpus > 1 and checkpoint:
        raise click.BadParameter('--checkpoint is for one device: leave out '
                                 '--num-gpus')
