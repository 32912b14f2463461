"""The options that all chapter scripts share, and how a script ends."""
import inspect
import math
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import click
import typer

from .errors import ChapterError, DisplayError


class Device(str, Enum):
    """What `--device` takes."""
    cpu = 'cpu'
    gpu = 'gpu'


def _positive(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value > 0:
        return value
    raise typer.BadParameter(f'{text!r} is not a positive number.')


def _probability(value):
    if not 0 <= value < 1:
        raise typer.BadParameter(f'{value} is not from 0 to below 1')
    return value


NumEpochs = Annotated[int, typer.Option(min=1, help='Passes over the data.')]
BatchSize = Annotated[int, typer.Option(min=1, help='Examples a minibatch.')]
LearningRate = Annotated[float, typer.Option(
    click_type=click.types.FuncParamType(_positive), metavar='FLOAT',
    help='Learning rate.')]
DropProbability = Annotated[float, typer.Option(
    callback=_probability, help='Share of the hidden units to drop.')]


def _shared(
        seed: Annotated[int, typer.Option(
            min=0, max=2 ** 31 - 1,
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
    for a `ChapterError` or an `OSError`, 130 for Ctrl-C; what was plotted so
    far is saved then.
    """
    own = inspect.signature(main).parameters

    def command(**options):
        shared = {name: value for name, value in options.items()
                  if name not in own}
        try:
            _run_section(main, {name: options[name] for name in own},
                         **shared)
        except KeyboardInterrupt:  # typer would only end with 130
            return _interrupted()

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
    # A log or a pipe gets each line at once, whatever the encoding.
    sys.stdout.reconfigure(line_buffering=True, errors='backslashreplace')
    try:
        return app(standalone_mode=False) or 0
    except click.ClickException as error:
        print(f'error: {error.format_message()}', file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ChapterError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def _run_section(main, options, seed, device, figures, show, checkpoint=None,
                 resume=False):
    """Run `main(**options)` on `device`, its figures in `figures`."""
    import matplotlib
    if resume and not checkpoint:
        raise typer.BadParameter('--resume needs --checkpoint DIR')
    if not show:
        matplotlib.use('agg')
    elif matplotlib.get_backend().lower() == 'agg':
        raise DisplayError('no display to --show the figures on; they are '
                           'saved without it, too')
    from . import plot, training
    from .device import get_device
    figures.mkdir(parents=True, exist_ok=True)
    plot.folder = figures
    with get_device(device.value):
        if checkpoint:
            _start_checkpoint(checkpoint, resume, seed=seed,
                              device=device.value, **options)
        training.seed(seed)
        main(**options)
    if show:
        plot.plt.show()


def _start_checkpoint(folder, resume, **options):
    """Save the section's run in `folder`, or go on with the one there."""
    from . import checkpoint
    settings = {name: value for name, value in options.items()
                if isinstance(value, (int, float, str))}  # no paths
    checkpoint.start(folder, Path(sys.argv[0]).stem, settings, resume)


def _interrupted():
    from . import plot
    print('interrupted', file=sys.stderr)
    for number in plot.plt.get_fignums():
        plot.plt.figure(number)
        plot.save_figure(f'{Path(sys.argv[0]).stem}_interrupted_{number}')
    return 130
