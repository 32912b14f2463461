"""The process of one rival: `python -m gluon_mlp.bench.serve NAME JSON`.

NAME is 'module:function' in this package, and JSON its arguments. The
function returns what to time, and what waits for its end. The first line on
standard input asks it to prepare. Each further line asks for one repetition.
Each answer is a line of JSON, with an `error` if there is one.
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
    os.dup2(2, 1)  # nothing else that is printed is a reply
    module, function = name.split(':')
    sys.stdin.readline()
    try:
        module = importlib.import_module(f'gluon_mlp.bench.{module}')
        run, wait = getattr(module, function)(**json.loads(arguments))
        print('{}', file=replies)
        for _ in iter(sys.stdin.readline, ''):
            print(json.dumps(repeat(run, wait)), file=replies)
    except Exception as error:  # the parent reports it
        text = f'{type(error).__name__}: {error}'.strip().splitlines()[0]
        print(json.dumps({'error': text}), file=replies)


def repeat(run, wait):
    """Time `run`, with nothing else under way before it or after it."""
    wait()
    start = time.perf_counter()
    result = run()
    wait()
    return {'seconds': time.perf_counter() - start,
            'peak_mb': peak_memory() / 1e6, **result}


def peak_memory():
    """The most bytes that this process has had, with its children's now.

    The children are those of a `DataLoader`. What they share with this
    process does not count again.
    """
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = psutil.Process().children(recursive=True)
    return peak + sum(child.memory_full_info().uss for child in children)


if __name__ == '__main__':
    main(*sys.argv[1:])
