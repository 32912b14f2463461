"""The comparison as a table in the terminal."""
import sys

from rich import box
from rich.console import Console
from rich.table import Table


def print_result(result):
    """Print the rows, the controls, the source text and the totals."""
    # The table needs 160 columns; a terminal has as many as it has.
    console = Console()
    if not sys.stdout.isatty():
        console = Console(width=max(console.width, 160))
    console.print(_table(result))
    texts = [*map(control_text, result.controls),
             *map(_source_text, result.source_text),
             *(f'{section}: {count_text(result, section)}'
               for section in result.sections),
             f'total: {count_text(result)}']
    if 'left out' in result.about:
        texts.append(f"left out by --quick: {result.about['left out']}")
    for text in texts:
        console.print(text, soft_wrap=True)


def _table(result):
    table = Table('section', 'what', 'book', 'ours', 'difference', 'allowed',
                  'kind', 'verdict', box=box.SIMPLE_HEAD)
    for row in result.rows:
        table.add_row(row.quantity.section, row.quantity.what, *cells(row),
                      row.quantity.kind, verdict(row))
    return table


def cells(row):
    """Book, ours, difference and allowed, of the row's worst number."""
    if row.runs == 0:
        first = row.quantity.values[row.known][0]
        return [f'{first:.6g}', '', '', '']
    texts = [f'{a[row.worst]:.6g}' for a in (row.quantity.values, row.ours)]
    texts += [f'{a[row.worst]:.2g}' for a in (row.difference, row.allowed)]
    if row.shift:
        texts[-1] += f' + edition {row.shift:g}'
    return texts


def verdict(row):
    """The verdict, with how many numbers of a curve agree."""
    if row.quantity.count == 1:
        return row.verdict
    return f'{row.verdict} {row.agrees.sum()}/{row.quantity.count}'


def control_text(control):
    """A control in a line."""
    name = (f'control {control.section} {control.what}'.rstrip()
            + ": the book's own code")
    if control.reason:
        return f'{name} cannot be compared: {control.reason}'
    s = 's' if control.num_epochs > 1 else ''
    return (f'{name} {"agrees" if control.agrees else "differs"} after '
            f'{control.num_epochs} epoch{s}: histories differ by '
            f'{control.history:.2g}, weights by {control.weights:.2g} '
            f'(allowed {control.allowed:.2g})')


def _source_text(number):
    draws = number.draws
    return (f'source text {number.what}: {number.text:.6g}; our {len(draws)} '
            f'draws are {draws.mean():.4g} +- {draws.std(ddof=1):.2g}, from '
            f'{draws.min():.4g} to {draws.max():.4g}, and {number.below} of '
            'them are below it')


def count_text(result, section=None):
    """'n of m reproduced', and what is not as simple as that."""
    counts = result.counts(section)
    text = f'{counts.reproduced} of {counts.numbers} reproduced'
    if counts.by_edition:
        text += (f' ({counts.by_edition} of them only given the edition of '
                 'the data)')
    missing = sum(r.quantity.count for r in result.rows_of(section)
                  if r.runs == 0)
    return text + (f', {missing} not compared' if missing else '')
