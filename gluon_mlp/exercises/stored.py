"""What the exercises gave when they ran in full: `results.json`.

The answers' texts quote its numbers, and `exercise --store` writes it.
Imports no MXNet.
"""
import datetime
import json
import math
import os
from pathlib import Path

from ..files import write_whole
from ..machine import compat

FILE = Path(__file__).with_name('results.json')


def read():
    """The entries by the exercise's number, `results` among their fields."""
    return json.loads(FILE.read_text('utf-8'))


def line(number):
    """How the numbers in the answer of an exercise were measured."""
    entry = read().get(number)
    if not entry:
        return f'Not measured yet: gluon-mlp exercise {number} --store'
    return ('Measured in full with seed {seed}, {threads} threads, MXNet '
            '{mxnet}, on {date}, in {seconds} s, by: gluon-mlp exercise '
            .format(**entry) + number
            + (f' --seed {entry["seed"]}' if entry['seed'] else ''))


def store(number, seed, seconds, results):
    """Replace the entry of an exercise by what it returned now.

    The file has a line for each exercise. Raises an `OSError`.
    """
    threads = filter(None, map(os.environ.get, compat.THREADS[:2]))
    entries = {**read(), number: {
        'seed': seed, 'threads': int(next(threads,
                                          compat.usable_processors())),
        'mxnet': compat.mxnet_version(),
        'date': datetime.date.today().isoformat(),
        'seconds': math.ceil(seconds), 'results': _plain(results)}}
    lines = [f'{json.dumps(key)}: {json.dumps(entries[key])}'
             for key in sorted(entries, key=_by_section)]
    write_whole(FILE, '{\n' + ',\n'.join(lines) + '\n}\n')


def _by_section(number):
    chapter, section, rest = number.split('.')
    return int(chapter), int(section), rest


def _plain(results):
    """Lists, dictionaries and floats of 6 digits; NaN becomes 'nan'."""
    if hasattr(results, 'tolist'):  # an array, or a number of NumPy
        results = results.tolist()
    if isinstance(results, dict):
        return {str(key): _plain(value) for key, value in results.items()}
    if isinstance(results, (list, tuple)):
        return [_plain(value) for value in results]
    if isinstance(results, float):
        return (float(f'{results:.6g}') if math.isfinite(results)
                else str(results))
    return results
