"""A reader who runs a chapter script gets the numbers that are compared."""
import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import json
import subprocess
import sys

import pytest
from conftest import ROOT
from house_tables import find_real_tables

# Prints a line for what `compare` reproduces, and one for each script: the
# histories, and the hashes of the weights. Each training has one epoch, and
# Fashion-MNIST has 3,000 images, the last batch of which is smaller.
TRAIN = """
import hashlib, json, runpy, sys
import matplotlib
matplotlib.use('agg')
from gluon_mlp.compare.control import arrays_of, recorded
from gluon_mlp.compare.reproduce import reproduce
from gluon_mlp.d2l import fashion_mnist
_, section, scripts, *options = sys.argv
*arrays, edition = fashion_mnist.load()
few = fashion_mnist.FashionMNIST(*(a[:3000] for a in arrays), edition)
fashion_mnist.load = lambda: few

def tell(trainings):
    arrays = [arrays_of(*training) for training in trainings]
    print('trainings', json.dumps([
        [history.tolist(), *(hashlib.sha256(a.tobytes()).hexdigest()
                             for a in weights)]
        for history, *weights in arrays]))

with recorded() as trainings:
    reproduce(section, num_epochs=1)
tell(trainings)
for script in scripts.split(','):
    sys.argv = [script, *options]
    with recorded() as trainings:
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as end:
            assert not end.code, end.code
    tell(trainings)
"""


@pytest.fixture
def train(tmp_path):
    """The trainings that `compare` runs, and those of the scripts."""
    def run(section, scripts, *options):
        ran = subprocess.run(
            [sys.executable, '-c', TRAIN, section,
             ','.join(map(str, scripts)), '--num-epochs', '1', '--book-only',
             '--figures', tmp_path / 'figures', *options],
            cwd=tmp_path, text=True, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line[len('trainings '):])
                for line in ran.stdout.splitlines()
                if line.startswith('trainings ')]
    return run


@pytest.mark.parametrize('section, options, number', [
    ('mlp_scratch', [], 1), ('mlp_concise', [], 1),
    ('underfit_overfit', ['--num-epochs-overfit', '1'], 3),
    ('weight_decay', [], 4), ('dropout', [], 2),
    ('kaggle_house_price', [], 6)])
def test_a_script_trains_what_is_compared(real_data, train, section, options,
                                          number):
    """Histories in full precision, and the same weights to the bit."""
    if section == 'kaggle_house_price' and find_real_tables() is None:
        pytest.skip('the house price tables are not at hand')
    script = ROOT / 'chapters' / f'{section}.py'
    compared, ran = train(section, [script], *options)
    assert len(compared) == number and ran == compared


def test_a_script_that_trains_something_else_is_found(real_data, train,
                                                      tmp_path):
    """The script of 4.3, with one small change each time."""
    script = (ROOT / 'chapters' / 'mlp_concise.py').read_text('utf-8')
    mutants = []
    for old, new in (
            ('sigma=0.01', 'sigma=0.02'),
            ("'learning_rate': lr", "'learning_rate': 1.001 * lr"),
            ('mnist(batch_size)', 'mnist(batch_size + 1)'),
            ('get_net(num_hiddens)', 'get_net(num_hiddens + 1)')):
        assert script.count(old) == 1
        mutants.append(tmp_path / f'{len(mutants)}.py')
        mutants[-1].write_text(script.replace(old, new), 'utf-8')
    compared, *ran = train('mlp_concise', mutants)
    assert len(ran) == len(mutants) and compared not in ran
