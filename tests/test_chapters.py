"""The chapter's scripts: their cells, their options, and --book-only."""
import contextlib
import re

import numpy as onp
import pytest
from conftest import ROOT
from gluon_mlp import dropout, experiment, sections
from gluon_mlp.d2l import fashion_mnist, plotting, training
from gluon_mlp.run import options
from gluon_mlp.run.updaters import parameters

SLUGS = [section.slug for section in sections.SECTIONS]
BEYOND = ['mlp', 'mlp_scratch', 'underfit_overfit', 'weight_decay',
          'dropout']
SHORT = {'mlp': {}, 'mlp_scratch': {'num_epochs': 2},
         'mlp_concise': {'num_epochs': 2},
         'underfit_overfit': {'num_epochs': 2, 'num_epochs_overfit': 3},
         'weight_decay': {'num_epochs': 2}, 'dropout': {'num_epochs': 2}}
OTHERS = {  # another value of each option, and the trainings that it changes
    'mlp_scratch': {'num_hiddens': (8, [0]), 'num_epochs': (3, [0]),
                    'lr': (0.2, [0]), 'batch_size': (7, [0])},
    'mlp_concise': {'num_hiddens': (8, [0]), 'num_epochs': (3, [0]),
                    'lr': (0.2, [0]), 'batch_size': (7, [0])},
    'underfit_overfit': {'num_epochs': (4, [0, 1]),
                         'num_epochs_overfit': (4, [2]),
                         'lr': (0.02, [0, 1, 2]),
                         'batch_size': (7, [0, 1, 2])},
    'weight_decay': {'lambd': (2, [1, 3]), 'num_epochs': (3, [0, 1, 2, 3]),
                     'lr': (0.002, [0, 1, 2, 3]),
                     'batch_size': (7, [0, 1, 2, 3])},
    'dropout': {'dropout1': (0.3, [0, 1]), 'dropout2': (0.3, [0, 1]),
                'num_hiddens1': (8, [0, 1]), 'num_hiddens2': (8, [0, 1]),
                'num_epochs': (3, [0, 1]), 'lr': (0.4, [0, 1]),
                'batch_size': (7, [0, 1])}}


def script(slug):
    return (ROOT / 'chapters' / f'{slug}.py').read_text()


def cells(slug):
    """The cells of a script: pairs of what its marker says and its text."""
    before, *parts = re.split(r'^# %%(.*)\n', script(slug), flags=re.M)
    assert before == ''
    return list(zip(parts[::2], parts[1::2]))


@pytest.fixture
def run_here(monkeypatch, tmp_path):
    """Run a script in this process, on 50 random images of each kind.

    `values` are its options, if they are not the usual ones. Returns for each
    training the number of epochs, the shapes of the parameters and the rows
    of the history. Each training has a seed of its own, so that it does not
    depend on how long the one before it was.
    """
    rng = onp.random.default_rng(0)
    images = rng.integers(0, 256, (2, 50, 1, 28, 28)).astype('uint8')
    labels = rng.integers(0, 10, (2, 50)).astype('int32')
    monkeypatch.setattr(fashion_mnist, 'load', lambda: (
        fashion_mnist.FashionMNIST(images[0], labels[0], images[1],
                                   labels[1], 'random')))

    def run(slug, book_only=True, **values):
        trainings = []

        def epochs(num_epochs, history, updater, draws=False):
            trainings.append((num_epochs, history, updater))
            training.seed(len(trainings))
            return experiment.progress(num_epochs)

        training.seed(0)
        with monkeypatch.context() as patch, experiment.use(
                figures=tmp_path, book_only=book_only, epochs=epochs), \
                contextlib.suppress(SystemExit):
            patch.setattr(options, 'options', lambda section, names: [
                {**vars(section), **SHORT[slug], **values}[name]
                for name in names.split(', ')])
            patch.setattr(plotting.plt, 'savefig',
                          lambda path, **_: path.touch())  # takes long
            exec(compile(script(slug), slug, 'exec'), {})
        return [(num_epochs, [a.shape for a in parameters(updater)],
                 list(history)) for num_epochs, history, updater in trainings]
    return run


@pytest.mark.parametrize('slug', SLUGS)
def test_a_script_is_flat_cells_of_text_and_code(slug):
    for marker, text in cells(slug):
        if marker == ' [markdown]':
            assert all(line.startswith('#') for line in text.split('\n')
                       if line)
        else:
            assert marker == ''
            compile(text, slug, 'exec')
            assert 'def main' not in text and '__name__' not in text


@pytest.mark.parametrize('slug', SLUGS)
def test_a_script_begins_with_its_titles_and_its_options(slug):
    section = sections.find(slug)
    (_, text), (_, code) = cells(slug)[:2]
    assert text.split('\n')[:3] == [
        f'# # {section.number} {section.title}', f'# # {section.title_zh}',
        '#']
    assert code.startswith('from gluon_mlp.run.options import ')


@pytest.mark.parametrize('slug', BEYOND)
def test_what_the_book_does_not_list_has_its_own_heading(slug):
    texts = [text.strip() for _, text in cells(slug)]
    end, = (text for text in texts if text.startswith('book_ends()'))
    heading = texts[texts.index(end) + 1]
    assert heading.split('\n')[0] == '# ## Beyond the listings'


@pytest.mark.parametrize('slug', BEYOND)
def test_book_only_leaves_out_the_rest_and_changes_nothing_else(
        slug, run_here, capsys):
    trainings = run_here(slug)
    listings = capsys.readouterr().out
    assert run_here(slug, book_only=False) == trainings
    everything = capsys.readouterr().out
    assert everything.startswith(listings) and everything != listings


@pytest.mark.parametrize('slug', OTHERS)
def test_an_option_reaches_its_trainings_and_no_other(slug, run_here):
    usual, changed = run_here(slug), {}
    for name, (value, _) in OTHERS[slug].items():
        other = run_here(slug, **{name: value})
        changed[name] = value, [i for i, (a, b) in
                                enumerate(zip(usual, other)) if a != b]
    assert changed == OTHERS[slug]


@pytest.mark.parametrize('num_epochs, lengths, num_masks', [
    (2, [2, 2, 24, 4, 4], 20), (11, [11, 11, 120, 20, 20], 100)])
def test_a_short_run_of_4_6_is_short_after_the_listings_too(
        num_epochs, lengths, num_masks, run_here, monkeypatch):
    bars, masks = [], []
    progress, predict = experiment.progress, dropout.predict_with_dropout
    monkeypatch.setattr(experiment, 'progress', lambda num_epochs: (
        bars.append(num_epochs) or progress(num_epochs)))
    monkeypatch.setattr(dropout, 'predict_with_dropout', lambda net, X, n: (
        masks.append(n) or predict(net, X, n)))
    run_here('dropout', book_only=False, num_epochs=num_epochs)
    assert bars == lengths
    assert masks == [num_masks]
