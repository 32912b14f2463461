"""`python -m gluon_mlp compare`: run the sections, print and write it all."""
import contextlib
import ctypes
import datetime
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from ..d2l import fashion_mnist
from ..errors import ChapterError, DataError
from ..machine import compat
from . import report
from .published import NUM_EPOCHS, quantities, sections
from .rows import Comparison, Row, SourceText, compare_exact, compare_runs

# What the source text prints, of a PyTorch run whose draws cannot be repeated.
SOURCE_TEXT = {'train_concise(0), L2 norm of w': 14.670721054077148,
               'train_concise(3), L2 norm of w': 0.3454631567001343}
MIN_CONVERGED_RUNS = 8
QUICK_EPOCHS = 5  # of Fashion-MNIST
WORKER_BYTES = 1e9  # what one training takes, and some more


def compare(only, runs, quick, folder):
    """Compare the section `only`, or all if None; write the report.

    Returns 0 if all that could be compared agrees, else 1.
    """
    started = time.perf_counter()
    result = Comparison([], [], [])
    with workers() as start:
        for compare_next in [start_section(section, runs, quick, start)
                             for section in ([only] if only else sections())]:
            compare_next(result)
    seconds = time.perf_counter() - started
    result.about = {**about(result, runs, quick), 'seconds': f'{seconds:.0f}'}
    try:  # a full disk loses no table, a closed pipe no report
        report.write_json(result, Path(folder) / 'compare.json')
        page = report.write(result, folder)
    finally:
        print_result(result, Console(width=_width()))
    print(f'report: {page}')
    return 0 if agrees(result) else 1


@contextlib.contextmanager
def workers():
    """Processes of one thread each, for all processors; gives their `map`.

    So many small trainings end sooner than one by one on all processors.
    Raises `ChapterError` if one is killed.
    """
    most = int(psutil.virtual_memory().available // WORKER_BYTES)
    pool = ProcessPoolExecutor(
        max(1, min(compat.usable_processors(), most)),
        mp_context=multiprocessing.get_context('spawn'),
        initializer=_begin_worker, initargs=[os.getpid()])
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise ChapterError('a process was killed before its end; is there '
                           f'{WORKER_BYTES / 1e9:g} GB of memory for each '
                           'processor?') from error
    except BaseException:  # stopped: what they are at may take minutes
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(parent):
    os.environ['OMP_NUM_THREADS'] = '1'  # read when MXNet is imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: the parent tells
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends when the parent does
    if os.getppid() != parent:  # which it did before
        os._exit(1)
    tqdm.set_lock(threading.RLock())  # its own would be left where we kill


def start_section(section, runs, quick, start=map):
    """Start all that `section` needs; a function that gathers it.

    `start` is `map` or a pool's. The function adds the section's rows,
    controls and numbers of the source text to a `Comparison`.
    """
    from .control import PAIRS, control
    from .reproduce import draw_norms, reproduce
    n = number_of_runs(section, runs, quick)
    num_epochs = QUICK_EPOCHS if quick else NUM_EPOCHS
    ours = start(partial(reproduce, section, num_epochs=num_epochs), range(n))
    whats = [what for slug, what in PAIRS if slug == section]
    controls = start(partial(control, section,
                             num_epochs=1 if quick else NUM_EPOCHS), whats)
    draws = range((runs if quick else 20) if section == 'weight_decay' else 0)
    norms = start(draw_norms, draws)

    def gather(result):
        rows = compare_section(section, tqdm(ours, section, n, leave=False,
                                             disable=None), num_epochs)
        result.rows += rows
        if rows[0].runs:  # its data can be had
            result.controls += controls
        if draws:
            result.source_text += compare_source_text(norms)
    return gather


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
    taken = sorted({row.runs for row in result.rows if row.runs > 1})
    texts['runs'] = (' or '.join(map(str, taken or [runs])) + ' shuffles'
                     + (', --quick' if quick else ''))
    if quick:
        texts['left out'] = left_out(result, runs)
    return texts


def left_out(result, runs):
    """What `--quick` left out of the sections in `result`, in a line."""
    slugs = {row.quantity.section for row in result.rows}
    numbers = sum(whole.count - begun.count for whole, begun in zip(
        quantities(), quantities(num_epochs=QUICK_EPOCHS))
        if whole.section in slugs)
    texts = []
    if runs < MIN_CONVERGED_RUNS and any(r.runs != 1 for r in result.rows):
        texts.append(f'all but {runs} of {MIN_CONVERGED_RUNS} shuffles')
    if numbers:
        texts += [f'{numbers} numbers (epochs {QUICK_EPOCHS + 1} to '
                  f'{NUM_EPOCHS} of training on Fashion-MNIST)',
                  'all but the first epoch of the controls']
    return ', '.join(texts) or 'nothing'


def number_of_runs(section, runs, quick):
    """How many shuffles are compared, if `runs` were asked for."""
    kinds = {q.kind for q in quantities(section)}
    if kinds == {'exact'}:
        return 1
    return runs if quick or 'converged' not in kinds else max(
        runs, MIN_CONVERGED_RUNS)


def compare_section(section, ours, num_epochs=NUM_EPOCHS):
    """The `Row` of each quantity that `section` published.

    `ours` are the results of `reproduce`, one for each shuffle, with this
    `num_epochs`.
    """
    from .reproduce import rounding
    wanted = quantities(section, num_epochs)
    try:
        ours = list(ours)
    except DataError as error:
        print(f'{section} is not compared: {error}', file=sys.stderr)
        return [not_compared(q) for q in wanted]
    rounded = rounding(section)
    trained = [q for q in wanted if q.kind != 'exact']
    numbers = sum(q.count for q in trained)
    edition = (any(q.kind == 'statistical' for q in trained)
               and fashion_mnist.load().edition)
    return [compare_exact(q, ours[0][q.what], rounded.get(q.what, 0.0))
            if q.kind == 'exact' else
            compare_runs(q, np.stack([run[q.what] for run in ours]),
                         numbers, edition)
            for q in wanted]


def not_compared(quantity):
    """The `Row` of a section whose data cannot be had."""
    nothing = np.full_like(quantity.values, np.nan)
    return Row(quantity, nothing, nothing, 0, nothing)


def compare_source_text(norms):
    """Where the source text's two numbers lie among our draws' `norms`."""
    norms = np.array(list(norms))
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
                      f'{c.num_epochs} epoch{"s" * (c.num_epochs > 1)}: '
                      'histories differ by '
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
    if 'left out' in result.about:
        console.print(f"left out by --quick: {result.about['left out']}",
                      soft_wrap=True)


def _width():
    """The terminal's, but what the table needs where there is none."""
    return max(Console().width, 160 if not sys.stdout.isatty() else 0)


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
