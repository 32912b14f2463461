"""The comparison for programs: `compare.json`.

UTF-8 JSON, in which NaN and infinity are null. An object with these keys:

- `schema`: 3. It changes whenever a key goes, or means something else.
- `about`: texts about our run. `printings`: texts about each printing, by its
  name. `words`: what the words of `kind` and `digits` mean.
- `verdict`: of all, and `exit_code`.
- `sections`: a list of `section`, `verdict`, and `counts`: of each printing
  `numbers` and `within` (those that our runs may have; see `rows`).
- `rows`: a list of `section` (slug), `what`, `kind` ('exact', 'converged',
  'statistical'), `digits` ('float32', 'decimals6', 'curve', 'integer'),
  `axis` ('linear', 'log'), `verdict` ('differs', 'not compared', 'too wide to
  tell', 'differs as known', 'agrees'), `reason` (a text, if ours is not what
  it should be), `x` (a list, or null where it is no curve), `number` (of our
  runs), `ours` (their mean), `std`, `low` and `high` (over our runs; numbers
  or nested lists of one shape, as the next ones), `offset` (of the book's
  numbers, by the edition of Fashion-MNIST); of each printing by its name
  `book`, and `within` (whether a number less the offset lies in the range of
  our runs, or, for exact numbers, agrees in all known digits); `tests` (see
  there).
- `tests`: a list of `what`, `measure` ('level', 'trend', 'start', 'value'),
  `log` (whether book and ours are logarithms), `book`, `ours` (means),
  `difference` (book minus ours and the edition's offset), `error` (its
  standard error), `df`, `offset`, `p` (adjusted by Holm's procedure),
  `detectable` (the difference that is found in nine cases of ten),
  `yardstick`, `verdict`.
- `offsets`: book minus ours that the edition of Fashion-MNIST makes of each
  level, as measured here: `value` and `error`, by 'train_loss' and so on.
- `controls`: a list of `section`, `what`, `num_epochs`, `history`, `weights`
  (the largest relative differences), `allowed`, `reason` (why the two could
  not be compared, or an empty text; the numbers are then null), `agrees`.
- `source_text`: a list of `what`, `text`, `draws`, `agrees`.
- `known`: the known differences that were met: a list of `printing`,
  `section`, `what`, `x`, `value`, `reason`.
"""
import json
from pathlib import Path

import numpy as np

from ..files import write_whole
from . import quantities
from .agreement import offsets


def write(comparison, folder):
    """Write `compare.json` into `folder`, never half of it; its path."""
    document = {
        'schema': 3, 'about': comparison.about,
        'printings': comparison.printings, 'words': quantities.about(),
        'verdict': comparison.verdict(), 'exit_code': comparison.exit_code,
        'sections': [{'section': s, 'verdict': comparison.verdict(s),
                      'counts': _counts(comparison.counts(s))}
                     for s in comparison.sections],
        'rows': [_row(row) for row in comparison.rows],
        'offsets': {
            name: {'value': estimate.value, 'error': estimate.error}
            for name, estimate in offsets(comparison.tests()).items()},
        'controls': [{**vars(c), 'agrees': c.agrees}
                     for c in comparison.controls],
        'source_text': [{**vars(s), 'agrees': s.agrees}
                        for s in comparison.source_text],
        'known': [entry._asdict() for row in comparison.rows
                  for entry in row.known]}
    text = json.dumps(_plain(document), indent=1, allow_nan=False,
                      ensure_ascii=False)
    return write_whole(Path(folder) / 'compare.json', text + '\n')


def _counts(counts):
    return {name: numbers._asdict() for name, numbers in counts.items()}


def _row(row):
    q = row.quantity
    return {'section': q.section, 'what': q.what, 'kind': q.kind,
            'digits': q.digits, 'axis': q.axis, 'verdict': row.verdict,
            'reason': row.reason, 'x': q.x, 'number': len(row.runs),
            'ours': row.ours, 'std': row.std, 'low': row.low,
            'high': row.high,
            'offset': np.broadcast_to(row.offset, q.values.shape),
            'book': {name: q.values for name, q in row.printings.items()},
            'within': {name: row.within(name) for name in row.printings},
            'tests': [_test(test) for test in row.tests]}


def _test(test):
    return {'what': test.what, 'measure': test.measure, 'log': test.log,
            'book': test.book, 'ours': test.ours,
            'difference': test.difference.value,
            'error': test.difference.error, 'df': test.difference.df,
            'offset': test.offset.value, 'p': test.adjusted,
            'detectable': test.detectable, 'yardstick': test.yardstick,
            'verdict': test.verdict}


def _plain(a):
    """`a` in lists, dictionaries and numbers that JSON knows."""
    if isinstance(a, dict):
        return {key: _plain(value) for key, value in a.items()}
    if isinstance(a, (np.ndarray, np.generic)):
        return _plain(a.tolist())
    if isinstance(a, (list, tuple)):
        return [_plain(value) for value in a]
    return None if isinstance(a, float) and not np.isfinite(a) else a
