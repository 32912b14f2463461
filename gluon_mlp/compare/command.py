"""`python -m gluon_mlp compare`: run the sections, and report on them."""
import contextlib
import ctypes
import datetime
import json
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from ..d2l import fashion_mnist
from ..errors import ChapterError, DataError, in_a_line
from ..machine import compat
from ..sections import find
from . import agreement, document, known, page, recorded, terminal
from .quantities import FASHION_MNIST, described, is_trained
from .rows import Comparison, Row, SourceText

# The source text prints these numbers. They come from PyTorch, whose draws
# MXNet cannot repeat.
SOURCE_TEXT = {'train_concise(0), L2 norm of w': 14.670721054077148,
               'train_concise(3), L2 norm of w': 0.3454631567001343}
RUNS, QUICK_RUNS = 12, 3
QUICK_EPOCHS, CONTROL_EPOCHS = 5, 2  # of Fashion-MNIST
DRAWS = 20  # of the source text's numbers
POWER = Path(__file__).with_name('power.json')  # see `power`
PROCESS_BYTES = 1e9  # of a training of ours and one of the book's code


def compare(only, runs, quick, printings, verbose, folder):
    """Compare the section `only`, or all if None; write the report.

    `printings` are `Printing`s. Returns 0 if everything agrees, or differs
    as known; 1 if something else differs; 3 if something cannot be compared
    or told.
    """
    started = time.perf_counter()
    result = Comparison([], [], [], {}, {p.name: p.about for p in printings})
    with contextlib.suppress(BrokenPipeError):  # of `| head -1`
        terminal.print_head(result)
    with processes() as start:
        for compare_next in [
                start_section(section, runs, quick, printings, start)
                for section in sections_of(only, printings)]:
            section = compare_next(result)
            with contextlib.suppress(BrokenPipeError):
                terminal.print_section(result, section, verbose)
    seconds = time.perf_counter() - started
    result.about = {**about(result, runs, quick), 'seconds': f'{seconds:.0f}'}
    try:  # the result is not lost to a full disk, nor the report to a pipe
        document.write(result, folder)
        path = page.write(result, folder)
    finally:
        terminal.print_result(result)
    print(f'report: {path}')
    return result.exit_code


def sections_of(only, printings):
    """The slugs to compare: those that a printing has, or `only` this."""
    slugs = [slug for slug in described() if only in (None, slug)
             and any(p.quantities(slug) for p in printings)]
    if not slugs:
        raise DataError(f'printing {printings[0].name} has no {only}')
    return slugs


@contextlib.contextmanager
def processes():
    """Open a process of one thread for each processor.

    Gives `start(function, *args)`, which returns a future. Many small
    trainings end sooner in this way than one by one with more threads. If a
    process dies, its future raises `ChapterError`, and the next one gets a
    new process.
    """
    most = int(psutil.virtual_memory().available // PROCESS_BYTES)
    threads = ThreadPoolExecutor(
        max(1, min(compat.usable_processors(), most)))
    mine, pools = threading.local(), []

    def run(function, *args):
        try:
            if not hasattr(mine, 'pool'):
                mine.pool = _new_process()
                pools.append(mine.pool)
            return mine.pool.submit(function, *args).result()
        except BrokenProcessPool as error:
            del mine.pool
            raise ChapterError(
                'its process died; is there '
                f'{PROCESS_BYTES / 1e9:g} GB of memory for each?') from error
    try:
        yield lambda *args: threads.submit(run, *args)
    finally:  # a training may take minutes, so nothing waits for its end
        threads.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.kill()
        for pool in pools:
            pool.shutdown()  # frees the locks of a process that is gone


def _new_process():
    return ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context('spawn'),
        initializer=_begin_process, initargs=[os.getpid()])


def _begin_process(parent):
    os.environ['OMP_NUM_THREADS'] = '1'  # read when MXNet is imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent reports Ctrl-C
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends when the parent ends
    if os.getppid() != parent:  # it has ended already
        os._exit(1)
    tqdm.set_lock(threading.RLock())  # a killed process would leave its own
    sys.stdout = open(os.devnull, 'w')  # each says where the data are


def start_section(section, runs, quick, printings, start):
    """Start everything that `section` needs; return a function.

    `start` is that of `processes`. The function waits for the results, adds
    them to a `Comparison`, and returns the `section`.
    """
    from .control import control, failed
    from .reproduce import draw_norms, reproduce
    n = runs if is_trained(section) else 1
    num_epochs = QUICK_EPOCHS if quick and section in FASHION_MNIST else None
    ours = [start(reproduce, section, i, num_epochs) for i in range(n)]
    controls = [start(control, section, control_epochs(section, quick))
                for _ in range(is_trained(section))]
    draws = [start(draw_norms, i) for i in range(
        (QUICK_RUNS if quick else DRAWS) * (section == 'weight_decay'))]

    def gather(result):
        rows = compare_section(section, tqdm(
            (future.result() for future in ours), section, n, leave=False,
            disable=None), printings, num_epochs)
        result.rows += rows
        if all(row.missing for row in rows):
            return section
        try:
            for future in controls:
                result.controls += future.result()
            if draws:
                result.source_text += compare_source_text(
                    [future.result() for future in draws])
        except Exception as error:
            result.controls.append(failed(section, in_a_line(error)))
        return section
    return gather


