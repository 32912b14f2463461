"""The sections as notebooks: they show the mathematics, and run quietly."""
import json
import re
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import ROOT
from gluon_mlp.errors import ChapterError
from gluon_mlp.run import notebooks
from gluon_mlp.sections import SECTIONS
from house_tables import use_real_tables
from nbformat.v4 import new_code_cell, new_notebook
from scripts import start
from test_d2l import IMPORTS, LISTINGS

SLUGS = [section.slug for section in SECTIONS]
TRAINS = {'mlp_scratch', 'mlp_concise', 'underfit_overfit', 'weight_decay',
          'dropout', 'kaggle_house_price'}


@pytest.fixture(autouse=True)
def own_signatures(tmp_path, monkeypatch):
    """The notebooks that are made here are trusted here only."""
    monkeypatch.setenv('JUPYTER_DATA_DIR', str(tmp_path / 'jupyter'))


def run(notebook, folder, *sources):
    """Run a notebook after cells with these sources; its code cells."""
    notebook.cells[:0] = map(new_code_cell, sources)
    notebooks.execute(notebook, folder)
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def shown(cell):
    """The outputs of a cell: what it prints, or the type of a figure."""
    return [output.text if output.output_type == 'stream' else
            max(set(output.data) - {'text/plain'}, default='text/plain')
            for output in cell.outputs]


SVG = 'image/svg+xml'


@pytest.mark.parametrize('slug', SLUGS)
def test_each_definition_is_shown_once_above_its_first_use(slug):
    """All that the cells use of the module, and what that uses of it."""
    module = (ROOT / 'gluon_mlp' / f'{slug}.py').read_text()
    cells = notebooks.read(slug).cells
    sources = [i for i, cell in enumerate(cells) if cell.cell_type ==
               'markdown' and cell.source.startswith('From `gluon_mlp/')]
    wrong = []
    for name in re.findall(r'^(?:def|class) (\w+)', module, re.M):
        defined = rf'^(def|class) {name}\b'
        where = [i for i in sources
                 if re.search(defined, cells[i].source, re.M)]
        used = [i for i, cell in enumerate(cells) if cell.cell_type == 'code'
                and re.search(rf'\w\.{name}\b', cell.source)]
        called = [i for i in sources
                  if re.search(rf'\b{name}\(', cells[i].source)]
        if len(where) != bool(used or called) or where > used[:1] != []:
            wrong.append(name)
    assert wrong == [] and sources != []


@pytest.mark.slow
@pytest.mark.parametrize('slug', SLUGS)
def test_a_notebook_runs_and_prints_no_noise(slug, real_data, monkeypatch,
                                             tmp_path):
    """No warnings, no bare values. All of it in a short form."""
    if slug == 'kaggle_house_price':
        use_real_tables(monkeypatch, tmp_path)
    short = (f'from gluon_mlp import {slug}\n{slug}.num_epochs = 1\n'
             f'{slug}.num_epochs_overfit = 1' if slug in TRAINS else '')
    cells = run(notebooks.read(slug), tmp_path, short)
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {'stream',
                                                          'display_data'}
    assert {output.get('name', 'stdout') for output in outputs} == {'stdout'}
    code = '\n'.join(cell.source for cell in cells)
    figures = sum(shown(cell).count(SVG) for cell in cells)
    assert figures >= code.count('d2l.save_figure(') > 0


@pytest.mark.slow
def test_a_cell_changed_to_512_units_works(real_data, tmp_path):
    notebook = notebooks.read('mlp_concise')
    cell, = (c for c in notebook.cells if c.cell_type == 'code'
             and 'get_net(num_hiddens)' in c.source)
    cell.source = cell.source.replace('num_hiddens', '512')
    notebook.cells.append(new_code_cell('print(net[0].weight.shape)'))
    *_, last = run(notebook, tmp_path, 'from gluon_mlp import mlp_concise\n'
                   'mlp_concise.num_epochs = 1')
    assert shown(last) == ['(512, 784)\n']


@pytest.mark.slow
def test_a_listing_of_the_reader_runs_in_a_fresh_kernel(real_data, tmp_path):
    cell, = run(new_notebook(), tmp_path, IMPORTS + LISTINGS['mlp_concise'])
    said, figure = shown(cell)
    assert said.startswith('Fashion-MNIST, edition of') and figure == SVG


TWICE = """
from gluon_mlp import d2l, weight_decay
data = weight_decay.load_data()
for lambd in (0, 3):
    weight_decay.train(lambd, *data, num_epochs=10)
    print('lambd', lambd)
"""


@pytest.mark.slow
def test_what_a_cell_shows_stays_in_its_order(tmp_path):
    """A curve is live where it began, and ends no other curve or text."""
    cell, _ = run(new_notebook(), tmp_path, TWICE, '')
    assert shown(cell) == [SVG, 'lambd 0\n', SVG, 'lambd 3\n']


@pytest.mark.slow
def test_a_figure_is_saved_in_its_cell_or_not_at_all(tmp_path):
    cells = new_notebook(), tmp_path, TWICE + "d2l.save_figure('in_time')", (
        "d2l.save_figure('late')")
    with pytest.raises(ChapterError, match="DisplayError: .*'late'.* a cell"):
        run(*cells)
    assert [p.name for p in (tmp_path / 'figures').iterdir()] == [
        'in_time.png']


