"""The numbers that the book's MXNet edition printed and plotted.

They are in `published.json`, with their source, their date, and the number of
digits known of each. `Quantity.tolerance` turns the digits into a tolerance.
"""
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np

from ..sections import SECTIONS

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


def about():
    """Where the numbers come from: a dictionary of texts."""
    return _read()['about']


def quantities(section=None, num_epochs=None):
    """All published quantities, or those of a section, in its order.

    With `num_epochs` the curves on Fashion-MNIST end after that epoch.
    """
    found = [Quantity(slug, q['what'], q['kind'], q['digits'],
                      np.array(q['values'], dtype=float), q.get('x'),
                      q.get('axis', 'linear'), q.get('span', 0.0))
             for slug, rows in _read()['numbers'].items() for q in rows
             if section in (None, slug)]
    return [replace(q, values=q.values[:num_epochs], x=q.x[:num_epochs])
            if q.kind == 'statistical' else q for q in found]


def sections():
    """The slugs of the sections that published a number."""
    return [section.slug for section in SECTIONS if section.published]


def _read():
    return json.loads(Path(__file__).with_suffix('.json').read_text('utf-8'))
