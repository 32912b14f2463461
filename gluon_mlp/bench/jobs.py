"""What is timed: the jobs, their rivals, and how much each computes."""
from typing import NamedTuple

from ..compare.published import FASHION_MNIST, quantities
from ..d2l import fashion_mnist
from ..machine import compat
from ..sections import SECTIONS
from .timing import Rival

CHAPTER = 'chapter'  # all that 4.2 to 4.6 train; only by name, for it is slow
BATCH_SIZES, NUM_HIDDENS = (16, 64, 256, 1024, 4096), (64, 256, 1024, 4096)
BOOK_REPEATS = 3  # it takes many times as long as the others
SIZED = Rival('ours', 'ours:sized_step', {})


class Job(NamedTuple):
    """Something to time, by several rivals."""
    kind: str             # as in bench.json
    what: str
    rivals: list
    section: str = None   # the slug, of an epoch or of steps
    x: int = None         # the size in a sweep
    images: int = None    # of one repetition, as the next two
    steps: int = None
    flop: float = None
    part_flop: dict = {}  # of each part that is timed by itself
    test_acc: list = ()   # the book's, of each epoch


def jobs_of(section, device, quick):
    """The jobs of a section, or all if None."""
    if section == CHAPTER:
        return [chapter()]
    jobs = []
    for slug in [section] if section else FASHION_MNIST:
        for what in FASHION_MNIST[slug]:
            jobs += [epochs(slug, what, device, quick),
                     steps(slug, what, device, quick)]
        if slug == 'mlp_concise':
            jobs += [products(device, quick), parts(device),
                     *sweeps(device, quick)]
    return jobs


def published_test_acc(slug, what):
    """The book's test accuracies, of each epoch."""
    return next(q.values for q in quantities(slug)
                if q.what in ('test_acc', f'{what}/test_acc'))


def chapter():
    """All that 4.2 to 4.6 train: ours and the book's.

    A warm-up would cost minutes. Ours is timed three times, the book's once.
    """
    arguments = {'sections': [s.slug for s in SECTIONS[1:6]]}
    best = published_test_acc('mlp_concise', 'concise').max()
    return Job('chapter', 'all of 4.2 to 4.6', [
        Rival('ours', 'ours:chapter', arguments, 3, warm_up=False),
        Rival('book', 'book:chapter', arguments, 1, warm_up=False,
              untuned=True)], test_acc=[best])


def epochs(slug, what, device, quick):
    """An epoch, training and evaluation: ours, PyTorch's and the book's."""
    arguments = {'section': slug, 'what': what}
    rivals = [Rival('ours', 'ours:epoch', {**arguments, 'device': device}),
              *pytorch('epoch', slug, what, quick, device=device)]
    if device == 'cpu':  # the book's loop knows no other
        rivals.append(Rival('book', 'book:epoch', arguments,
                            1 if quick else BOOK_REPEATS, untuned=True))
    data, sizes = fashion_mnist.load(), layers(slug)
    train, test = len(data.train_labels), len(data.test_labels)
    return Job('epoch', f'{slug} {what} epoch', rivals, slug,
               images=train + test,
               flop=train * flop(sizes) + test * flop(sizes, train=False),
               test_acc=published_test_acc(slug, what))


def pytorch(function, slug, what, quick, **arguments):
    """PyTorch as a rival: eager, and with `torch.compile`, a slow start."""
    arguments = {**arguments, 'network': network(slug, what),
                 'batch_size': constants(slug).batch_size}
    return [Rival(f'PyTorch {how}', f'pytorch:{function}',
                  {**arguments, 'compiled': how == 'compiled'})
            for how in (('eager',) if quick else ('eager', 'compiled'))]


def constants(slug):
    """The section's module, which has the constants of its network."""
    from .. import dropout, mlp_concise, mlp_scratch
    return {'mlp_scratch': mlp_scratch, 'mlp_concise': mlp_concise,
            'dropout': dropout}[slug]


def network(slug, what):
    """What PyTorch has to know of a network."""
    section, dropouts = constants(slug), []
    if slug == 'dropout':
        dropouts = [section.dropout1, section.dropout2]
    return {'sizes': layers(slug), 'dropouts': dropouts, 'lr': section.lr,
            'scratch': what == 'scratch'}