@pytest.mark.slow
def test_a_script_can_be_run_in_a_notebook(real_data, tmp_path):
    """It ends with its closing word; a plot after it is shown as before."""
    script, plot = run(
        new_notebook(), tmp_path, f'%run {ROOT}/chapters/mlp_concise.py '
        '--num-epochs 1 --output here', 'from gluon_mlp import d2l\n'
        'axes = d2l.plot([1, 2], [3, 4])')
    *_, curve, figure, closing = shown(script)
    assert (curve, figure) == (SVG, 'figure: here/mlp_concise.png\n')
    assert closing.startswith('yours: test acc ')
    assert shown(plot) == [SVG]


@pytest.mark.slow
def test_a_cell_that_fails_is_told_in_a_line_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks.sections, 'script',
                        lambda section: tmp_path / 'mlp.py')
    (tmp_path / 'mlp.py').write_text('# %%\nprint(1)\n# %%\n1 / 0\n# %%\n2\n')
    with pytest.raises(ChapterError, match=r'/mlp\.ipynb: ZeroDivisionError: '
                       'division by zero$'):
        notebooks.build('mlp', tmp_path)
    cells = json.loads((tmp_path / 'mlp.ipynb').read_text())['cells']
    assert [[output['output_type'] for output in cell['outputs']]
            for cell in cells] == [['stream'], ['error'], []]


@pytest.mark.slow
@pytest.mark.parametrize('number, said, code', [
    (signal.SIGINT, 'interrupted\n', 130),
    (signal.SIGTERM, 'interrupted\n', 143)])
def test_a_signal_ends_it_and_its_kernel(number, said, code, tmp_path):
    process = start(sys.executable, '-m', 'gluon_mlp', 'notebooks',
                    '--section', '4.1', '--output', tmp_path)
    kernel, = wait_for(lambda: [int(number) for task in Path(
        f'/proc/{process.pid}/task').glob('*/children')
        for number in task.read_text().split()])
    process.send_signal(number)
    assert process.communicate(timeout=120) == ('', said)
    assert process.returncode == code
    wait_for(lambda: not Path(f'/proc/{kernel}').exists())
    assert list(tmp_path.glob('*.ipynb')) == []


def wait_for(true, seconds=120):
    """What `true` returns, once that is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, true
        time.sleep(0.05)
    return found


# In JupyterLab

@pytest.fixture
def lab(tmp_path):
    """JupyterLab on the folder `tmp_path`; its address."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    server = start(sys.executable, '-m', 'jupyterlab', '--no-browser',
                   '--allow-root', '--ip=127.0.0.1', f'--port={port}',
                   '--IdentityProvider.token=secret',
                   f'--ServerApp.root_dir={tmp_path}',
                   stdout=open(tmp_path / 'log', 'w'), stderr=-2)
    address = f'http://127.0.0.1:{port}/%s?token=secret'

    def answers():
        try:
            return urlopen(address % 'api/status').status == 200
        except OSError:
            assert server.poll() is None, (tmp_path / 'log').read_text()
    wait_for(answers)
    yield address
    server.terminate()
    server.wait(60)


# The number of points of each figure's first curve.
POINTS = '''
return [...document.querySelectorAll('.jp-RenderedSVG')].flatMap(shown => {
  const image = shown.querySelector('img');
  const svg = image ? decodeURIComponent(image.src) : shown.innerHTML;
  const curve =
    /<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: #1f77b4/g;
  return [...svg.matchAll(curve)].map(m => m[1].match(/[ML]/g).length)})'''
COUNT = 'return document.querySelectorAll(arguments[0]).length'
RUN_ALL = 'li[data-command="runmenu:run-all"]'
BUSY = '''
return [...document.querySelectorAll('.jp-InputArea-prompt')].some(
  p => p.textContent.includes('*'))'''


@pytest.mark.slow
def test_a_notebook_in_jupyterlab(browser, lab, tmp_path, real_data):
    """It shows all at once; run again, its curve grows, and all is well."""
    notebooks.build('mlp_concise', tmp_path)
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
        'width': 1280, 'height': 4000, 'deviceScaleFactor': 1,
        'mobile': False})
    browser.get(lab % 'lab/tree/mlp_concise.ipynb')
    js = browser.execute_script
    assert wait_for(lambda: js(POINTS)) == [10]
    assert wait_for(lambda: js(COUNT, '.jp-Notebook mjx-container')) >= 1
    assert js(COUNT, '.jp-Notebook .jp-RenderedMarkdown pre') >= 2

    wait_for(lambda: js(COUNT, '[data-status="idle"]'))
    browser.find_element('xpath', '//li[contains(@class, "lm-MenuBar-item") '
                         'and normalize-space() = "Run"]').click()
    wait_for(lambda: js(COUNT, RUN_ALL))
    browser.find_element('css selector', RUN_ALL).click()
    wait_for(lambda: js(BUSY))
    seen = []
    while js(BUSY):
        seen += [n for n in js(POINTS) if n not in seen[-1:]]
        time.sleep(0.02)
    growth = seen[seen[0] == 10:]  # the old curve may still be there
    assert growth == sorted(growth) and len(growth) > 3, seen
    assert js(POINTS) == [10]
    for kind in ('error', 'stderr'):
        assert js(COUNT, f'[data-mime-type="application/vnd.jupyter.{kind}"]'
                  ) == 0
