"""The tables of the page on speed, in Markdown, from a bench.json.

Rivals take turns. So a ratio is the median of the ratios within each round,
where the machine was the same for both.
"""
from .jobs import BOOK, COMPILED, EAGER, TORCH_BOOK
from .timing import summary

IN_MEMORY = EAGER, COMPILED
AGAINST = IN_MEMORY, (TORCH_BOOK,), (BOOK,)  # the faster of each counts
PRODUCTS = 'X W1', 'dW1', 'H W2'
# The least that the ratio to a rival should be.
TARGETS = {('an epoch of 4.3', IN_MEMORY): 1.1,
           ('an epoch of 4.6 concise', IN_MEMORY): 1.25,
           ('an epoch of 4.2', IN_MEMORY): 0.9,
           ('an epoch of 4.6 from scratch', IN_MEMORY): 0.75,
           ('an epoch of 4.3', (BOOK,)): 9,
           ('an epoch of 4.3', (TORCH_BOOK,)): 11,
           ('all of 4.2 to 4.6', (BOOK,)): 5.5}
SHARE = 0.75  # the products' least, of the execution of a step of 4.3


def page(result):
    """All tables of `result`, between the marks that the page has."""
    tables = [
        _table('what | ours | beside it | it takes | ours is so many times '
               'as fast | rounds | target',
               [*_speeds(result), *_share(result), *_memory(result)]),
        _table('a step of training | Python alone | execution alone | both '
               'at once | what binds', _steps(result)),
        _table('an epoch of 4.3, training and evaluation | alone | beside a '
               'busy process | beside two', _loads(result))]
    return '\n\n'.join(['<!-- measured: bench -->', *filter(None, tables),
                        _machine(result['about']), '<!-- end -->']) + '\n'


def _table(head, rows):
    if not rows:
        return None
    columns = head.count('|') + 1
    lines = [head, ' | '.join(['---'] * columns),
             *(' | '.join(row) for row in rows)]
    return '\n'.join(f'| {line} |' for line in lines)


def _machine(about):
    words = ('Measured on {date} with MXNet {mxnet} and PyTorch {torch}, on '
             '{processors} processors ({processor}) with a load of '
             '{load_average:.1f} before it, in {seconds} s.')
    return words.format(**about) if 'processors' in about else ''


def find(result, kind, what=None, who=('ours',), part=None, beside=0):
    """The entry by the fastest of `who`, or None."""
    found = [r for r in result['results']
             if (r['kind'], r['part'], r['beside']) == (kind, part, beside)
             and what in (None, r['what']) and r['who'] in who]
    return min(found, key=lambda r: r['median'], default=None)


def seconds(number):
    """With three digits and the unit that fits; '' for None."""
    if number is None:
        return ''
    for factor, unit in ((1, 's'), (1e3, 'ms')):
        if number * factor >= 1:
            return f'{number * factor:.3g} {unit}'
    return f'{number * 1e6:.3g} us'


def ratios(a, b):
    """How many times as long `b` took as `a`: median, quartiles, rounds."""
    pairs = [y / x for x, y in zip(a['times'], b['times'])]
    return summary([None, *pairs])


def _in_words(ratio):
    return '{median:.2f} ({q1:.2f} to {q3:.2f})'.format(**ratio)


def _target(value, least, text):
    if least is None:
        return ''
    return f'{text}, {"met" if value >= least else "missed"}'


def _speeds(result):
    """Rows: each epoch, and the chapter, against each rival."""
    rows = []
    for ours in result['results']:
        if ours['who'] == 'ours' and ours['kind'] in ('epoch', 'chapter'):
            what = ours['what']
            for who in AGAINST:
                rival = find(result, ours['kind'], what, who)
                if rival:
                    ratio, least = ratios(ours, rival), TARGETS.get(
                        (what, who))
                    rows.append([what, seconds(ours['median']), rival['who'],
                                 seconds(rival['median']), _in_words(ratio),
                                 str(len(ratio['times'])),
                                 _target(ratio['median'], least, least)])
    return rows


def _share(result):
    """The row of 4.3's execution beside its products, if they were timed."""
    step = find(result, 'step', 'a step of 4.3', part='execution')
    found = [find(result, 'product', 'product', ('ours', EAGER), name)
             for name in PRODUCTS]
    if not step or not all(found):
        return []
    products = sum(r['median'] for r in found)
    share = products / step['median']
    return [['execution alone of a step of 4.3', seconds(step['median']),
             f'its products {", ".join(PRODUCTS)}, each by the faster',
             seconds(products), f'{share:.0%} are the products',
             str(len(step['times'])), _target(share, SHARE, f'{SHARE:.0%}')]]


def _memory(result):
    """The row of 4.3's memory beside that of the smaller PyTorch."""
    what = 'an epoch of 4.3'
    ours, *rivals = [find(result, 'epoch', what, (who,))
                     for who in ('ours', *IN_MEMORY)]
    rivals = list(filter(None, rivals))
    if not ours or not rivals:
        return []
    rival = min(rivals, key=lambda r: r['peak_mb'])
    megabytes = [f'{r["peak_mb"]:.0f} MB' for r in (ours, rival)]
    return [['peak memory of 4.3', megabytes[0], rival['who'], megabytes[1],
             '', '', _target(rival['peak_mb'], ours['peak_mb'], 'no more')]]


def _steps(result):
    """Rows: Python, execution and both at once, of each step of training."""
    rows = []
    for r in result['results']:
        if r['kind'] == 'step' and r['part'] == 'wall':
            wall = r['median']
            python, execution = (find(result, 'step', r['what'], part=part)
                                 for part in ('Python', 'execution'))
            python = python['median']
            execution = execution and execution['median']
            binds = python > (execution or wall - python)
            rows.append([r['what'], seconds(python), seconds(execution),
                         seconds(wall), 'Python' if binds else 'execution'])
    return rows


def _loads(result):
    """Rows: how many times as long ours and PyTorch's take under load."""
    rows = []
    for who in ('ours', EAGER):
        alone = find(result, 'load', who=(who,))
        if alone:
            beside = [find(result, 'load', who=(who,), beside=n)
                      for n in (1, 2)]
            rows.append([who, seconds(alone['median']),
                         *(_in_words(ratios(alone, r)) + ' times as long'
                           if r else '' for r in beside)])
    return rows
