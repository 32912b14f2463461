"""`python -m gluon_mlp bench`: time it all, check it, print and write it."""
import datetime
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import psutil
from tqdm import tqdm

from ..compare.published import quantities
from ..d2l import fashion_mnist
from ..machine import compat
from . import report
from .timing import BenchError, Rival, measure, summary

NETWORKS = {'mlp_scratch': ['scratch'], 'mlp_concise': ['concise'],
            'dropout': ['scratch', 'concise']}
SIZES = {'mlp_scratch': (784, 256, 10), 'mlp_concise': (784, 256, 10),
         'dropout': (784, 256, 256, 10)}
CHAPTER = 'chapter'  # all that 4.1 to 4.6 train; minutes, so only by name
BATCH_SIZES, NUM_HIDDENS = (16, 64, 256, 1024, 4096), (64, 256, 1024, 4096)
TRAIN, TEST, BATCH = 60000, 10000, 256
BOOK_REPEATS = 3  # it takes many times as long as the others
# How far the best test accuracy after some epochs may be from the best one
# published: the shuffle moves it by 0.02, and so does the data's edition.
ACCURACY_TOLERANCE = 0.06


def bench(section, device, repeats, quick, folder, against=None):
    """Time `section`, or all if None; write bench.json and the plots.

    Raises `BenchError` if an accuracy is not what it should be.
    """
    started = time.perf_counter()
    old = report.read_json(against) if against else None
    fashion_mnist.load()  # fetched once, before its readers start
    result = {'schema': 1, 'about': about(device, repeats, quick),
              'results': [], 'missing': []}
    jobs = jobs_of(section, device, quick)
    for job in tqdm(jobs, 'bench', leave=False, disable=None):
        run_job(job, repeats, result)
    result['about']['seconds'] = round(time.perf_counter() - started)
    try:  # a full disk loses no table, a closed pipe no bench.json
        paths = [report.write_json(result, folder / 'bench.json'),
                 *report.draw(result, folder)]
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
    for name in ('OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS',
                 'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY',
                 'MXNET_OPTIMIZER_AGGREGATION_SIZE'):
        texts[name] = os.environ.get(name)
    return {**texts, 'device': device, 'repeats': repeats, 'quick': quick,
            'date': datetime.datetime.now().isoformat(timespec='minutes')}


def jobs_of(section, device, quick):
    """What to time, of all sections if None: name, rivals and numbers."""
    if section == CHAPTER:
        return [chapter()]
    jobs = []
    for slug in [section] if section else NETWORKS:
        for what in NETWORKS[slug]:
            jobs += [epochs(slug, what, device, quick),
                     steps(slug, what, device, quick)]
        if slug == 'mlp_concise':
            jobs += [products(device, quick), parts(device),
                     *sweeps(device, quick)]
    return jobs


def run_job(job, repeats, result):
    """Time the rivals of `job` in turn, and add what they took."""
    name, rivals, numbers = job
    for rival, replies in zip(rivals, measure(rivals, repeats)):
        if isinstance(replies, str):
            if rival.who in ('ours', 'MXNet'):
                raise BenchError(f'{name}, {rival.who}: {replies}')
            result['missing'].append(
                {'what': name, 'who': rival.who, 'why': replies})
        else:
            result['results'] += rows(name, rival, replies, numbers)


def rows(name, rival, replies, numbers):
    """The entries of bench.json for what one rival took."""
    values = [reply['result'] for reply in replies]
    if isinstance(values[0], dict):  # several things, timed by the rival
        return [row(f'{name}: {part}', rival.who, [v[part] for v in values],
                    numbers.get(part, {})) for part in values[0]]
    seconds = [reply['seconds'] for reply in replies]
    if not rival.warm_up:
        seconds = [None, *seconds]
    peak = max(reply['peak_mb'] for reply in replies)
    if values[0] is None:
        return [row(name, rival.who, seconds, numbers, peak)]
    check_accuracy(f'{name}, {rival.who}', values, numbers['test_acc'])
    return [row(name, rival.who, seconds, numbers, peak, values)]


def row(what, who, seconds, numbers, peak_mb=None, accuracy=None):
    """One entry: the times, and the speeds that follow from them."""
    entry = {'what': what, 'who': who, 'x': numbers.get('x'),
             **summary(seconds), 'images': numbers.get('images'),
             'flop': numbers.get('flop'), 'peak_mb': peak_mb,
             'accuracy': accuracy}
    for speed, unit, size in (('images_per_s', 1, entry['images']),
                              ('gflop_per_s', 1e9, entry['flop'])):
        entry[speed] = size and size / unit / entry['median']
    return entry


def published_test_acc(slug, what):
    """The book's test accuracies, of each epoch."""
    return next(q.values for q in quantities(slug)
                if q.what in ('test_acc', f'{what}/test_acc'))


def check_accuracy(name, accuracies, published):
    """Raise `BenchError` unless the network has learned as it should.

    `accuracies` are those of each repeat, `published` the book's.
    """
    expected = np.max(published[:len(accuracies)])
    if not abs(max(accuracies) - expected) <= ACCURACY_TOLERANCE:
        raise BenchError(
            f'{name}: the test accuracy is {max(accuracies):.3f} after '
            f'{len(accuracies)} repeats, the book has {expected:.3f}: '
            'no speed is reported for a wrong result')


