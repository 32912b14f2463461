"""`python -m gluon_mlp compare`: run the sections, print and write it all."""
import datetime
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from .. import compat, fashion_mnist
from ..errors import DataError
from . import report
from .published import quantities, sections
from .rows import (Comparison, Row, SourceText, compare_exact,
                   compare_runs)

# What the source text prints, of a PyTorch run whose draws cannot be repeated.
SOURCE_TEXT = {'train_concise(0), L2 norm of w': 14.670721054077148,
               'train_concise(3), L2 norm of w': 0.3454631567001343}
MIN_CONVERGED_RUNS = 8


def compare(only, runs, quick, folder):
    """Compare the section `only`, or all if None; write the report.

    Returns 0 if all that could be compared agrees, else 1.
    """
    started = time.perf_counter()
    result = Comparison([], [], [])
    for section in [only] if only else sections():
        rows = compare_section(section, runs, quick)
        result.rows += rows
        if rows[0].runs:  # its data can be had
            result.controls += compare_loops(section, quick)
        if section == 'weight_decay':
            result.source_text += compare_source_text(8 if quick else 20)
    seconds = time.perf_counter() - started
    result.about = {**about(result, runs, quick), 'seconds': f'{seconds:.0f}'}
    try:  # a full disk loses no table, a closed pipe no report
        report.write_json(result, Path(folder) / 'compare.json')
        page = report.write(result, folder)
    finally:
        print_result(result, Console(width=_width()))
    print(f'report: {page}')
    return 0 if agrees(result) else 1


def agrees(result):
    """Whether all that could be compared agrees."""
    return (all(row.verdict != 'differs' for row in result.rows)
            and all(c.agrees for c in result.controls)
            and all(t.agrees for t in result.source_text))


def about(result, runs, quick):
    """The versions, the data's edition, the machine, the date: texts."""
    texts = {name: version(name) for name in ('mxnet', 'numpy', 'd2l')}
    texts['python'] = platform.python_version()
    texts['machine'] = (f'{platform.machine()}, '
                        f'{compat.usable_processors()} processors')
    texts['date'] = datetime.date.today().isoformat()
    if any(r.quantity.kind == 'statistical' and r.runs for r in result.rows):
        texts['data'] = ('Fashion-MNIST, edition of '
                         + fashion_mnist.load().edition)
    texts['runs'] = f'{runs} shuffles' + (', --quick' if quick else '')
    return texts


def compare_section(section, runs, quick=False):
    """The `Row` of each quantity that `section` published."""
    from .reproduce import reproduce, rounding
    wanted = quantities(section)
    kinds = {q.kind for q in wanted}
    if kinds == {'exact'}:
        runs = 1
    elif 'converged' in kinds and not quick:
        runs = max(runs, MIN_CONVERGED_RUNS)
    try:
        ours = [reproduce(section, shuffle)
                for shuffle in tqdm(range(runs), section, leave=False,
                                    disable=None)]
    except DataError as error:
        print(f'{section} is not compared: {error}', file=sys.stderr)
        return [not_compared(q) for q in wanted]
    rounded = rounding(section)
    edition = 'statistical' in kinds and fashion_mnist.load().edition
    numbers = sum(q.count for q in wanted if q.kind != 'exact')
    return [compare_exact(q, ours[0][q.what], rounded.get(q.what, 0.0))
            if q.kind == 'exact' else
            compare_runs(q, np.stack([run[q.what] for run in ours]),
                         numbers, edition)
            for q in wanted]


def not_compared(quantity):
    """The `Row` of a section whose data cannot be had."""
    nothing = np.full_like(quantity.values, np.nan)
    return Row(quantity, nothing, nothing, 0, nothing)


def compare_loops(section, quick=False):
    """The `Control` of each network of `section`."""
    from .control import PAIRS, control
    return [control(*pair, num_epochs=1 if quick else 10)
            for pair in PAIRS if pair[0] == section]


def compare_source_text(draws):
    """Where the source text's two numbers lie among `draws` of ours."""
    from .reproduce import draw_norms
    norms = np.array([draw_norms(seed) for seed in tqdm(
        range(draws), 'source text', leave=False, disable=None)])
    return [SourceText(what, text, norms[:, i])
            for i, (what, text) in enumerate(SOURCE_TEXT.items())]


def print_result(result, console):
    """Print the tables: rows, controls, the source text, the totals."""
    table = Table('section', 'what', 'book', 'ours', 'difference', 'allowed',
                  'kind', 'verdict', box=box.SIMPLE_HEAD)
    for row in result.rows:
        table.add_row(row.quantity.section, row.quantity.what, *cells(row),
                      row.quantity.kind, verdict(row))
    console.print(table)
    for c in result.controls:
        console.print(f'control {c.section} {c.what}: the book\'s own loop, '
                      f'{c.num_epochs} epochs: histories differ by '
                      f'{c.history:.2g}, weights by {c.weights:.2g} '
                      f'(allowed {c.allowed:.2g})', soft_wrap=True)
    for t in result.source_text:
        console.print(
            f'source text {t.what}: {t.text:.6g}; ours over {len(t.draws)} '
            f'draws {t.draws.mean():.4g} +- {t.draws.std(ddof=1):.2g}, from '
            f'{t.draws.min():.4g} to {t.draws.max():.4g}; {t.below} of them '
            'below it', soft_wrap=True)
    for section in dict.fromkeys(r.quantity.section for r in result.rows):
        console.print(f'{section}: {count_text(result, section)}',
                      soft_wrap=True)
    console.print(f'total: {count_text(result)}', soft_wrap=True)


def _width():
    """The terminal's, but what the table needs where there is none."""
    return max(Console().width, 125 if not sys.stdout.isatty() else 0)


def cells(row):
    """Book, ours, difference, allowed: of the number nearest the limit."""
    difference = np.abs(row.difference)
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = np.where(row.known, difference / row.allowed, -1)
    ratio = np.where(row.known & (difference == 0), 0, ratio)
    i = np.unravel_index(np.nanargmax(ratio), ratio.shape) if row.runs else (
        np.unravel_index(np.argmax(row.known), row.known.shape))
    texts = [f'{a[i]:.6g}' for a in (row.quantity.values, row.ours)]
    texts += [f'{a[i]:.2g}' for a in (row.difference, row.allowed)]
    if row.shift:
        texts[-1] += f' + edition {row.shift:g}'
    return texts if row.runs else [texts[0], '', '', '']


def verdict(row):
    """The verdict, with how many numbers of a curve agree."""
    agree = int((row.reproduced | row.by_edition).sum())
    return (row.verdict if row.quantity.count == 1
            else f'{row.verdict} {agree}/{row.quantity.count}')


def count_text(result, section=None):
    """'n of m reproduced', how many only given the edition, or not at all."""
    published, reproduced, by_edition = result.counts(section)
    text = f'{reproduced} of {published} reproduced'
    if by_edition:
        text += f' ({by_edition} of them only given the edition of the data)'
    missing = sum(r.quantity.count for r in result.rows if r.runs == 0
                  and section in (None, r.quantity.section))
    return text + (f', {missing} not compared' if missing else '')
