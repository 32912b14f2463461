"""What is timed: the jobs and their rivals."""
from importlib import import_module
from typing import NamedTuple

from ..compare import printings
from ..compare.quantities import FASHION_MNIST
from ..sections import SECTIONS, find
from .timing import Rival

CHAPTER = 'chapter'  # all that 4.2 to 4.6 train; only by name, for it is slow
PRINTING = 'zh-2022-01-14'  # the one whose accuracies ours must reach
BOOK = "the book's MXNet code"
TORCH_BOOK = "the book's PyTorch code"
EAGER, COMPILED = 'PyTorch eager', 'PyTorch compiled'
SMALL = {'underfit_overfit': 3, 'weight_decay': 4}  # the trainings of each
BOOK_REPEATS = 9  # the book's code takes many times as long as the others
LOAD_REPEATS = 5  # and so does an epoch beside busy processes


class Job(NamedTuple):
    """Something to time, by several rivals."""
    kind: str             # as in bench.json
    what: str             # such as 'an epoch of 4.3'
    rivals: list
    section: str = None   # the slug
    test_acc: list = ()   # the book's, of each epoch
    loads: tuple = (0,)   # how many busy processes it is timed beside


def jobs_of(section, device, quick):
    """The jobs of a section, or all if None."""
    if section == CHAPTER:
        return [chapter()]
    jobs = []
    for slug in [section] if section else FASHION_MNIST:
        for what in FASHION_MNIST[slug]:
            jobs.append(epochs(slug, what, device, quick))
            if device == 'cpu':
                jobs.append(steps(slug, what))
        if slug == 'mlp_concise' and device == 'cpu':
            jobs += [products(quick), loaded(quick)]
    return jobs if section or device == 'gpu' else [
        *jobs, *map(small_steps, SMALL)]


def name(slug, what):
    """The section's number, and which network if it has two."""
    number = find(slug).number
    if len(FASHION_MNIST[slug]) == 1:
        return number
    return f'{number} ' + ('from scratch' if what == 'scratch' else what)


def published_test_acc(slug, what):
    """The book's test accuracies, of each epoch."""
    numbers = printings.load(PRINTING).numbers[slug]
    return numbers.get('test_acc', numbers.get(f'{what}/test_acc'))


def chapter():
    """All that 4.2 to 4.6 train: ours and the book's.

    A warm-up would cost minutes.
    """
    arguments = {'sections': [s.slug for s in SECTIONS[1:6]]}
    best = published_test_acc('mlp_concise', 'concise').max()
    return Job('chapter', 'all of 4.2 to 4.6', [
        Rival('ours', 'ours:chapter', arguments, warm_up=False),
        Rival(BOOK, 'book:chapter', arguments, warm_up=False, untuned=True)
    ], test_acc=[best])


def epochs(slug, what, device, quick):
    """An epoch, training and evaluation: ours, PyTorch's and the book's."""
    rivals = [ours(slug, what, device),
              *in_memory(slug, what, device, quick)]
    if device == 'cpu':  # the book's loops know no other
        rivals += [rival._replace(repeats=1 if quick else BOOK_REPEATS,
                                  untuned=True)
                   for rival in as_published(slug, what)]
    return Job('epoch', f'an epoch of {name(slug, what)}', rivals, slug,
               test_acc=published_test_acc(slug, what))


def ours(slug, what, device):
    """Our epoch."""
    return Rival('ours', 'ours:epoch',
                 {'section': slug, 'what': what, 'device': device})


def as_published(slug, what):
    """The book's own loops in MXNet and in PyTorch."""
    return [Rival(BOOK, 'book:epoch', {'section': slug, 'what': what}),
            Rival(TORCH_BOOK, 'torch_book:epoch', {
                'network': network(slug, what),
                'batch_size': constants(slug).batch_size})]


def in_memory(slug, what, device, quick):
    """PyTorch with the data in memory, eager and with `torch.compile`.

    To compile takes long, so --quick does without.
    """
    arguments = {'network': network(slug, what), 'device': device,
                 'batch_size': constants(slug).batch_size}
    return [Rival(who, 'pytorch:epoch',
                  {**arguments, 'compiled': who == COMPILED})
            for who in ((EAGER,) if quick else (EAGER, COMPILED))]


def constants(slug):
    """The section's module, which has the constants of its network."""
    return import_module(f'gluon_mlp.{slug}')


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


def steps(slug, what):
    """A step of training, its Python and its execution apart."""
    return Job('step', f'a step of {name(slug, what)}', [
        Rival('ours', 'apart:step', {'section': slug, 'what': what})], slug)


def small_steps(slug):
    """A step of 4.4 or 4.5, and its Python."""
    module, num_epochs = constants(slug), 100
    num_steps = SMALL[slug] * num_epochs * module.n_train // module.batch_size
    return Job('step', f'a step of {find(slug).number}', [
        Rival('ours', 'apart:small_step', {
            'section': slug, 'num_epochs': num_epochs,
            'num_steps': num_steps})], slug)


def products(quick):
    """The products of matrices that no step of 4.3 can avoid."""
    batch_size = constants('mlp_concise').batch_size
    num_inputs, num_hiddens, num_outputs = layers('mlp_concise')
    shapes = {'X W1': (batch_size, num_inputs, num_hiddens, False),
              'dW1': (num_inputs, batch_size, num_hiddens, True),
              'H W2': (batch_size, num_hiddens, num_outputs, False)}
    arguments = {'shapes': shapes, 'num_repeats': 20 if quick else 100}
    return Job('product', 'product', [
        Rival('ours', 'ours:products', arguments),
        Rival(EAGER, 'pytorch:products', arguments)])


def loaded(quick):
    """An epoch of 4.3 alone, and beside busy processes: ours and PyTorch's.
    """
    slug, what = 'mlp_concise', 'concise'
    rivals = [ours(slug, what, 'cpu'),
              *in_memory(slug, what, 'cpu', quick=True)]
    return Job('load', f'an epoch of {name(slug, what)}', [
        rival._replace(repeats=LOAD_REPEATS) for rival in rivals
    ], slug, published_test_acc(slug, what), (0, 1) if quick else (0, 1, 2))
