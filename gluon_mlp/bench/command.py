"""`python -m gluon_mlp bench`: time it all, check it, print and write it."""
import datetime
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import psutil
from tqdm import tqdm

from ..d2l import fashion_mnist
from ..files import write_whole
from ..machine import compat
from . import report, tables
from .jobs import jobs_of
from .timing import BenchError, measure, summary

# How far the best test accuracy after some epochs may be from the best one
# published. The shuffle moves it by 0.02, and so does the data's edition.
ACCURACY_TOLERANCE = 0.06


def bench(section, device, repeats, quick, folder, against=None):
    """Time `section`, or all if None; write bench.json and the tables.

    Raises `BenchError` if an accuracy is not what it should be.
    """
    started = time.perf_counter()
    old = report.read_json(against) if against else None
    fashion_mnist.load()  # fetched once, before the rivals read it
    result = {'schema': 2, 'about': about(device, repeats, quick),
              'results': [], 'missing': []}
    jobs = jobs_of(section, device, quick)
    for job in tqdm(jobs, 'bench', leave=False, disable=None):
        run_job(job, repeats, result)
    result['about']['seconds'] = round(time.perf_counter() - started)
    try:  # the table is not lost to a full disk, nor bench.json to a pipe
        paths = [report.write_json(result, folder / 'bench.json'),
                 write_whole(folder / 'table.md', tables.page(result))]
    finally:
        report.print_result(result)
    print('\n'.join(f'written: {path}' for path in paths))
    if old:
        report.print_against(result, old)
    return 0


def about(device, repeats, quick):
    """The machine, the versions and the settings."""
    from cpuinfo import get_cpu_info
    texts = {'processor': get_cpu_info().get('brand_raw', 'unknown'),
             'processors': compat.usable_processors(),
             'memory_gb': round(psutil.virtual_memory().total / 1e9, 1),
             'system': platform.platform(),
             'python': platform.python_version(),
             'load_average': os.getloadavg()[0]}
    for name in ('mxnet', 'numpy', 'd2l', 'torch'):
        try:
            texts[name] = version(name)
        except PackageNotFoundError:
            texts[name] = None
    for name in (*compat.THREADS, compat.UPDATES, compat.KERNELS):
        texts[name] = os.environ.get(name)
    return {**texts, 'device': device, 'repeats': repeats, 'quick': quick,
            'date': datetime.datetime.now().isoformat(timespec='minutes')}


def run_job(job, repeats, result):
    """Time the rivals of `job` in turn, and add the entries to `result`."""
    timed = measure(job.rivals, repeats, job.loads)
    for rival, replies in zip(job.rivals, timed):
        if not isinstance(replies, str):
            result['results'] += rows(job, rival, replies)
        elif rival.who == 'ours':
            raise BenchError(f'{job.what}, ours: {replies}')
        else:
            result['missing'].append(
                {'what': job.what, 'who': rival.who, 'why': replies})


def rows(job, rival, replies):
    """The entries of bench.json for the replies of one rival."""
    if 'parts' in replies[0]:  # the rival has timed each of them
        return [row(job, rival.who, [reply['parts'][part]
                                     for reply in replies], part=part)
                for part in replies[0]['parts']]
    seconds = [reply['seconds'] for reply in replies]
    if not rival.warm_up:
        seconds = [None, *seconds]
    accuracies = None
    if len(job.test_acc):
        accuracies = [reply['accuracy'] for reply in replies]
        check_accuracy(f'{job.what}, {rival.who}', accuracies, job.test_acc)
    return [row(job, rival.who, seconds[i::len(job.loads)], beside=load,
                accuracy=accuracies,
                peak_mb=max(reply['peak_mb'] for reply in replies))
            for i, load in enumerate(job.loads)]


def row(job, who, seconds, part=None, beside=0, accuracy=None, peak_mb=None):
    """One entry of bench.json."""
    return {'kind': job.kind, 'section': job.section, 'what': job.what,
            'part': part, 'who': who, 'beside': beside, **summary(seconds),
            'peak_mb': peak_mb, 'accuracy': accuracy}


def check_accuracy(name, accuracies, published):
    """Raise `BenchError` unless the network has learned as it should.

    `accuracies` are those of each repetition, `published` the book's.
    """
    expected = np.max(published[:len(accuracies)])
    if not abs(max(accuracies) - expected) <= ACCURACY_TOLERANCE:
        raise BenchError(
            f'{name}: the test accuracy is {max(accuracies):.3f} after '
            f'{len(accuracies)} repetitions, and the book has '
            f'{expected:.3f}: no speed is reported for a wrong result')
