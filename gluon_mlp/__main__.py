"""`python -m gluon_mlp COMMAND`: the tools beside the chapter's scripts."""
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from .command_line import exit_code

app = typer.Typer(add_completion=False, rich_markup_mode=None,
                  help='Chapter 4 of Dive into Deep Learning in MXNet Gluon.')


@app.callback()
def _commands():
    """Keeps a lone command a command: `compare`, not the whole program."""


@app.command()
def compare(
        section: Annotated[Optional[str], typer.Option(
            help='Only this one, by its slug.')] = None,
        runs: Annotated[Optional[int], typer.Option(
            min=3, show_default='8, or 3 with --quick',
            help='Shuffles for what depends on them.')] = None,
        quick: Annotated[bool, typer.Option(
            '--quick', help='Under 3 minutes: fewer shuffles.')] = False,
        report: Annotated[Path, typer.Option(
            metavar='DIR', file_okay=False, writable=True,
            help='Folder for the report.')] = Path('report')):
    """Compare every number that the book published with ours."""
    import matplotlib
    matplotlib.use('agg')
    from .compare.command import compare as run
    from .compare.published import sections
    if section not in (None, *sections()):
        raise typer.BadParameter(
            f'no published numbers in {section!r}; there are some in '
            + ', '.join(sections()))
    report.mkdir(parents=True, exist_ok=True)
    return run(section, runs or (3 if quick else 8), quick, report)


if __name__ == '__main__':
    sys.exit(exit_code(app))
