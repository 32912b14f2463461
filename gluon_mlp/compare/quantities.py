"""What the book printed and plotted: values and curves, 1,307 numbers.

`quantities.json` describes each of them once: how it depends on the shuffle,
to how many digits it is known, and the x values of a curve. Their values are
in `printings`. `Quantity.tolerance` turns the digits into a tolerance.
"""
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

# A curve was read back from an SVG file. Its coordinates are in points, with
# 6 decimals, and the axes of a figure 2.5 inches high are 138.6 points high.
# A value comes from three coordinates: its own, and those of two tick marks.
SVG_RESOLUTION = 3 * 0.5e-6 / 138.6

# The sections that train on Fashion-MNIST, and the names of their networks.
FASHION_MNIST = {'mlp_scratch': ['scratch'], 'mlp_concise': ['concise'],
                 'dropout': ['scratch', 'concise']}


@dataclass
class Quantity:
    """A printed value or a curve: one row of the comparison."""
    section: str          # the slug
    what: str             # its name within the section
    kind: str             # 'exact', 'converged' or 'statistical'
    digits: str           # 'float32', 'decimals6', 'curve' or 'integer'
    values: np.ndarray    # float64; NaN where the figure's axes end
    x: Optional[list] = None  # of a curve
    axis: str = 'linear'  # the y axis of its figure
    span: float = 0.0     # of all values in its figure, on a linear axis

    @property
    def count(self):
        """How many numbers are known."""
        return int(np.isfinite(self.values).sum())

    @property
    def tolerance(self):
        """How far a value may be from the true one by its digits alone."""
        values = np.abs(self.values)
        if self.digits == 'integer':
            return np.zeros_like(values)
        if self.digits == 'float32':
            # Draws and powers call functions of the C library, which are
            # correct to one unit in the last place. The shortest decimal is
            # within half a unit of the float32 that it names.
            return 1.5 * np.spacing(values.astype(np.float32)).astype(float)
        if self.digits == 'decimals6':
            return np.full_like(values, 0.5e-6)
        with np.errstate(divide='ignore'):
            exponent = np.floor(np.log10(values))
        rounding = np.where(values > 0, 0.5 * 10.0 ** (exponent - 5), 0)
        return rounding + SVG_RESOLUTION * self._axis_length(values)

    def _axis_length(self, values):
        """The length of the y axis with its margins, in units of a value."""
        if self.axis == 'log':
            decades = np.ptp(np.log10(values[np.isfinite(values)]))
            return 1.1 * decades * np.log(10) * values
        return 1.1 * max(self.span,
                         np.ptp(self.values[np.isfinite(self.values)]))


def described():
    """What is known of each quantity: slug -> list of dictionaries."""
    return _read()['quantities']


def about():
    """What the words of `quantities.json` mean: a dictionary of texts."""
    return _read()['about']


def sections():
    """The slugs of the sections that published a number."""
    return list(described())


def is_trained(section):
    """Whether numbers of the section depend on the shuffle."""
    return any(entry['kind'] != 'exact' for entry in described()[section])


@functools.cache
def _read():
    return json.loads(Path(__file__).with_suffix('.json').read_text('utf-8'))
