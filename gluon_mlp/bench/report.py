"""`bench.json`, the table and the plots of a run, and two runs compared."""
import json
import math
import sys

from rich.console import Console
from rich.table import Table

from .. import experiment
from ..d2l import plotting
from ..errors import ChapterError
from ..files import written_whole

PRODUCTS = ('X W1', 'dW1', 'H W2', 'dW2', 'dH')
ENTRY = {'what', 'who', 'x', 'times', 'median', 'q1', 'q3'}  # to compare


def write_json(result, path):
    """Write bench.json, never half of it; its path."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(result, indent=1) + '\n', 'utf-8')
    return path


def read_json(path):
    """What `write_json` wrote. Raises `ChapterError` if `path` is not one."""
    try:
        result = json.loads(path.read_text('utf-8'))
        if result['schema'] == 1 and isinstance(result['about'], dict) and (
                all(r.keys() >= ENTRY and r['times'] and math.isfinite(
                    r['median'] + r['q1'] + r['q3'])
                    for r in result['results'])):
            return result
    except (ValueError, LookupError, TypeError, AttributeError,
            RecursionError):
        pass
    raise ChapterError(f'{path} is no bench.json of this version')


def print_result(result):
    """Print the machine, a row for each entry, and the shares."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(', '.join(f'{name} {value}' for name, value in
                            result['about'].items() if value is not None),
                  soft_wrap=True, highlight=False)
    console.print(_table(result))
    for missing in result['missing']:
        console.print('not timed: {what}, {who}: {why}'.format(**missing),
                      soft_wrap=True, markup=False)
    for text in shares(result):
        console.print(text, soft_wrap=True)


def _table(result):
    table = Table('what', 'who', box=None)
    for name in ('first', 'runs', 'median', 'quartiles', 'ours is',
                 'images/s', 'GFLOP/s', 'of fastest product', 'peak MB'):
        table.add_column(name, justify='right')
    best = product_speed(result)
    for r in result['results']:
        name = r['what'] + ('' if r['x'] is None else f' {r["x"]}')
        ours = find(result, r['what'], 'ours', r['x'])
        rival = ours and ours is not r
        speed = r['gflop_per_s']
        table.add_row(
            name, r['who'], _seconds(r['first']), str(len(r['times'])),
            _seconds(r['median']),
            f'{_seconds(r["q1"])} - {_seconds(r["q3"])}',
            f'{r["median"] / ours["median"]:.2f} x as fast' if rival else '',
            f'{r["images_per_s"]:,.0f}' if r['images'] else '',
            f'{speed:.1f}' if speed else '',
            f'{speed / best:.0%}' if speed and best else '',
            f'{r["peak_mb"]:,.0f}' if r['peak_mb'] else '')
    return table


def _seconds(seconds):
    if seconds is None:
        return ''
    for factor, unit in ((1, 's'), (1e3, 'ms')):
        if seconds * factor >= 1:
            return f'{seconds * factor:.3g} {unit}'
    return f'{seconds * 1e6:.3g} us'


def find(result, what, who=None, x=None):
    """The entry for `what` and `x` by `who`, or by the fastest rival."""
    found = [r for r in result['results'] if r['what'] == what
             and r['x'] == x and who in (None, r['who'])]
    return min(found, key=lambda r: r['median'], default=None)


def of_kind(result, kind):
    """The entries of a kind."""
    return [r for r in result['results'] if r['kind'] == kind]


def product_speed(result):
    """GFLOP/s of the fastest matrix product that was measured, or None."""
    return max((r['gflop_per_s'] for r in of_kind(result, 'product')),
               default=None)


def shares(result):
    """Sentences: how much of a step of 4.3 its products must take."""
    entry = next((r for r in of_kind(result, 'steps') if r['who'] == 'ours'
                  and r['section'] == 'mlp_concise'), None)
    if not entry or not product_speed(result):
        return []
    step = entry['median'] / entry['steps']
    texts = []
    for names in (PRODUCTS[:3], PRODUCTS):
        products = sum(find(result, f'product: {p}')['median'] for p in names)
        texts.append(f'a step takes {_seconds(step)}; its products '
                     f'{", ".join(names)} take {_seconds(products)}, each '
                     f'by the faster rival: {products / step:.0%}')
    return texts


