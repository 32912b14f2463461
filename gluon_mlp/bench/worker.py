"""The process of one rival: `python -m gluon_mlp.bench.worker NAME JSON`.

NAME is 'module:function' in this package, JSON its arguments. The function
returns what to time and what waits for it to end. For the first line that
comes on standard input all is made ready; each further line is one
repetition, answered by a line of JSON.
"""
import importlib
import json
import os
import resource
import sys
import time

import psutil


def main(name, arguments):
    """Serve the function called `name` until standard input ends."""
    replies = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what others print is no reply
    module, function = name.split(':')
    sys.stdin.readline()
    try:
        module = importlib.import_module(f'gluon_mlp.bench.{module}')
        run, wait = getattr(module, function)(**json.loads(arguments))
        print('{}', file=replies)
        for _ in iter(sys.stdin.readline, ''):
            print(json.dumps(repeat(run, wait)), file=replies)
    except Exception as error:  # the parent tells it
        text = f'{type(error).__name__}: {error}'.strip().splitlines()[0]
        print(json.dumps({'error': text}), file=replies)


def repeat(run, wait):
    """Time `run`, with nothing else under way before and after."""
    wait()
    start = time.perf_counter()
    result = run()
    wait()
    return {'seconds': time.perf_counter() - start, 'result': result,
            'peak_mb': peak_memory() / 1e6}


def peak_memory():
    """The most bytes that this process had, and what its children have.

    Of the children (a `DataLoader`'s) only what they do not share with it.
    """
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = psutil.Process().children(recursive=True)
    return peak + sum(child.memory_full_info().uss for child in children)


if __name__ == '__main__':
    main(*sys.argv[1:])
