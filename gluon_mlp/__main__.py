"""`python -m gluon_mlp COMMAND`: the tools beside the chapter's scripts."""
from pathlib import Path
from typing import Annotated, Optional

import click
import typer

from . import experiment, sections
from .files import check_folder
from .run import ending

app = typer.Typer(add_completion=False, rich_markup_mode=None,
                  help='Chapter 4 of Dive into Deep Learning in MXNet Gluon.')


@app.command()
def compare(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its number or slug.')] = None,
        printing: Annotated[Optional[str], typer.Option(
            metavar='NAME|JSON', show_default='all three',
            help="The book's printing to compare with, by its name or as a "
            'file.')] = None,
        runs: Annotated[Optional[int], typer.Option(
            min=3, max=100, show_default='12, or 3 with --quick',
            help='Shuffles for what depends on them.')] = None,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Fewer epochs and shuffles: it tells gross '
            'errors only.')] = False,
        power: Annotated[bool, typer.Option(
            '--power', help='Compare wrong ports instead, each with one '
            'mistake: who catches it? In an hour.')] = False,
        verbose: Annotated[bool, typer.Option(
            '--verbose', help='Also the quantities that agree.')] = False,
        report: Annotated[Path, typer.Option(
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
    check_folder(report)
    if power:
        from .compare.power import power as run_power
        return run_power(section, report)
    return run(section, runs or (QUICK_RUNS if quick else RUNS), quick,
               chosen, verbose, report)


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
def doctor():
    """Say what this machine has and what is wrong, with the mend."""
    from .doctor import doctor as run
    return run()


@app.command()
def bench(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its number or slug, or "chapter": all '
                 'that 4.2 to 4.6 train, on the CPU.'
            )] = None,
        device: Annotated[str, typer.Option(
            click_type=click.Choice(['cpu', 'gpu']),
            help='Where to compute.')] = 'cpu',
        repeats: Annotated[Optional[int], typer.Option(
            min=1, show_default='9, or 3 with --quick, or 1 of the chapter',
            help='Of each, after a first call.')] = None,
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


@app.command()
def launch(
        command: Annotated[list[str], typer.Argument(
            metavar='-- SCRIPT [OPTIONS]',
            help='A chapter script that trains by train_ch3.')],
        workers: Annotated[int, typer.Option(
            min=1, max=64, help='Processes that share each batch.')] = 2,
        servers: Annotated[int, typer.Option(
            min=1, max=64, help='Processes that sum the gradients.')] = 1,
        hosts: Annotated[str, typer.Option(
            metavar='FILE|A,B', show_default='this machine',
            help='Where to start them by ssh: a file with a host a line, or '
            'hosts with commas.')] = ''):
    """Run a script in several processes, or on several machines."""
    from .run.launch import launch as run
    from .run.launch import read_hosts
    return run(command, workers, servers, read_hosts(hosts) if hosts else ())


@app.command()
def exercise(
        number: Annotated[Optional[str], typer.Argument(
            help='Which one, such as 4.3.2 or 4.4.2a.')] = None,
        list_: Annotated[bool, typer.Option(
            '--list', help='List all, with titles.')] = False,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Little data and few epochs.')] = False,
        figures: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the figures.')] = Path('figures'),
        seed: Annotated[int, typer.Option(
            min=0, max=2 ** 31 - 1, help='Seed of all that draws.')] = 0):
    """Answer an exercise of the chapter, in words, numbers and plots."""
    import matplotlib
    matplotlib.use('agg')
    from .d2l import training
    from .exercises import exercises
    known = exercises()
    if list_:
        for found in known.values():
            print(f'{found.number:7} {found.title}')
        return
    if number not in known:
        raise typer.BadParameter(f'there is no exercise {number}; --list '
                                 'names them' if number else
                                 'which exercise? --list names them')
    check_folder(figures)
    found = known[number]
    print(f'{found.number} {found.title}\n\n{found.answer}\n')
    training.seed(seed)
    with experiment.use(figures=figures):
        found.run(quick=quick)


if __name__ == '__main__':
    ending.run(typer.main.get_command(app))
