"""`gluon-mlp COMMAND`: the chapter's scripts, and the tools beside them.

`python -m gluon_mlp COMMAND` is the same. What needs MXNet is imported by the
commands that need it.
"""
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated, Optional

import click
import typer
from typer.completion import shell_complete

from . import __version__, experiment, sections
from .files import check_file, check_folder
from .machine import compat
from .run import ending
from .run.options import COUNT, FORMAT, SEED, Number

app = typer.Typer(
    rich_markup_mode=None, invoke_without_command=True,
    suggest_commands=False,  # click does
    context_settings={'help_option_names': ['-h', '--help']})
# The words after the first one belong to the script.
OF_THE_SCRIPT = {'allow_interspersed_args': False}


def main():
    """Run the command line, and end the process."""
    command = typer.main.get_command(app)
    shell = os.environ.get('_GLUON_MLP_COMPLETE')
    if shell:  # it asks how to complete a word
        sys.exit(shell_complete(command, {}, 'gluon-mlp',
                                '_GLUON_MLP_COMPLETE', shell))
    ending.run(command)


def _names():
    """What a section may be called, for the shell to complete."""
    return [name for section in sections.SECTIONS for name in section[:2]]


@app.callback()
def begin(context: typer.Context,
          version: Annotated[bool, typer.Option(
              '--version', help='Print the version.')] = False):
    """Chapter 4 of Dive into Deep Learning in MXNet Gluon."""
    if version:
        print(f'gluon-mlp {__version__}')
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(context_settings=OF_THE_SCRIPT)
def run(section: Annotated[str, typer.Argument(autocompletion=_names)],
        options: Annotated[Optional[list[str]], typer.Argument(
            metavar='[OPTIONS]')] = None):
    """Run the script of a section, such as 4.3 or mlp_concise.

    The options are the script's own: run 4.3 --help lists those of 4.3.
    """
    command = [sys.executable, _script(section), *(options or ())]
    os.execve(sys.executable, command, compat.users_environment())


def _script(name):
    """The path of the script of the section called `name`."""
    try:
        path = str(sections.script(sections.find(name)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return min(path, os.path.relpath(path), key=len)


@app.command()
def compare(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its number or slug.',
            autocompletion=_names)] = None,
        printing: Annotated[Optional[str], typer.Option(
            metavar='NAME|JSON', show_default='all three',
            help="The book's printing to compare with, by its name or as a "
            'file.')] = None,
        runs: Annotated[Optional[int], typer.Option(
            click_type=Number(int, 3, 100),
            show_default='12, or 3 with --quick',
            help='Shuffles for what depends on them.')] = None,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Fewer epochs and shuffles: it tells gross '
            'errors only.')] = False,
        power: Annotated[bool, typer.Option(
            '--power', help='Compare wrong ports instead, each with one '
            'mistake: who catches it? In an hour.')] = False,
        verbose: Annotated[bool, typer.Option(
            '--verbose', help='Also the quantities that agree.')] = False,
        output: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the report.')] = Path('report')):
    """Compare every number that the book published with ours."""
    import matplotlib
    matplotlib.use('agg')
    from .compare import printings, quantities
    from .compare.command import QUICK_RUNS, RUNS
    from .compare.command import compare as run
    if section:
        section = _slug(section, quantities.sections(),
                        'has no published numbers')
    chosen = [printings.load(name) for name in (
        [printing] if printing else printings.NAMES)]
    check_folder(output)
    if power:
        from .compare.power import power as run_power
        return run_power(section, output)
    return run(section, runs or (QUICK_RUNS if quick else RUNS), quick,
               chosen, verbose, output)


def _slug(name, slugs, otherwise):
    """The slug of the section called `name`, which is one of `slugs`."""
    try:
        slug = sections.find(name).slug
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if slug not in slugs:
        raise typer.BadParameter(f'section {name} {otherwise}; choose one of '
                                 + ', '.join(slugs))
    return slug


@app.command()
def notebooks(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its number or slug.',
            autocompletion=_names)] = None,
        output: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the notebooks.')] = Path('notebooks')):
    """Turn the chapter's scripts into notebooks that have run."""
    from .run.notebooks import build
    slugs = [s.slug for s in sections.SECTIONS]
    check_folder(output)
    for slug in [_slug(section, slugs, '')] if section else slugs:
        print(f'notebook: {build(slug, output)}')


@app.command()
def doctor(
        json: Annotated[bool, typer.Option(
            '--json', help='Print it as JSON, for a program.')] = False):
    """Say what this machine has and what is wrong, with the mend."""
    from .doctor import doctor as run
    return run(json)


