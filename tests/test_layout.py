"""One slug a section: its module, its script, its test; and what they may."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / 'chapters').glob('*.py'))
TOOLS = {'__init__', '__main__', 'bench', 'checkpoint', 'compare', 'compat',
         'data', 'device', 'diagram', 'doctor', 'errors', 'exercises',
         'fashion_mnist', 'files', 'graph', 'launch', 'options', 'plot',
         'preflight', 'report', 'training', 'workers'}
TESTS_OF_MANY = {'faults', 'layout'}


def slugs_of(folder, pattern='*.py', prefix=''):
    return {path.stem[len(prefix):] for path in (ROOT / folder).glob(pattern)
            } - TOOLS


def sections():
    """The Makefile's list, which has the chapter's order."""
    makefile = (ROOT / 'Makefile').read_text()
    return ' '.join(re.findall(r'^SECTIONS .= (.*)', makefile, re.M)).split()


def test_every_section_has_module_script_and_test():
    tests = slugs_of('tests', 'test_*.py', 'test_') - TESTS_OF_MANY
    found = {'gluon_mlp/': slugs_of('gluon_mlp'), 'tests/': tests,
             'chapters/': slugs_of('chapters'), 'Makefile': set(sections())}
    slugs = set().union(*found.values())
    assert {place: slugs - there for place, there in found.items()
            if slugs - there} == {}  # what is missing where


def fresh_process(code, modules, home):
    """Run `code` with the names of the modules as its arguments."""
    return subprocess.run([sys.executable, '-c', code, *modules], text=True,
                          capture_output=True, check=False,
                          env={**os.environ, 'MXNET_HOME': str(home)})


def modules():
    return sorted('.'.join(path.relative_to(ROOT).with_suffix('').parts)
                  for path in (ROOT / 'gluon_mlp').rglob('[!_]*.py'))


DRAW = """
import importlib, sys
import gluon_mlp, mxnet, numpy
numpy.random.seed(1)  # MXNet's streams are fresh as they are
for name in sys.argv[1:]:
    importlib.import_module(name)
print(mxnet.np.random.normal(size=3), mxnet.np.random.uniform(size=3),
      mxnet.nd.shuffle(mxnet.nd.arange(20)).asnumpy(),
      numpy.random.rand(3))
"""


def test_imports_leave_every_random_stream_where_it_was(tmp_path):
    """MXNet's and NumPy's next draws are those without these imports."""
    after, fresh = (fresh_process(DRAW, names, tmp_path)
                    for names in (modules(), []))
    assert after.returncode == 0, after.stderr
    assert after.stdout == fresh.stdout != ''


FORBID = """
import importlib, sys
import gluon_mlp, mxnet
from gluon_mlp.d2l import fashion_mnist

def forbidden(*args, **kwargs):
    raise AssertionError('not at import')

# What every operator, every new array and every look for a GPU calls.
for name in ('MXImperativeInvokeEx', 'MXInvokeCachedOpEx', 'MXNetFuncCall',
             'MXNDArrayCreateEx', 'MXNDArrayCreateEx64', 'MXGetGPUCount'):
    setattr(mxnet.base._LIB, name, forbidden)
for name in ('load', 'fetch', 'read_file'):
    setattr(fashion_mnist, name, forbidden)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_imports_compute_nothing_and_load_nothing(tmp_path):
    """No operator runs, no array is made, no GPU and no file looked for."""
    ran = fresh_process(FORBID, modules(), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.stem)
def test_script_imports_gluon_mlp_before_mxnet(script):
    """Else MXNet has half of the processors, and fails on Python 3.12."""
    order = re.findall(r'^(?:from|import) (gluon_mlp|mxnet|d2l)\b',
                       script.read_text(), re.M)
    assert order[0] == 'gluon_mlp'


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.stem)
def test_script_reads_in_one_look(script):
    lines = script.read_text().splitlines()
    assert len(lines) <= 60
    assert [line for line in lines if len(line) > 78] == []
