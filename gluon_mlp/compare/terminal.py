"""The comparison in the terminal: a line for each section, as it comes.

Below a section stands what differs, and what could slip through. No line is
longer than 80 columns but for texts that are not ours, and no number is cut.
"""
import numpy as np

from ..sections import find

WORDS = {'as known': 'differs as known'}  # what a reader is told
LINE = '{:4} {:28} {:16} {:>7}  {}'
UNITS = {'level': 'mean level', 'trend': 'trend', 'start': 'first epoch',
         'value': 'value'}


def print_head(result):
    """Print what the columns are, before the first section."""
    for name in result.printings:
        say(f'printing {name}')
    say(LINE.format('', 'section', 'verdict', 'numbers',
                    'of these within ours'))


def print_section(result, section, verbose=False):
    """Print a section's line, and what does not agree in it."""
    counts = result.counts(section).values()
    say(LINE.format(find(section).number, section,
                    word(result.verdict(section)),
                    max(c.numbers for c in counts),
                    ' '.join(f'{c.within:4}' for c in counts)))
    reasons = dict.fromkeys(r.reason for r in result.rows_of(section))
    for row in result.rows_of(section):
        if row.reason and len(reasons) == 1:  # the whole section's
            continue
        if verbose or row.verdict not in ('agrees', 'too wide to tell'):
            print_row(row, verbose)
    if len(reasons) == 1 and '' not in reasons:
        say(f'     {reasons.popitem()[0]}')
    for text in too_wide(result, section):
        say(f'     {text}')
    for control in result.controls_of(section):
        if verbose or not control.agrees:
            say(f'     {control_text(control)}')


def say(text):
    """Print a line at once, also into a file."""
    print(text, flush=True)


def word(verdict):
    """A verdict in words."""
    return WORDS.get(verdict, verdict)


def print_row(row, verbose):
    """Print a row: its worst number, and its tests."""
    say(f'     {row.quantity.what}: {word(row.verdict)}'
        + (f', {row.reason}' if row.reason else ''))
    if len(row.runs):
        say(f'       {worst_text(row)}')
    for test in row.tests:
        if verbose or test.verdict == 'differs':
            say(f'       {test_text(test)}')
    for entry in row.known:
        say(f'       known: {entry.value:g} at {entry.x:g} of '
            f'{entry.printing}')


def worst_text(row):
    """The number that is furthest away; a curve's with its epoch or x."""
    q, i = row.quantity, row.worst
    at = ''
    if q.x is not None:
        name = 'x' if q.kind == 'exact' else 'epoch'
        at = f'at {name} {q.x[i[0]]:g}: '
    elif i:
        at = f'at [{", ".join(map(str, i))}]: '
    book = dict.fromkeys(f'{p.values[i]:.8g}' for p in row.printings.values())
    ours = f'{row.low[i]:.8g}'
    if row.high[i] != row.low[i]:
        ours += f' to {row.high[i]:.8g}'
    return f'{at}book {", ".join(book)}; ours {ours}'


def test_text(test):
    """A test in a line: how far off, and whether that can be chance."""
    name = UNITS[test.measure]
    if '[' in test.what:
        name += f' [{test.what.partition("[")[2]}'
    value, error, _ = test.difference
    book, ours = test.book, test.ours
    if test.log and test.measure == 'level':
        book, ours = np.exp([book, ours])
    return (f'{name}: book {book:.5g}, ours {ours:.5g}, '
            f'off by {-value:+.2g} +- {error:.1g}'
            f'{" in log" if test.log else ""} (p {test.adjusted:.1g})')


def too_wide(result, section):
    """What would slip through, in words, of the tests that cannot tell."""
    texts = []
    for test in result.tests(section):
        if test.verdict != 'too wide to tell':
            continue
        size = f'{test.detectable:.2g}'
        if test.log:
            size = f'{np.expm1(test.detectable):.0%}'
        elif test.measure == 'value':
            size += f' (of {test.book:.3g})'
        texts.append(f'{test.what}: an error below {size} may slip through')
    return texts


def print_result(result):
    """Print what concerns all sections, and the verdict."""
    for number in result.source_text:
        say(_source_text(number))
    if 'left out' in result.about:
        say(f"left out by --quick: {result.about['left out']}")
    counts = result.counts().values()
    say(LINE.format('', 'all', word(result.verdict()),
                    max((c.numbers for c in counts), default=0),
                    ' '.join(f'{c.within:4}' for c in counts)))


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
