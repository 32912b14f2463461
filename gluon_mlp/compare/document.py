"""The comparison for programs: `compare.json`.

UTF-8 JSON, in which NaN and infinity are null. An object with these keys:

- `schema`: 2. It changes whenever a key goes, or means something else.
- `about`: texts about our run. `published`: about the book's numbers.
- `total`: `numbers` (published), `reproduced` (with the next ones),
  `by_edition` (those that agree only given the edition of the data),
  `not_compared` (the slugs of the sections that are not compared).
- `sections`: a list of `section`, `numbers`, `reproduced`, `by_edition`.
- `rows`: a list of `section` (slug), `what`, `kind` ('exact', 'converged',
  'statistical'), `digits` ('float32', 'decimals6', 'curve', 'integer'),
  `axis` ('linear', 'log'), `runs` (of ours; 0: not compared), `verdict`
  ('reproduced', 'given the edition', 'differs', 'not compared'), `x` (a
  list, or null where it is no curve), and, each a number or nested lists of
  one shape: `book`, `ours` (the mean), `std`, `allowed` (for ours minus the
  book's), `shift` (of the edition, allowed in addition), `reproduced` and
  `by_edition` (true or false).
- `controls`: a list of `section`, `what`, `num_epochs`, `history`, `weights`
  (the largest relative differences), `allowed`, `reason` (why the two could
  not be compared, or an empty text; the numbers are then null), `agrees`.
- `source_text`: a list of `what`, `text`, `draws`, `agrees`.
"""
import json
from pathlib import Path

import numpy as np

from ..files import written_whole
from . import published


def write(comparison, folder):
    """Write `compare.json` into `folder`, never half of it; its path."""
    document = {
        'schema': 2, 'about': comparison.about,
        'published': published.about(),
        'total': {**comparison.counts()._asdict(),
                  'not_compared': comparison.not_compared},
        'sections': [{'section': s, **comparison.counts(s)._asdict()}
                     for s in comparison.sections],
        'rows': [_row(row) for row in comparison.rows],
        'controls': [{**vars(c), 'agrees': c.agrees}
                     for c in comparison.controls],
        'source_text': [{**vars(s), 'agrees': s.agrees}
                        for s in comparison.source_text]}
    text = json.dumps(_plain(document), indent=1, allow_nan=False,
                      ensure_ascii=False)
    path = Path(folder) / 'compare.json'
    with written_whole(path) as partial:
        partial.write_text(text + '\n', encoding='utf-8')
    return path


def _row(row):
    q = row.quantity
    return {'section': q.section, 'what': q.what, 'kind': q.kind,
            'digits': q.digits, 'axis': q.axis, 'runs': row.runs,
            'verdict': row.verdict, 'x': q.x, 'book': q.values,
            'ours': row.ours, 'std': row.std, 'allowed': row.allowed,
            'shift': np.broadcast_to(row.shift, q.values.shape),
            'reproduced': row.reproduced, 'by_edition': row.by_edition}


def _plain(a):
    """`a` in lists, dictionaries and numbers that JSON knows."""
    if isinstance(a, dict):
        return {key: _plain(value) for key, value in a.items()}
    if isinstance(a, (np.ndarray, np.generic)):
        return _plain(a.tolist())
    if isinstance(a, (list, tuple)):
        return [_plain(value) for value in a]
    return None if isinstance(a, float) and not np.isfinite(a) else a