def draw(result, folder):
    """Plot the sweeps, the epochs and the parts; the paths."""
    sweeps = dict.fromkeys(r['what'] for r in of_kind(result, 'sweep')
                           if r['x'] is not None)
    with experiment.use(figures=folder):
        paths = [_draw_sweep(result, what) for what in sweeps]
        for name, kind in (('epochs', 'epoch'), ('parts', 'part')):
            if of_kind(result, kind):
                paths.append(_draw_bars(name, of_kind(result, kind)))
    return paths


def _draw_sweep(result, what):
    """Plot the time of an image and the speed over `what`, on log axes."""
    rows = [r for r in result['results'] if r['what'] == what]
    x = [r['x'] for r in rows]
    _, (left, right) = plotting.plt.subplots(1, 2, figsize=(8, 3))
    per_image = [[1e6 * r[q] / r['images'] for r in rows]
                 for q in ('median', 'q1', 'q3')]
    left.fill_between(x, *per_image[1:], alpha=0.3)
    plotting.plot(x, per_image[0], what, 'microseconds an image',
                  xscale='log', yscale='log', fmts=('o-',), axes=left)
    plotting.plot(x, [r['gflop_per_s'] for r in rows], what, 'GFLOP/s',
                  xscale='log', yscale='log', fmts=('o-',), axes=right)
    for axes in (left, right):
        _label_x(axes, x)
    plotting.plt.tight_layout()
    return _save(f'bench_{what.replace(" ", "_")}')


def _label_x(axes, x):
    from matplotlib.ticker import (
        LogLocator,
        NullFormatter,
        NullLocator,
        ScalarFormatter,
    )
    axes.set_xticks(x, map(str, x))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_bars(name, rows):
    """Plot a bar for the median of each of `rows`, with the quartiles."""
    rows = rows[::-1]
    labels = [f'{r["what"]}, {r["who"]}' for r in rows]
    medians = [r['median'] for r in rows]
    errors = [[r['median'] - r['q1'] for r in rows],
              [r['q3'] - r['median'] for r in rows]]
    _, axes = plotting.plt.subplots(figsize=(6, 0.9 + 0.25 * len(rows)))
    bars = axes.barh(labels, medians, xerr=errors)
    axes.bar_label(bars, map(_seconds, medians), padding=4)
    axes.margins(x=0.2)
    axes.set_xlabel('seconds')
    axes.locator_params(axis='x', nbins=5)  # so that labels stay apart
    return _save(f'bench_{name}')


def _save(name):
    path = plotting.save_figure(name)
    plotting.plt.close('all')
    return path


def print_against(new, old):
    """Print what is faster or slower than in `old` by more than noise."""
    for name in sorted(new['about'].keys() & old['about'].keys()):
        if name not in ('date', 'seconds', 'load_average') and (
                new['about'][name] != old['about'][name]):
            print(f'{name}: {old["about"][name]} then, '
                  f'{new["about"][name]} now')
    table = Table('what', 'who', 'then', 'now', 'now it is', box=None)
    for r, before in pairs(new, old):
        what = r['what'] + ('' if r['x'] is None else f' {r["x"]}')
        table.add_row(what, r['who'], _seconds(before['median']),
                      _seconds(r['median']), verdict(r, before))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def pairs(new, old):
    """Pairs of an entry of `new`, and the same one of `old`."""
    before = {(r['what'], r['who'], r['x']): r for r in old['results']}
    for r in new['results']:
        key = r['what'], r['who'], r['x']
        if key in before:
            yield r, before[key]


def verdict(new, old):
    """'faster, 1.50 x', 'slower, 1.50 x', or 'the same within noise'.

    The noise is the distance between the quartiles, added over both runs.
    """
    if min(len(new['times']), len(old['times'])) < 3:
        return 'too few repeats to tell'
    noise = sum(r['q3'] - r['q1'] for r in (new, old))
    if abs(new['median'] - old['median']) <= noise:
        return 'the same within noise'
    ratio = old['median'] / new['median']
    return (f'faster, {ratio:.2f} x' if ratio > 1
            else f'slower, {1 / ratio:.2f} x')