def chapter():
    """All that 4.1 to 4.6 train: ours and the book's.

    No warm-up, which would be lost in minutes: ours, book's, twice ours.
    """
    best = published_test_acc('mlp_concise', 'concise').max()
    return 'all of 4.1 to 4.6', [
        Rival('ours', 'chapter:ours', {}, 3, warm_up=False),
        Rival('book', 'chapter:book', {}, 1, warm_up=False)
    ], {'test_acc': [best]}


def epochs(slug, what, device, quick):
    """An epoch, training and evaluation: ours, the book's and PyTorch's."""
    arguments = {'section': slug, 'what': what}
    here = {**arguments, 'device': device}
    rivals = [Rival('ours', 'ours:epoch', here)]
    rivals += pytorch('epoch', here, quick)
    if device == 'cpu':  # the book's loop knows no other
        rivals.append(Rival('book', 'ours:book_epoch', arguments,
                            1 if quick else BOOK_REPEATS))
    sizes = SIZES[slug]
    return f'{slug} {what} epoch', rivals, {
        'images': TRAIN + TEST, 'test_acc': published_test_acc(slug, what),
        'flop': TRAIN * flop(sizes) + TEST * flop(sizes, train=False)}


def pytorch(function, arguments, quick):
    """PyTorch as a rival: eager, and with `torch.compile`, a slow start."""
    return [Rival(f'PyTorch {how}', f'pytorch:{function}',
                  {**arguments, 'compiled': how == 'compiled'})
            for how in (('eager',) if quick else ('eager', 'compiled'))]


def flop(sizes, train=True):
    """Multiplications and additions of an image's matrix products."""
    forward = [2 * m * n for m, n in zip(sizes, sizes[1:])]
    # Each weight has a gradient, each layer's input but the first one's.
    return sum(forward) + train * (sum(forward) + sum(forward[1:]))


def steps(slug, what, device, quick):
    """The training step alone, its batches made before."""
    num_batches = 20 if quick else 100
    arguments = {'section': slug, 'what': what, 'device': device,
                 'num_batches': num_batches}
    images = num_batches * BATCH
    return f'{slug} {what} {num_batches} steps', [
        Rival('ours', 'ours:step', arguments), *pytorch(
            'step', arguments, quick)
    ], {'images': images, 'flop': images * flop(SIZES[slug])}


def products(device, quick):
    """The products of matrices in a step of 4.3, and a large one."""
    shapes = {'X W1': (BATCH, 784, 256, False, False),
              'dW1': (784, BATCH, 256, True, False),
              'H W2': (BATCH, 256, 10, False, False),
              'dW2': (256, BATCH, 10, True, False),
              'dH': (BATCH, 10, 256, False, True),
              'square': (1024, 1024, 1024, False, False)}
    arguments = {'shapes': shapes, 'num_repeats': 20 if quick else 100,
                 'device': device}
    return 'product', [
        Rival('MXNet', 'ours:products', arguments),
        Rival('PyTorch', 'pytorch:products', arguments)
    ], {name: {'flop': 2 * m * k * n}
        for name, (m, k, n, *_) in shapes.items()}


def parts(device):
    """The parts of a step of 4.3."""
    return 'part of a step', [Rival('ours', 'ours:parts', {
        'section': 'mlp_concise', 'what': 'concise', 'num_batches': 40,
        'device': device})], {}


def sweeps(device, quick):
    """The loop on 4.3's network, eager too, over sizes and threads."""
    jobs = [sized(device, 'eager or hybridized', None, [
        (how, {'hybridize': how == 'hybridized'}, None)
        for how in ('eager', 'hybridized')])]
    for batch_size in BATCH_SIZES[::4 if quick else 1]:
        jobs.append(sized(device, 'batch size', batch_size, [
            ('ours', {}, None)], batch_size=batch_size))
    for num_hiddens in NUM_HIDDENS[::3 if quick else 1]:
        jobs.append(sized(device, 'hidden units', num_hiddens, [
            ('ours', {}, None)], num_hiddens=num_hiddens))
    for threads in thread_counts() if device == 'cpu' else ():
        jobs.append(sized(device, 'threads', threads, [
            ('ours', {}, threads)]))
    return jobs


def thread_counts():
    """1, 2, 4 ... and all."""
    usable = compat.usable_processors()
    return sorted({min(2 ** i, usable) for i in range(usable.bit_length() + 1)
                   })


def sized(device, what, x, rivals, batch_size=BATCH, num_hiddens=256):
    """The loop on 4.3's network with sizes of its own."""
    num_batches = max(4, min(60, 16384 // batch_size))
    arguments = {'batch_size': batch_size, 'num_hiddens': num_hiddens,
                 'num_batches': num_batches, 'device': device}
    images = batch_size * num_batches
    return what, [
        Rival(who, 'ours:sized_step', {'hybridize': True, **arguments,
                                       **more}, threads=threads)
        for who, more, threads in rivals
    ], {'x': x, 'images': images, 'flop': images * flop((784, num_hiddens,
                                                         10))}
