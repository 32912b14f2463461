"""Rivals timed in turn, A B A B, each in its own process.

Two OpenMP runtimes in one process would disturb each other, and MXNet reads
the number of its threads when it is imported. A rival that waits for its turn
waits for a pipe, which takes no processor time.
"""
import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import psutil

from ..errors import ChapterError
from ..machine import compat

BUSY = '''
import os, sys, threading
threading.Thread(target=lambda: sys.stdin.read() or os._exit(0)).start()
print(flush=True)
while True:
    pass
'''


class Rival(NamedTuple):
    """A function of this package to time, in its own process."""
    who: str
    function: str           # 'module:name'
    arguments: dict
    repeats: int = None     # fewer than the others, for a slow one
    warm_up: bool = True    # whether a first call is not counted
    untuned: bool = False   # whether MXNet keeps its own settings


class BenchError(ChapterError):
    """A rival fails, or its result is wrong, so its speed means nothing."""


def measure(rivals, repeats, loads=(0,)):
    """Time `rivals` in turn, `repeats` times after the warm-up.

    Each turn has a round beside as many busy processes as each of `loads`
    says. Returns the replies of each rival, the warm-up's first, or the text
    that says why it could not run.
    """
    with ExitStack() as stack:
        processes = []
        for rival in rivals:
            processes.append(stack.enter_context(start(rival)))
            stack.push(partial(_kill_if_stopped, processes[-1]))
        replies = [[ask(process)] for process in processes]  # one by one
        for turn, load in product(range(1 + repeats), loads):
            with busy(load):
                for rival, process, got in zip(rivals, processes, replies):
                    if 'error' not in got[-1] and turn < rival.warm_up + min(
                            rival.repeats or repeats, repeats):
                        got.append(ask(process))
        for process in processes:
            with suppress(BrokenPipeError):  # it has died
                process.stdin.close()
    return [got[-1]['error'] if 'error' in got[-1] else got[1:]
            for got in replies]


@contextmanager
def busy(n):
    """Let `n` processes compute for as long as a `with` lasts.

    They end with this process, too, however that ends.
    """
    with ExitStack() as stack:
        for _ in range(n):
            process = stack.enter_context(subprocess.Popen(
                [sys.executable, '-c', BUSY], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            process.stdout.readline()  # it has begun
        yield


def _kill_if_stopped(process, error, *_):
    """End the process at once, and those of its `DataLoader`."""
    if error:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def start(rival):
    """Start the process of `rival`."""
    env = dict(os.environ)
    if rival.untuned:
        env = {**compat.users_environment(), compat.UNTUNED: '1'}
    env['MPLBACKEND'] = 'agg'  # 4.4 and 4.5 plot, and no window shall open
    return subprocess.Popen(
        [sys.executable, '-m', 'gluon_mlp.bench.serve', rival.function,
         json.dumps(rival.arguments)], env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)  # an error comes as a reply


def ask(process):
    """The next reply of a rival's process, which has an `error` or not."""
    try:
        process.stdin.write('\n')
        process.stdin.flush()
        reply = process.stdout.readline()
    except BrokenPipeError:
        reply = ''
    return json.loads(reply) if reply else {
        'error': f'its process ended with exit code {process.wait()}'}


def summary(times):
    """Median and quartiles of `times` without the first, the warm-up's.

    That one is None if there was no warm-up.
    """
    first, *times = times
    q1, median, q3 = np.percentile(times, [25, 50, 75])
    return {'first': first, 'times': times, 'median': median, 'q1': q1,
            'q3': q3}