def layers(slug):
    """The numbers of units in a network, from its inputs to its outputs."""
    section, scratch = constants(slug), constants('mlp_scratch')
    hidden = ([section.num_hiddens1, section.num_hiddens2]
              if slug == 'dropout' else [section.num_hiddens])
    return [scratch.num_inputs, *hidden, scratch.num_outputs]


def flop(sizes, train=True):
    """Multiplications and additions in an image's products of matrices."""
    forward = [2 * m * n for m, n in zip(sizes, sizes[1:])]
    # Each weight has a gradient, and so has each layer's input but the first.
    return sum(forward) + train * (sum(forward) + sum(forward[1:]))


def steps(slug, what, device, quick):
    """The training step alone, on batches that exist before."""
    num_batches = 20 if quick else 100
    arguments = {'device': device, 'num_batches': num_batches}
    images = num_batches * constants(slug).batch_size
    return Job('steps', f'{slug} {what} {num_batches} steps', [
        Rival('ours', 'ours:step', {'section': slug, 'what': what,
                                    **arguments}),
        *pytorch('step', slug, what, quick, **arguments)
    ], slug, images=images, steps=num_batches,
        flop=images * flop(layers(slug)))


def products(device, quick):
    """The products of matrices in a step of 4.3, and a large one."""
    batch_size = constants('mlp_concise').batch_size
    num_inputs, num_hiddens, num_outputs = layers('mlp_concise')
    shapes = {
        'X W1': (batch_size, num_inputs, num_hiddens, False, False),
        'dW1': (num_inputs, batch_size, num_hiddens, True, False),
        'H W2': (batch_size, num_hiddens, num_outputs, False, False),
        'dW2': (num_hiddens, batch_size, num_outputs, True, False),
        'dH': (batch_size, num_outputs, num_hiddens, False, True),
        'square': (1024, 1024, 1024, False, False)}
    arguments = {'shapes': shapes, 'num_repeats': 20 if quick else 100,
                 'device': device}
    return Job('product', 'product', [
        Rival('MXNet', 'ours:products', arguments),
        Rival('PyTorch', 'pytorch:products', arguments)
    ], part_flop={name: 2 * m * k * n
                  for name, (m, k, n, *_) in shapes.items()})


def parts(device):
    """The parts of a step of 4.3."""
    return Job('part', 'part of a step', [Rival('ours', 'ours:parts', {
        'section': 'mlp_concise', 'what': 'concise', 'num_batches': 40,
        'device': device})])


def sweeps(device, quick):
    """The loop on 4.3's network: eager, and over sizes and threads."""
    jobs = [sized(device, 'eager or hybridized', None, [
        SIZED._replace(who='eager', arguments={'hybridize': False}),
        SIZED._replace(who='hybridized')])]
    for batch_size in BATCH_SIZES[::4 if quick else 1]:
        jobs.append(sized(device, 'batch size', batch_size,
                          batch_size=batch_size))
    for num_hiddens in NUM_HIDDENS[::3 if quick else 1]:
        jobs.append(sized(device, 'hidden units', num_hiddens,
                          num_hiddens=num_hiddens))
    for threads in thread_counts() if device == 'cpu' else ():
        jobs.append(sized(device, 'threads', threads,
                          [SIZED._replace(threads=threads)]))
    return jobs


def thread_counts():
    """1, 2, 4 ... and all."""
    usable = compat.usable_processors()
    return sorted({min(2 ** i, usable) for i in range(usable.bit_length() + 1)
                   })


def sized(device, what, x, rivals=(SIZED,), **sizes):
    """The loop on 4.3's network, with some `sizes` of its own."""
    section = constants('mlp_concise')
    sizes = {'batch_size': section.batch_size,
             'num_hiddens': section.num_hiddens, **sizes}
    num_batches = max(4, min(60, 16384 // sizes['batch_size']))
    images = sizes['batch_size'] * num_batches
    num_inputs, _, num_outputs = layers('mlp_concise')
    arguments = {**sizes, 'num_batches': num_batches, 'device': device}
    return Job('sweep', what, [
        rival._replace(arguments={**arguments, **rival.arguments})
        for rival in rivals
    ], x=x, images=images, steps=num_batches, flop=images * flop([
        num_inputs, sizes['num_hiddens'], num_outputs]))
