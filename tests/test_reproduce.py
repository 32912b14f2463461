"""A reader who runs a chapter script gets the numbers that are compared."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import pytest
from conftest import ROOT
from gluon_mlp.compare.control import arrays_of, recorded
from gluon_mlp.compare.reproduce import reproduce
from house_tables import use_real_tables
from scripts import script_here


def trainings_of(run, *args, **kwargs):
    """The bits of each training in `run`: its history and its weights.

    The weights are sorted, because a trainer has them in the order of names
    that MXNet numbers through.
    """
    with recorded() as trainings:
        result = run(*args, **kwargs)
    assert not isinstance(result, tuple) or result[0] == 0  # a script's code
    return [(history.tobytes(), sorted(a.tobytes() for a in weights))
            for history, *weights in (arrays_of(*training)
                                      for training in trainings)]


def run_script(path, folder, *options):
    return trainings_of(script_here, path, '--num-epochs', 1, '--book-only',
                        '--output', folder / 'figures', *options)


@pytest.mark.parametrize('section, options, number', [
    ('mlp_scratch', [], 1), ('mlp_concise', [], 1),
    ('underfit_overfit', ['--num-epochs-overfit', 1], 3),
    ('weight_decay', [], 4), ('dropout', [], 2),
    ('kaggle_house_price', [], 6)])
def test_a_script_trains_what_is_compared(few_images, tmp_path, monkeypatch,
                                          section, options, number):
    """For an epoch of each training, to the bit."""
    if section == 'kaggle_house_price':
        use_real_tables(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)  # 4.10 writes the predicted prices there
    compared = trainings_of(reproduce, section, num_epochs=1)
    script = ROOT / 'chapters' / f'{section}.py'
    assert len(compared) == number
    assert run_script(script, tmp_path, *options) == compared


@pytest.mark.parametrize('old, new', [
    ('sigma=0.01', 'sigma=0.02'),
    ("'learning_rate': lr", "'learning_rate': 1.001 * lr"),
    ('mnist(batch_size)', 'mnist(batch_size + 1)'),
    ('get_net(num_hiddens)', 'get_net(num_hiddens + 1)')])
def test_a_script_that_trains_something_else_is_found(few_images, tmp_path,
                                                      old, new):
    """The script of 4.3, with one small change."""
    text = (ROOT / 'chapters' / 'mlp_concise.py').read_text('utf-8')
    assert text.count(old) == 1
    mutant = tmp_path / 'mutant.py'
    mutant.write_text(text.replace(old, new), 'utf-8')
    compared = trainings_of(reproduce, 'mlp_concise', num_epochs=1)
    ran = run_script(mutant, tmp_path)
    assert len(ran) == len(compared) and ran != compared
