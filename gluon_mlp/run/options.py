"""The options that all chapter scripts share, and how a script ends."""
import inspect
import math
import os
import signal
import sys
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import click
import typer

from ..errors import ChapterError, DisplayError
from ..files import check_folder

MOST = 2 ** 31 - 1  # of what MXNet counts in 32 bits
SIGNALS = {128 + number: number for number in (
    signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}  # by their exit codes


def _tell_ctrl_c(kind, *error):
    """Ctrl-C while a script imports what comes after this: in a line, too."""
    if kind is KeyboardInterrupt:
        print('interrupted', file=sys.stderr, flush=True)
        os._exit(130)
    sys.__excepthook__(kind, *error)


sys.excepthook = _tell_ctrl_c


class Device(str, Enum):
    """What `--device` takes."""
    cpu = 'cpu'
    gpu = 'gpu'


def _number(least, most=1e30):  # MXNet computes in 32 bits
    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if least <= value <= most:
            return value
        raise typer.BadParameter(f'{text!r} is not a number from {least:g} '
                                 f'to {most:g}.')
    return click.types.FuncParamType(parse)


def _probability(value):
    if not 0 <= value < 1:
        raise typer.BadParameter(f'{value} is not from 0 to below 1')
    return value


NumEpochs = Annotated[int, typer.Option(
    min=1, max=MOST, help='Passes over the data.')]
BatchSize = Annotated[int, typer.Option(
    min=1, max=MOST, help='Examples a minibatch.')]
LearningRate = Annotated[float, typer.Option(
    click_type=_number(1e-30), metavar='FLOAT', help='Learning rate.')]
NumGpus = Annotated[int, typer.Option(
    min=1, max=MOST, help='GPUs that share each batch, on device gpu.')]
WeightDecay = Annotated[float, typer.Option(
    click_type=_number(0), metavar='FLOAT', help='Weight decay.')]
DropProbability = Annotated[float, typer.Option(
    callback=_probability, help='Share of the hidden units to drop.')]
Folds = Annotated[int, typer.Option(min=2, max=730, help='Folds.')]
Submission = Annotated[Optional[Path], typer.Option(
    metavar='PATH', show_default='submission.csv beside the figures',
    dir_okay=False, help='Where to write the predicted prices.')]


def _shared(
        seed: Annotated[int, typer.Option(
            min=0, max=MOST,
            help='Seed of the weights, noise and shuffle.')] = 0,
        device: Annotated[Device, typer.Option(
            help='Where to compute.')] = Device.cpu,
        figures: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the figures.')] = Path('figures'),
        show: Annotated[bool, typer.Option(
            '--show', help='Show the figures in windows, too.')] = False):
    """The options of every script."""


def _kept(
        checkpoint: Annotated[Optional[Path], typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Save the run there after each epoch. Changes no number, '
            'but the random masks of dropout.')] = None,
        resume: Annotated[bool, typer.Option(
            '--resume', help='Go on with the run that was saved.')] = False):
    """The options of the scripts that train for a number of epochs."""


def run(main):
    """Call `main`, the chapter script's function, from the command line.

    Its parameters become options, beside those of `_shared`, and of `_kept`
    if it has `num_epochs`. Exits with 2 and one line for a wrong option, 1
    for a `ChapterError` or an `OSError`, 130 for Ctrl-C and 143 for SIGTERM
    (129 for a terminal that is gone); what was plotted so far is saved then.
    """
    own = inspect.signature(main).parameters

    def command(**options):
        shared = {name: value for name, value in options.items()
                  if name not in own}
        try:
            _run_section(main, {name: options[name] for name in own},
                          **shared)
        except (KeyboardInterrupt, SystemExit) as error:
            _save_open_figures()
            return getattr(error, 'code', 130)

    trains = 'num_epochs' in own
    parameters = [p.replace(kind=p.KEYWORD_ONLY)
                  for f in (main, _shared, *[_kept] * trains)
                  for p in inspect.signature(f).parameters.values()]
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = sys.modules[main.__module__].__doc__
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(command)
    sys.exit(exit_code(app))


def exit_code(app):
    """Run a `typer` app; its exit code, errors told in one line each."""
    _prepare_streams()
    try:
        with _ended_as_by_ctrl_c():
            code = app(standalone_mode=False) or 0
    except SystemExit as error:
        code = error.code
    except click.ClickException as error:
        print(f'error: {error.format_message()}', file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:  # `| head`: nobody reads on
        code = 1
    except (ChapterError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        code = 1
    if code in SIGNALS:
        print('interrupted', file=sys.stderr)
    _finish_stdout()
    return code


def _prepare_streams():
    for name in ('stdout', 'stderr'):  # None where the shell closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, 'w'))
    # A log or a pipe gets each line at once, whatever the encoding.
    sys.stdout.reconfigure(line_buffering=True, errors='backslashreplace')


def _finish_stdout():
    try:
        sys.stdout.flush()
    except OSError:  # Python would try again when it ends, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_section(main, options, seed, device, figures, show, checkpoint=None,
                 resume=False):
    """Run `main(**options)` on `device`, its figures in `figures`."""
    import matplotlib
    _check(device, checkpoint, resume, options.get('num_gpus', 1))
    if not show:
        matplotlib.use('agg')
    elif matplotlib.get_backend().lower() == 'agg':
        raise DisplayError('no display to --show the figures on; they are '
                           'saved without it, too')
    from ..d2l import plot, training
    from .device import get_device
    check_folder(figures)
    plot.folder = figures
    with get_device(device.value):
        if checkpoint:
            _start_checkpoint(checkpoint, resume, seed=seed,
                              device=device.value, **options)
        training.seed(seed)
        main(**options)
    if show:
        plot.plt.show()


def _check(device, checkpoint, resume, num_gpus):
    """Raise `BadParameter` for options that do not go together."""
    if resume and not checkpoint:
        raise typer.BadParameter('--resume needs --checkpoint DIR')
    if num_gpus > 1 and device is Device.cpu:
        raise typer.BadParameter('--num-gpus needs --device gpu')
    if num_gpus > 1 and checkpoint:
        raise typer.BadParameter('--checkpoint is for one device: leave out '
                                 '--num-gpus')


def _start_checkpoint(folder, resume, **options):
    """Save the section's run in `folder`, or go on with the one there."""
    from . import checkpoint
    settings = {name: value for name, value in options.items()
                if isinstance(value, (int, float, str))}  # no paths
    checkpoint.start(folder, Path(sys.argv[0]).stem, settings, resume)


@contextmanager
def _ended_as_by_ctrl_c():
    """SIGTERM and SIGHUP raise `SystemExit`, unless they are ignored."""
    codes = [code for code, number in SIGNALS.items()
             if signal.getsignal(number) is signal.SIG_DFL]
    for code in codes:
        signal.signal(SIGNALS[code], lambda *args, code=code: sys.exit(code))
    try:
        yield
    finally:
        for code in codes:
            # Once interrupted, more of them stay ignored to the end.
            if signal.getsignal(SIGNALS[code]) is not signal.SIG_IGN:
                signal.signal(SIGNALS[code], signal.SIG_DFL)


def _save_open_figures():
    from ..d2l import plot
    for number in SIGNALS.values():  # one more must not stop this
        signal.signal(number, signal.SIG_IGN)
    for number in plot.plt.get_fignums():
        plot.plt.figure(number)
        plot.save_figure(f'{Path(sys.argv[0]).stem}_interrupted_{number}')
