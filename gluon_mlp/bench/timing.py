"""Rivals timed in turn, A B A B, each in a process of its own.

Two OpenMP runtimes in one process would disturb each other, and MXNet reads
the number of its threads at its import. A rival that waits for its turn
waits on a pipe, and takes no processor's time.
"""
import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import psutil

from ..errors import ChapterError
from ..machine import compat


class Rival(NamedTuple):
    """Whose time to take: a function of `ours` or `pytorch`, by its name."""
    who: str
    function: str         # 'module:name' in this package
    arguments: dict
    repeats: int = None   # fewer than the others, for a slow one
    threads: int = None   # else as compat sets it
    warm_up: bool = True  # whether a first call is not counted


class BenchError(ChapterError):
    """A rival fails, or its result is wrong: its speed means nothing."""


def measure(rivals, repeats):
    """Time `rivals` in turn, `repeats` times after the warm-up.

    Returns for each its replies, the warm-up's first, or the text of why it
    could not run.
    """
    with ExitStack() as stack:
        workers = []
        for rival in rivals:
            workers.append(stack.enter_context(start(rival)))
            stack.push(partial(_kill_if_stopped, workers[-1]))
        replies = [[ask(worker)] for worker in workers]  # starts, one by one
        for turn in range(1 + repeats):
            for rival, worker, got in zip(rivals, workers, replies):
                if 'error' not in got[-1] and turn < rival.warm_up + min(
                        rival.repeats or repeats, repeats):
                    got.append(ask(worker))
        for worker in workers:
            with suppress(BrokenPipeError):  # of one that has died
                worker.stdin.close()
    return [got[-1]['error'] if 'error' in got[-1] else got[1:]
            for got in replies]


def _kill_if_stopped(worker, error, *_):
    """Do not wait for what it is at, nor leave a `DataLoader`'s processes."""
    if error:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(worker.pid).children(recursive=True)
            worker.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def start(rival):
    """The process of `rival`, which begins to make its data and network."""
    env = dict(os.environ)
    if rival.who == 'book':  # as published, with MXNet's own settings
        env = {name: value for name, value in env.items()
               if name not in compat.chosen} | {'GLUON_MLP_UNTUNED': '1'}
    if rival.threads:
        env.pop('MXNET_OMP_MAX_THREADS', None)
        env['OMP_NUM_THREADS'] = str(rival.threads)
    return subprocess.Popen(
        [sys.executable, '-m', 'gluon_mlp.bench.worker', rival.function,
         json.dumps(rival.arguments)], env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)  # what it says of an error is its reply


def ask(worker):
    """One reply of `worker`: `seconds` and `result`, or `error`."""
    try:
        worker.stdin.write('\n')
        worker.stdin.flush()
        reply = worker.stdout.readline()
    except BrokenPipeError:
        reply = ''
    return json.loads(reply) if reply else {
        'error': f'its process ended with exit code {worker.wait()}'}


def summary(times):
    """Median and quartiles of `times`, which begin with the first call.

    That is None where there was no warm-up.
    """
    first, *times = times
    q1, median, q3 = np.percentile(times, [25, 50, 75])
    return {'first': first, 'times': times, 'median': median, 'q1': q1,
            'q3': q3}