def control_epochs(section, quick):
    """The epochs of the section's controls; None for all.

    An epoch of Fashion-MNIST takes the book's code many seconds. The second
    one tells whether the shuffle and the learning rate go on as they should.
    """
    if quick:
        return 1
    return CONTROL_EPOCHS if section in FASHION_MNIST else None


def about(result, runs, quick):
    """The versions, the data's edition, the machine, the date: texts."""
    texts = {name: version(name) for name in ('mxnet', 'numpy', 'd2l')}
    texts['python'] = platform.python_version()
    texts['machine'] = (f'{platform.machine()}, '
                        f'{compat.usable_processors()} processors')
    texts['date'] = datetime.date.today().isoformat()
    if any(r.quantity.kind == 'statistical' and len(r.runs)
           for r in result.rows):
        texts['data'] = ('Fashion-MNIST, edition of '
                         + fashion_mnist.load().edition)
    texts['runs'] = f'{runs} shuffles' + (', --quick' if quick else '')
    if quick:
        texts['left out'] = left_out(result, runs)
        texts['not caught'] = not_caught(result)
    return texts


def left_out(result, runs):
    """What `--quick` left out of the sections in `result`, in a line."""
    trained = [s for s in result.sections if is_trained(s)]
    texts = []
    if trained and runs < RUNS:
        texts.append(f'all but {runs} of {RUNS} shuffles')
    if any(s in FASHION_MNIST for s in trained):
        texts.append(f'the epochs after {QUICK_EPOCHS} of training on '
                     'Fashion-MNIST')
    if trained:
        texts.append('all but the first epoch of the controls')
    return ', '.join(texts) or 'nothing'


def not_caught(result):
    """The wrong ports that `--quick` does not catch, in a line."""
    mutants = json.loads(POWER.read_text('utf-8'))['mutants']
    return ', '.join(
        f"{find(m['section']).number} {m['what']}" for m in mutants
        if m['section'] in result.sections
        and not (m['quick_printings'] or m['quick_control'])) or 'none'


def compare_section(section, ours, printings, num_epochs=None):
    """The `Row` of each quantity that the `printings` have of `section`.

    `ours` yields the results of `reproduce` with `num_epochs`, one for each
    shuffle.
    """
    wanted = {}  # what -> printing's name -> quantity
    for printing in printings:
        for q in printing.quantities(section, num_epochs):
            wanted.setdefault(q.what, {})[printing.name] = q
    try:
        ours = list(ours)
    except Exception as error:  # whatever it is, the others are compared
        return [not_compared(named, error) for named in wanted.values()]
    tests = test_section(section, wanted, ours)
    spared = tests
    if 'differs' in map(agreement.verdict, tests.values()):
        spared = test_section(section, {
            what: {name: known.left_out(name, q) for name, q in named.items()}
            for what, named in wanted.items()}, ours)
    return [compare_quantity(named, ours, tests.get(what, ()),
                             spared.get(what, ()))
            for what, named in wanted.items()]


def test_section(section, wanted, ours):
    """The section's `Test`s: lists, by the quantity that they are of."""
    edition = section in FASHION_MNIST and fashion_mnist.load().edition
    tests = {}
    for test in agreement.test_section(wanted, ours, edition):
        tests.setdefault(test.what.split('[')[0], []).append(test)
    return tests


def compare_quantity(named, ours, tests, spared):
    """The `Row` of a quantity: `named` by the printings, and `ours`."""
    from .reproduce import rounding
    q = next(iter(named.values()))
    ours = ours[:1] if q.kind == 'exact' else ours
    runs = [np.asarray(run.get(q.what), dtype=float) for run in ours]
    for run in runs:
        if run.shape != q.values.shape:
            return Row(named, np.empty((0, *q.values.shape)), reason=(
                f'ours has the shape {run.shape}, not {q.values.shape}'))
    runs = np.stack(runs)
    return Row(named, runs, rounding(q.section).get(q.what, 0.0), offset(q),
               tests, spared, '' if np.isfinite(runs).all() else
               'ours is not a number')


def offset(q):
    """By how much the edition of our data moves each of the book's numbers.

    It is estimated point by point, and for display only.
    """
    if (q.kind != 'statistical'
            or fashion_mnist.load().edition == recorded.BOOK_EDITION):
        return np.zeros_like(q.values)
    return np.array([
        recorded.offset(q.section, q.what, 'start', point).value
        for point in np.eye(10)[:len(q.x)]])


def not_compared(named, error):
    """The `Row` of a quantity of which ours could not be computed."""
    q = next(iter(named.values()))
    return Row(named, np.empty((0, *q.values.shape)),
               reason=in_a_line(error), missing=isinstance(error, DataError))


def compare_source_text(norms):
    """The source text's two numbers among our `norms`, pairs of them."""
    norms = np.array(norms)
    return [SourceText(what, text, norms[:, i])
            for i, (what, text) in enumerate(SOURCE_TEXT.items())]
