"""The printings of the book: what each run of its notebooks published.

A file in `printings/` holds the values of one printing, with the edition and
the day on which its notebooks ran. All printings have the same quantities,
because the listings are the same. Only the shuffles differ.

A reader can bring a file of the same form. It may leave out sections and
quantities, and `null` stands for a number that is not known.
"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .quantities import Quantity, described

FOLDER = Path(__file__).with_suffix('')
NAMES = ('en-2021-03-19', 'zh-2022-01-14', 'zh-2022-03-15')


@dataclass
class Printing:
    """One run of the book's notebooks: where it comes from, its numbers."""
    name: str
    about: dict    # 'book', 'executed', 'how' and so on: texts
    numbers: dict  # slug -> what -> float64 array, NaN where not known

    def quantities(self, section=None, num_epochs=None):
        """Its quantities, or those of one section, as `Quantity` objects.

        The curves of training on Fashion-MNIST end at epoch `num_epochs`.
        """
        return [_quantity(slug, entry, self.numbers[slug][entry['what']],
                          num_epochs)
                for slug, entries in described().items()
                if section in (None, slug)
                for entry in entries
                if entry['what'] in self.numbers.get(slug, {})]


def load(name):
    """The `Printing` called `name`: one of `NAMES`, or the path of a file.

    Raises `DataError`, one line, for a file that cannot be read or does not
    have the form of the files in `printings/`.
    """
    path = Path(name)
    if str(name) in NAMES:
        path = FOLDER / f'{name}.json'
    try:
        content = json.loads(path.read_text('utf-8'))
        numbers = _read_numbers(content)
    except OSError as error:
        raise DataError(f'printing {name}: {error.strerror}; it is neither '
                        f'a file nor one of {", ".join(NAMES)}') from error
    except (ValueError, RecursionError) as error:  # not JSON, or another form
        raise DataError(f'printing {name}: {error}') from error
    about = content.get('about', {})
    return Printing(str(name), {str(k): str(v) for k, v in about.items()},
                    numbers)


def _quantity(slug, entry, values, num_epochs):
    x = entry.get('x')
    if entry['kind'] == 'statistical':
        values, x = values[:num_epochs], x[:num_epochs]
    return Quantity(slug, entry['what'], entry['kind'], entry['digits'],
                    values, x, entry.get('axis', 'linear'),
                    entry.get('span', 0.0))


def _read_numbers(content):
    """The arrays of a printing; raises `ValueError` for another form."""
    if not isinstance(content, dict) or not isinstance(
            content.get('about', {}), dict):
        raise ValueError('it is not of the form {"about": {...}, '
                         '"numbers": {...}}')
    known = described()
    numbers = {}
    for slug, values in _items(content.get('numbers'), '"numbers"'):
        if slug not in known:
            raise ValueError(f'there is no section {slug!r}, only '
                             + ', '.join(known))
        entries = {entry['what']: entry for entry in known[slug]}
        numbers[slug] = {}
        for what, value in _items(values, slug):
            if what not in entries:
                raise ValueError(f'{slug} has no quantity {what!r}, only '
                                 + ', '.join(entries))
            numbers[slug][what] = _array(value, entries[what],
                                         f'{slug}, {what}')
    if not any(np.isfinite(array).any() for arrays in numbers.values()
               for array in arrays.values()):
        raise ValueError('it holds no number')
    return numbers


def _items(value, where):
    if not isinstance(value, dict):
        raise ValueError(f'{where} is not an object of names and values')
    return value.items()


def _array(value, entry, where):
    """The float64 array of `value`, nested lists of numbers and nulls."""
    array = np.array(value, dtype=object)  # of lists, where they are ragged
    expected = tuple(entry.get('shape', [len(entry.get('x', []))]))
    if array.shape != expected:
        raise ValueError(f'{where}: its shape is {array.shape}, not '
                         f'{expected}')
    for number in array.flat:
        if number is not None and (
                type(number) not in (int, float)
                or not abs(number) < 1e300  # or NaN
                or (entry.get('axis') == 'log' and number <= 0)):
            raise ValueError(f'{where}: {number!r} cannot be its value')
    return array.astype(float)  # None becomes NaN
