"""README, in two languages, and the pages in docs/: what they say is so."""
import ast
import importlib
import json
import re
import shlex
import subprocess
import sys

import numpy as onp
import pytest
import typer
from conftest import ROOT
from gluon_mlp import experiment, sections
from gluon_mlp.__main__ import app
from gluon_mlp.compare import printings
from gluon_mlp.run import options
from gluon_mlp.sections import SECTIONS
from mxnet import autograd, gluon, np
from scripts import script_environment

README, CHINESE = ROOT / 'README.md', ROOT / 'README.zh-CN.md'
PAGES = [README, CHINESE, *sorted((ROOT / 'docs').glob('*.md'))]
BOOK = 'https://zh.d2l.ai/chapter_multilayer-perceptrons/'
DECIMAL = r'\d+\.\d+'


def blocks(page):
    """The code blocks of a page: pairs of a language and a text."""
    return re.findall(r'^```(\w+)\n(.*?)^```$', page.read_text(),
                      re.MULTILINE | re.DOTALL)


def prose(page):
    """The text of a page without its code blocks."""
    return re.sub(r'^```\w+\n.*?^```$', '', page.read_text(),
                  flags=re.MULTILINE | re.DOTALL)


def headings(page):
    return re.findall(r'^(#+) (.*)', prose(page), re.MULTILINE)


def tables(page):
    """The tables of a page: a list of rows, each a list of cells."""
    found = re.findall(r'(?:^\|.*\|\n)+', prose(page), re.MULTILINE)
    return [[re.split(r' *\| *', row.strip('| \n')) for row in
             table.splitlines()] for table in found]


def command_lines(page):
    """The commands in a page's shell blocks, without their output."""
    for language, text in blocks(page):
        if language in ('sh', 'console'):
            lines = text.replace('\\\n', '').splitlines()
            if language == 'console':
                lines = [line[2:] for line in lines if line.startswith('$ ')]
            yield from filter(None, (shlex.split(line, comments=True)
                                     for line in lines))


def links(page):
    """Where the links and pictures of a page lead."""
    return [target or source for target, source in re.findall(
        r'\]\(([^)]+)\)|<img src="([^"]+)"', prose(page))]


def numbers(text):
    return re.findall(r'\d+(?:[.,]\d+)*', text)


def code_spans(text):
    return re.findall(r'`[^`]+`', text)


# Both languages

def test_a_readme_has_at_most_120_lines():
    lines = {page.name: len(page.read_text().splitlines())
             for page in (README, CHINESE)}
    assert max(lines.values()) <= 120, lines


def test_both_readmes_have_the_same_headings():
    assert ([level for level, _ in headings(README)]
            == [level for level, _ in headings(CHINESE)])


def test_both_readmes_have_the_same_code():
    assert blocks(README) == blocks(CHINESE) != []


def test_both_readmes_have_the_same_numbers_and_code_in_their_tables():
    def facts(page):
        return [[[(numbers(cell), code_spans(cell)) for cell in row]
                 for row in table] for table in tables(page)]
    assert facts(README) == facts(CHINESE) != []


def test_both_readmes_lead_to_the_same_places_in_the_same_order():
    def targets(page):
        return [link for link in links(page) if not link.startswith('README')]
    assert targets(README) == targets(CHINESE) != []


@pytest.mark.parametrize('page', [README, CHINESE], ids=lambda p: p.name)
def test_the_contents_are_the_sections_with_both_titles(page):
    rows = tables(page)[0][2:]  # without the head
    assert len(rows) == len(SECTIONS)
    for (title, script, *_), section in zip(rows, SECTIONS):
        link = f'{BOOK}{section.slug.replace("_", "-")}.html'
        titles = section.title, f'[{section.title_zh}]({link})'
        number, both = title.split(' ', 1)
        assert number == section.number
        assert sorted(both.split('<br>')) == sorted(titles)
        assert script == f'[`{section.slug}`](chapters/{section.slug}.py)'


# Links

def anchors(page):
    """The names that a code host gives to the headings of a page."""
    return {re.sub(r'[^\w\- ]', '', text).strip().lower().replace(' ', '-')
            for _, text in headings(page)}


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_the_links_of_a_page_lead_somewhere(page):
    missing = []
    for link in links(page):
        if link.startswith('https://'):
            continue
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        if not target.is_file() or anchor and anchor not in anchors(target):
            missing.append(link)
    assert missing == []


# Commands

def make_targets():
    """The targets of the Makefile, and the variables that it reads."""
    text = (ROOT / 'Makefile').read_text()
    targets = re.findall(r'^([a-z][a-z0-9-]*):', text, re.MULTILINE)
    return ({*targets, *(section.slug for section in SECTIONS)},
            set(re.findall(r'^([A-Z]+) \??:?=', text, re.MULTILINE)))


def check_options(command, words):
    """Each word that begins with -- is an option of a click command."""
    known = {name for param in command.params
             for name in (*param.opts, *param.secondary_opts)}
    assert [word for word in words if word.startswith('--')
            and word.split('=')[0] not in known] == []