@app.command()
def bench(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its number or slug, or "chapter": all '
                 'that 4.2 to 4.6 train, on the CPU.',
            autocompletion=_names)] = None,
        device: Annotated[str, typer.Option(
            click_type=click.Choice(['cpu', 'gpu']),
            help='Where to compute.')] = 'cpu',
        repeats: Annotated[Optional[int], typer.Option(
            click_type=COUNT,
            show_default='9, or 3 with --quick, or 1 of the chapter',
            help='How often to time each, after a first call.')] = None,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Less, and noisier; no torch.compile.')] = False,
        output: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for bench.json and table.md.')] = Path('bench'),
        against: Annotated[Optional[Path], typer.Option(
            metavar='JSON', exists=True, dir_okay=False,
            help='A bench.json to compare with.')] = None):
    """Time 4.2, 4.3 and 4.6 beside the book's loop and PyTorch."""
    from .bench.command import bench as run
    from .bench.jobs import CHAPTER
    from .compare.quantities import FASHION_MNIST
    if section not in (None, CHAPTER):
        section = _slug(section, [*FASHION_MNIST, CHAPTER], 'is not timed')
    if section == CHAPTER and device == 'gpu':
        raise typer.BadParameter("the book's chapter knows no --device gpu")
    if section == CHAPTER and quick:
        raise typer.BadParameter('the chapter cannot be timed with --quick')
    check_folder(output)
    usual = 3 if quick else 1 if section == CHAPTER else 9
    return run(section, device, repeats or usual, quick, output, against)


@app.command(context_settings=OF_THE_SCRIPT)
def launch(
        command: Annotated[list[str], typer.Argument(
            metavar='-- SCRIPT [OPTIONS]')],
        workers: Annotated[int, typer.Option(
            click_type=Number(int, 1, 64),
            help='Processes that share each batch.')] = 2,
        servers: Annotated[int, typer.Option(
            click_type=Number(int, 1, 64),
            help='Processes that sum the gradients.')] = 1,
        hosts: Annotated[str, typer.Option(
            metavar='FILE|A,B', show_default='this machine',
            help='Where to start them by ssh: a file with a host a line, or '
            'hosts with commas.')] = ''):
    """Run a script in several processes, or on several machines.

    SCRIPT is a section, such as 4.3, or a file that trains by train_ch3.
    Its own options follow it.
    """
    from .run.launch import launch as run
    from .run.launch import read_hosts
    if command[0] in _names():
        command[0] = _script(command[0])
    return run(command, workers, servers, read_hosts(hosts) if hosts else ())


@app.command()
def exercise(
        number: Annotated[Optional[str], typer.Argument(
            autocompletion=_names)] = None,
        list_: Annotated[bool, typer.Option(
            '--list', help='Only list them, or all of the chapter.')] = False,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Little data and few epochs.')] = False,
        store: Annotated[bool, typer.Option(
            '--store', help='Store the results that the answers quote, by '
            'default of all exercises. In an hour.')] = False,
        output: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the figures.')] = Path('figures'),
        format: Annotated[str, typer.Option(
            click_type=FORMAT, help='Of the figures.')] = 'png',
        seed: Annotated[int, typer.Option(
            click_type=SEED, help='Seed of all that draws.')] = 0):
    """Answer exercises of the chapter, in words, numbers and plots.

    NUMBER is that of one, such as 4.3.2 or 4.4.2a, or of a section, such as
    4.3, whose slug does as well.
    """
    from .exercises import exercises, matching, stored
    found = matching(number) if number else list(exercises().values())
    if list_ and found:
        for one in found:
            print(f'{one.number:7} {one.title}')
        return
    if not found or not (number or store):
        raise typer.BadParameter(f'there is no exercise {number}; --list '
                                 'names them' if number else
                                 'which exercise? --list names them')
    if store and quick:
        raise typer.BadParameter('a --quick run shows nothing to --store: '
                                 'leave out one of them')
    import matplotlib
    matplotlib.use('agg')
    check_folder(output)
    if store:
        check_file(stored.FILE)
    with experiment.use(figures=output, format=format):
        for i, one in enumerate(found):
            # Backticks mark settings, for the test of the numbers.
            answer = one.answer.replace('`', '')
            print('\n' * bool(i) + f'{one.number} {one.title}\n\n{answer}\n')
            _tell(one, quick, store, seed)


def _tell(one, quick, store, seed):
    """Say how an exercise was measured, and measure it from `seed`."""
    from .d2l import training
    from .exercises import stored
    if not store:
        print(stored.line(one.number))
    if quick:
        print('This run is too short to show what the answer says.')
    training.seed(seed)
    start = perf_counter()
    results = one.run(quick=quick)
    if store:
        stored.store(one.number, seed, perf_counter() - start, results)


if __name__ == '__main__':
    main()
