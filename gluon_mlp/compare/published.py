"""The numbers that the book's MXNet edition printed and plotted.

They lie in `published.json`, with where they come from, the date, and to how
many digits each is known. `Quantity.tolerance` turns the digits into numbers.
"""
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np

# A curve was read back from an SVG file: coordinates have 6 decimals, in
# points, and the axes of a figure 2.5 inches high are 138.6 points high.
# Three coordinates make a value: the point's own and two tick marks'.
SVG_RESOLUTION = 3 * 0.5e-6 / 138.6

NUM_EPOCHS = 10  # of each training on Fashion-MNIST


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
    span: float = 0.0     # of the values in that figure, on a linear axis

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
            # Draws and powers call the C library's functions, and these are
            # right to one unit in the last place; the shortest decimal is
            # within half a unit of the float32 that it names.
            return 1.5 * np.spacing(values.astype(np.float32)).astype(float)
        if self.digits == 'decimals6':
            return np.full_like(values, 0.5e-6)
        with np.errstate(divide='ignore'):
            exponent = np.floor(np.log10(values))
        rounding = np.where(values > 0, 0.5 * 10.0 ** (exponent - 5), 0)
        return rounding + SVG_RESOLUTION * self._axis_length(values)

    def _axis_length(self, values):
        """Of the y axis, in units of the values (matplotlib's margins)."""
        if self.axis == 'log':
            decades = np.ptp(np.log10(values[np.isfinite(values)]))
            return 1.1 * decades * np.log(10) * values
        return 1.1 * max(self.span,
                         np.ptp(self.values[np.isfinite(self.values)]))


def about():
    """Where the numbers come from: a dictionary of texts."""
    return _read()['about']


def quantities(section=None, num_epochs=NUM_EPOCHS):
    """All published quantities, or those of a section, in its order.

    The curves of training on Fashion-MNIST up to epoch `num_epochs`.
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
    return list(_read()['numbers'])


def _read():
    return json.loads(Path(__file__).with_suffix('.json').read_text('utf-8'))
