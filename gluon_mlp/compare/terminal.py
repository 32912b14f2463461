"""The comparison in the terminal: a line for each section, as it comes.

Below a section stands what differs, and what could slip through. A line has
80 columns at most, and no number is cut.
"""
import textwrap

import numpy as np

from ..sections import find

LINE = '{:4} {:28} {:16} {:>7}  {}'


def print_head(result):
    """Print what the columns are, before the first section."""
    say('printings: ' + ', '.join(result.printings))
    print(LINE.format('', 'section', 'verdict', 'numbers',
                      'within our runs'), flush=True)


def print_section(result, section, verbose=False):
    """Print a section's line, and what does not agree in it."""
    counts = result.counts(section).values()
    print_line(find(section).number, section, result.verdict(section),
               counts)
    rows = result.rows_of(section)
    reasons = {row.reason for row in rows}
    if len(reasons) == 1 and '' not in reasons:  # the same one for all
        say(reasons.pop(), 5)
    else:
        for row in rows:
            if verbose or row.verdict not in ('agrees', 'too wide to tell'):
                print_row(row, verbose)
    for entry in [entry for row in rows for entry in row.known]:
        say(f'known: {entry.what} of {entry.printing} is {entry.value:g} at '
            f'epoch {entry.x:g}, which no run of ours has', 5)
    for text in too_wide(result, section):
        say(text, 5)
    for control in result.controls_of(section):
        if verbose or not control.agrees:
            say(control_text(control), 5)


def print_line(number, section, verdict, counts):
    """Print a line of the table. It is short enough as it is."""
    print(LINE.format(number, section, verdict,
                      max(c.numbers for c in counts),
                      ' '.join(f'{c.within:4}' for c in counts)), flush=True)


def say(text, indent=0):
    """Print a text at once, also into a file; no word of it is cut."""
    print(textwrap.fill(text, 80, initial_indent=indent * ' ',
                        subsequent_indent=(indent + 2) * ' ',
                        break_long_words=False, break_on_hyphens=False),
          flush=True)


def print_row(row, verbose):
    """Print a row: its worst number, and its tests."""
    say(f'{row.quantity.what}: {row.verdict}'
        + (f', {row.reason}' if row.reason else ''), 5)
    if len(row.runs):
        say(worst_text(row), 7)
    for test in row.tests:
        if verbose or test.verdict == 'differs':
            say(test_text(test), 7)


def worst_text(row):
    """The number that is furthest away; a curve's with its epoch or x."""
    q, i = row.quantity, row.worst
    at = ''
    if q.x is not None:
        name = 'x' if q.kind == 'exact' else 'epoch'
        at = f'at {name} {q.x[i[0]]:g}: '
    elif i:
        at = f'at [{", ".join(map(str, i))}]: '
    digits = '.8g' if q.digits == 'float32' else '.6g'
    book = dict.fromkeys(f'{printing.values[i]:{digits}}'
                         for printing in row.printings.values())
    ours = dict.fromkeys(f'{a[i]:{digits}}' for a in (row.low, row.high))
    return f'{at}book {", ".join(book)}; ours {" to ".join(ours)}'


def test_text(test):
    """A test in a line: how far off ours is, and the chance of that."""
    name = test.measure
    if '[' in test.what:
        name += f' [{test.what.partition("[")[2]}'
    off, error = -test.difference.value, test.difference.error
    book, ours = test.book, test.ours
    if test.log and test.measure == 'level':
        book, ours, off = np.exp(book), np.exp(ours), np.expm1(off)
        texts = f'{off:+.2%}', f'{error:.2%}'
    else:
        texts = f'{off:+.2g}', f'{error:.2g}'
    return (f'{name}: book {book:.5g}, ours {ours:.5g}, off by '
            f'{" +- ".join(texts)} (p {test.adjusted:.1g})')


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
        say('wrong ports of docs/compare.md that --quick misses: '
            f"{result.about['not caught']}")
    counts = result.counts().values()
    print_line('', 'all', result.verdict(), counts)


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
