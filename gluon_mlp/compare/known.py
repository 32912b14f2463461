"""The numbers of the book that we miss, and why: `known.json`.

An entry names one number of one printing, a point of a curve. `compare` ends
with exit code 0 if everything agrees once these numbers are left out. There
may be three at most, and a test finds an entry that is wrong or not needed.
"""
import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Known(NamedTuple):
    """A number of a printing that we miss."""
    printing: str
    section: str
    what: str
    x: float      # of its point
    value: float
    reason: str   # why we miss it

    def index(self, printing, quantity):
        """Of its point in the arrays of the `quantity` of `printing`.

        None if it is of another one.
        """
        same = self[:3] == (printing, quantity.section, quantity.what)
        return (quantity.x.index(self.x)
                if same and self.x in quantity.x else None)


@functools.cache
def entries():
    """All known differences."""
    text = Path(__file__).with_suffix('.json').read_text('utf-8')
    return [Known(**entry) for entry in json.loads(text)]


def left_out(name, quantity):
    """The `quantity` of the printing `name` without what is known."""
    values = quantity.values.copy()
    for entry in entries():
        index = entry.index(name, quantity)
        if index is not None:
            values[index] = np.nan
    return replace(quantity, values=values)