def check_script(path, *words):
    """A script is there, and takes these options with these values."""
    tree = ast.parse((ROOT / path).read_text())
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call)
             and getattr(call.func, 'id', '') == 'options']
    (section, names), = (call.args for call in calls)
    module = importlib.import_module(f'gluon_mlp.{section.id}')
    values = {name: getattr(module, name, None)
              for name in names.value.replace(',', ' ').split()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(path), *words])
        options._parse(section.id, values)  # raises `UsageError`


def check_tool(*words):
    """`gluon-mlp` has this command, with these options.

    What follows a section is for its script.
    """
    numbers = [section.number for section in SECTIONS]
    for i, word in enumerate(words):
        if words[0] in ('run', 'launch') and word in numbers:
            check_script(sections.script(sections.find(word)), *words[i + 1:])
            words = words[:i]
    command = typer.main.get_command(app)
    if words[:1] and not words[0].startswith('-'):
        command, *words = command.commands[words[0]], *words[1:]
    check_options(command, words)


def check_make(*words):
    targets, variables = make_targets()
    assert [word for word in words if word not in targets
            and word.partition('=')[0] not in variables] == []


def check_pip(*words):
    if '-r' in words:
        assert (ROOT / words[words.index('-r') + 1]).is_file()


def check_docker(command, *words):
    """What runs in a container is a command, too."""
    assert command in ('build', 'run', 'start', 'exec')
    if command == 'exec':
        check_command(words[words.index('gluon-mlp') + 1:])


def check_export(assignment):
    """Something reads this variable: this project or pip."""
    name = assignment.partition('=')[0]
    modules = (ROOT / 'gluon_mlp').rglob('*.py')
    assert name.startswith('PIP_') or any(name in path.read_text()
                                          for path in modules)


def check_command(words):
    starts = {('gluon-mlp',): check_tool, ('pip',): check_pip,
              ('make',): check_make, ('docker',): check_docker,
              ('export',): check_export,
              ('.', '.venv/bin/activate'): lambda: None}
    for start, check in starts.items():
        if tuple(words[:len(start)]) == start:
            return check(*words[len(start):])
    raise AssertionError(f'no check for {words[0]}')


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_the_commands_of_a_page_exist_and_take_their_options(page):
    for words in command_lines(page):
        try:
            check_command(words)
        except Exception as error:
            raise AssertionError(shlex.join(words)) from error


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_every_code_block_is_of_a_kind_that_is_checked(page):
    fences = re.findall('^```(.*)', page.read_text(), re.MULTILINE)
    assert set(fences[::2]) <= {'sh', 'console', 'python'}
    assert list(command_lines(page)) != []


def shown_commands():
    """Pairs of a command of README and the output shown below it."""
    for language, text in blocks(README):
        if language == 'console':
            for part in re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]:
                yield part.split('\n', 1)


def pattern_of(shown):
    """What matches this output with other decimals, which become groups."""
    others = {'...': '.*', '2017-08-31': r'2017-08-\d\d',
              '/home/you/.mxnet': '.*', ', older images': '.*',
              'gluon-mlp': '.*', 'took 5 s': r'took \d+ s'}
    tokens = '|'.join([*map(re.escape, others), DECIMAL])
    parts = re.split(f'({tokens})', shown.strip())
    for i, part in enumerate(parts):
        parts[i] = (re.escape(part) if i % 2 == 0 else
                    others.get(part, f'({DECIMAL})'))
    return ''.join(parts)


@pytest.mark.slow
@pytest.mark.parametrize('command, shown', [
    pytest.param(*pair, id=pair[0]) for pair in shown_commands()])
def test_a_command_prints_what_the_readme_shows(command, shown, tmp_path,
                                                real_data):
    words = [sys.executable, '-m', 'gluon_mlp', *shlex.split(command)[1:]]
    ran = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=600,
                         check=False, env=script_environment())
    assert ran.returncode == 0, ran.stdout
    found = re.fullmatch(pattern_of(shown), ran.stdout.strip(), re.DOTALL)
    assert found, ran.stdout
    # The edition of the data shifts the accuracy by up to 0.02.
    difference = onp.array([float(text) for text in found.groups()]) - [
        float(text) for text in re.findall(DECIMAL, shown)]
    assert abs(difference).max(initial=0) < 0.02


def test_the_files_for_docker_fit_together():
    """The page, the image, and VS Code's container have the same port."""
    image = (ROOT / 'Dockerfile').read_text()
    container = json.loads(
        (ROOT / '.devcontainer' / 'devcontainer.json').read_text())
    port, = re.findall(r'^EXPOSE (\d+)$', image, re.MULTILINE)
    assert container['forwardPorts'] == [int(port)]
    page = (ROOT / 'docs' / 'install.md').read_text()
    assert f'-p 127.0.0.1:{port}:{port} ' in page
    assert f' AS {container["build"]["target"]}\n' in image
    assert f'\nUSER {container["remoteUser"]}\n' in image


