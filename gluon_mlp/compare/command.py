"""`python -m gluon_mlp compare`: run the sections, and report on them."""
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

import numpy as np
import psutil
from tqdm import tqdm

from ..d2l import fashion_mnist
from ..errors import ChapterError, DataError
from ..machine import compat
from . import document, page, terminal
from .published import FASHION_MNIST, quantities, sections
from .rows import Comparison, Row, SourceText, compare_exact, compare_runs

# The source text prints these numbers. They come from PyTorch, whose draws
# MXNet cannot repeat.
SOURCE_TEXT = {'train_concise(0), L2 norm of w': 14.670721054077148,
               'train_concise(3), L2 norm of w': 0.3454631567001343}
MIN_CONVERGED_RUNS = 8
QUICK_EPOCHS = 5  # of Fashion-MNIST
PROCESS_BYTES = 1e9  # of a training of ours and one of the book's code


def compare(only, runs, quick, folder):
    """Compare the section `only`, or all if None; write the report.

    Returns 0 if everything that could be compared agrees, else 1.
    """
    started = time.perf_counter()
    result = Comparison([], [], [])
    with processes() as start:
        for compare_next in [start_section(section, runs, quick, start)
                             for section in ([only] if only else sections())]:
            compare_next(result)
    seconds = time.perf_counter() - started
    result.about = {**about(result, runs, quick), 'seconds': f'{seconds:.0f}'}
    try:  # the table is not lost to a full disk, nor the report to a pipe
        document.write(result, folder)
        path = page.write(result, folder)
    finally:
        terminal.print_result(result)
    print(f'report: {path}')
    return 0 if result.agrees else 1


@contextlib.contextmanager
def processes():
    """Open a pool with a process of one thread for each processor.

    Gives the pool's `map`. Many small trainings end sooner in this way than
    one by one with more threads. Raises `ChapterError` if a process is
    killed.
    """
    most = int(psutil.virtual_memory().available // PROCESS_BYTES)
    pool = ProcessPoolExecutor(
        max(1, min(compat.usable_processors(), most)),
        mp_context=multiprocessing.get_context('spawn'),
        initializer=_begin_process, initargs=[os.getpid()])
    try:
        yield pool.map
    except BrokenProcessPool as error:
        raise ChapterError('a process was killed before its end; is there '
                           f'{PROCESS_BYTES / 1e9:g} GB of memory for each '
                           'processor?') from error
    except BaseException:  # the current trainings may take minutes
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process(parent):
    os.environ['OMP_NUM_THREADS'] = '1'  # read when MXNet is imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent reports Ctrl-C
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends when the parent ends
    if os.getppid() != parent:  # it has ended already
        os._exit(1)
    tqdm.set_lock(threading.RLock())  # a killed process would leave its own
    sys.stdout = open(os.devnull, 'w')  # each says where the data are


def start_section(section, runs, quick, start=map):
    """Start everything that `section` needs; return a function.

    `start` is `map`, or that of a pool. The function waits for the results,
    and adds them to a `Comparison`.
    """
    from .control import control
    from .reproduce import draw_norms, reproduce
    n = number_of_runs(section, runs, quick)
    num_epochs = QUICK_EPOCHS if quick and section in FASHION_MNIST else None
    ours = start(partial(reproduce, section, num_epochs=num_epochs), range(n))
    controls = start(
        partial(control, num_epochs=control_epochs(section, quick)),
        [section] if is_trained(section) else [])
    draws = range((runs if quick else 20) if section == 'weight_decay' else 0)
    norms = start(draw_norms, draws)

    def gather(result):
        rows = compare_section(section, tqdm(ours, section, n, leave=False,
                                             disable=None), num_epochs)
        result.rows += rows
        if rows[0].runs:  # its data are available
            result.controls += sum(controls, [])
        if draws:
            result.source_text += compare_source_text(norms)
    return gather


def is_trained(section):
    """Whether numbers of the section depend on the shuffle."""
    return any(q.kind != 'exact' for q in quantities(section))


def control_epochs(section, quick):
    """The epochs of the section's controls; None for all.

    An epoch of Fashion-MNIST takes the book's code many seconds.
    """
    return 1 if quick or section in FASHION_MNIST else None


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
    numbers = sum(whole.count - begun.count for whole, begun in zip(
        quantities(), quantities(num_epochs=QUICK_EPOCHS))
        if whole.section in result.sections)
    texts = []
    if runs < MIN_CONVERGED_RUNS and any(r.runs != 1 for r in result.rows):
        texts.append(f'all but {runs} of {MIN_CONVERGED_RUNS} shuffles')
    if numbers:
        texts.append(f'{numbers} numbers (the epochs after {QUICK_EPOCHS} of '
                     'training on Fashion-MNIST)')
    if any(is_trained(s) and control_epochs(s, False) is None
           for s in result.sections):
        texts.append('all but the first epoch of the controls')
    return ', '.join(texts) or 'nothing'


def number_of_runs(section, runs, quick):
    """The number of shuffles for a section if `runs` were asked for."""
    if not is_trained(section):
        return 1
    return runs if quick or section in FASHION_MNIST else max(
        runs, MIN_CONVERGED_RUNS)


def compare_section(section, ours, num_epochs=None):
    """The `Row` of each quantity that `section` published.

    `ours` are the results of `reproduce` with `num_epochs`, one for each
    shuffle.
    """
    from .reproduce import rounding
    wanted = quantities(section, num_epochs)
    try:
        ours = list(ours)
    except DataError as error:
        print(f'{section} is not compared: {error}', file=sys.stderr)
        return [not_compared(q) for q in wanted]
    rounded = rounding(section)
    numbers = sum(q.count for q in wanted if q.kind != 'exact')
    edition = section in FASHION_MNIST and fashion_mnist.load().edition
    return [compare_exact(q, ours[0][q.what], rounded.get(q.what, 0.0))
            if q.kind == 'exact' else
            compare_runs(q, np.stack([run[q.what] for run in ours]),
                         numbers, edition)
            for q in wanted]


def not_compared(quantity):
    """The `Row` of a section whose data are not available."""
    nothing = np.full_like(quantity.values, np.nan)
    return Row(quantity, nothing, nothing, 0, nothing)


def compare_source_text(norms):
    """The source text's two numbers among our `norms`, pairs of them."""
    norms = np.array(list(norms))
    return [SourceText(what, text, norms[:, i])
            for i, (what, text) in enumerate(SOURCE_TEXT.items())]