# Python

def python_blocks():
    return [pytest.param(text, id=f'{page.name}-{i}') for page in PAGES
            for i, (language, text) in enumerate(blocks(page))
            if language == 'python' and page != CHINESE]  # the same as README


@pytest.mark.parametrize('code', python_blocks())
def test_python_code_trains(code, tmp_path, monkeypatch, real_data):
    """It runs for one epoch, and its history has a loss then."""
    monkeypatch.chdir(tmp_path)
    histories = []

    def one_epoch(num_epochs, history, updater, draws=False):
        assert num_epochs > 1
        histories.append(history)
        yield 1
    with experiment.use(epochs=one_epoch):
        exec(compile(code, 'code', 'exec'), {'__name__': '__main__'})
    (((epoch, l, *_),),) = histories
    assert epoch == 1 and l > 0


# What is claimed

def test_the_books_numbers_in_the_contents_are_those_it_published():
    wrong = []
    for (_, _, book, *_), section in zip(tables(README)[0][2:], SECTIONS):
        published = [abs(value)
                     for name in printings.NAMES
                     for quantity in printings.load(name).quantities(
                         section.slug)
                     for value in quantity.values.ravel()]
        for text in re.findall(DECIMAL, book):
            rounded = 0.51 * 10.0 ** -len(text.partition('.')[2])
            if not any(abs(value - float(text)) <= rounded
                       for value in published):
                wrong.append((section.slug, text))
    assert wrong == []


def test_each_message_in_troubleshooting_is_one_of_the_program():
    rows = tables(ROOT / 'docs' / 'troubleshooting.md')[0][2:]
    texts = '\n'.join(
        node.value for path in (ROOT / 'gluon_mlp').rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert [cell for cell, _ in rows if cell.strip('`') not in texts] == []


def test_every_name_of_d2l_in_a_page_is_one_of_d2l():
    from gluon_mlp import d2l
    wrong = {(page.name, name) for page in PAGES for name in
             re.findall(r'(?<![\w.])d2l\.(\w+)', page.read_text())
             if name not in dir(d2l)}
    assert wrong == set()


def test_a_decay_of_3_with_mse_acts_as_1_5_with_l2loss_at_twice_the_rate():
    rng, lr, wd = onp.random.default_rng(0), 0.003, 3
    X, y, w = (rng.normal(size=shape).astype('float32')
               for shape in [(8, 5), (8, 1), (5, 1)])
    # PyTorch's step, with the gradient of the mean of (Xw - y)^2.
    expected = w - lr * (2 * X.T @ (X @ w - y) / len(X) + wd * w)

    param = gluon.Parameter('w', shape=w.shape)
    param.initialize()
    param.set_data(np.array(w))
    trainer = gluon.Trainer([param], 'sgd', {'learning_rate': 2 * lr,
                                             'wd': wd / 2})
    with autograd.record():
        l = gluon.loss.L2Loss()(np.dot(np.array(X), param.data()),
                                np.array(y))
    l.backward()
    trainer.step(len(X))
    assert onp.allclose(param.data().asnumpy(), expected, rtol=1e-5)


def test_the_times_for_several_machines_follow_from_the_measured_costs():
    def number(cell):
        return float(cell.replace(',', ''))

    def step(units, batch, n, rate, delay=0.0, share=1.0):
        MB, a, c, m, t, _ = costs[units]
        wire = (n > 1) * (2 * (n - 1) * 8.37 * MB / rate + 2 * delay)
        return (a + c * batch / n + m) * share + t * (n - 1) + wire

    def check(cell, expected):
        predicted, measured, error = map(number, re.fullmatch(
            r'(.*) / (.*), (.*)%', cell).groups())
        assert predicted == pytest.approx(expected, rel=0.006)
        assert error == pytest.approx(100 * (measured / expected - 1), abs=1)

    _, found, epochs, checked, delayed = (table[2:] for table in tables(
        ROOT / 'docs' / 'several-machines.md'))
    costs = {units: row for units, *row in (map(number, row)
                                            for row in found)}
    for row in epochs:
        units, batch, alone, n, *shown = map(number, row)
        _, a, c, *_, e = costs[units]
        steps = -(-60000 // batch)
        expected = [steps * step(units, batch, n, rate, 0.05) + e / n
                    for rate in (0.1, 1, 10, 100)]
        expected.append(steps * (a + c * batch) + e)
        assert [*shown, alone] == pytest.approx(
            [ms / 1000 for ms in expected], rel=0.006)
    for row in checked:
        units, batch, n = map(number, row[:3])
        for rate, cell in zip((float('inf'), 0.1, 1, 10), row[3:]):
            if cell:
                check(cell, step(units, batch, n, rate, 0, max(1, n / 2)))
    for rate, *row in delayed:
        for delay, cell in zip((0, 1, 10, 20), row):
            if cell:
                check(cell, step(256, 256, 2, number(rate), delay))
