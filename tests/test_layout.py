"""The house: its rooms and arrows, and one slug for each section.

A room is a module of the package, or a package in it with all its modules.
"""
import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from gluon_mlp.exercises import exercises
from gluon_mlp.sections import SECTIONS, find

ROOT = Path(__file__).resolve().parent.parent
SLUGS = [section.slug for section in SECTIONS]


def files(folder):
    """Its Python files by dotted name, and a package's under its own."""
    return {'.'.join(path.relative_to(ROOT).with_suffix('').parts
                     ).replace('.__init__', ''): path
            for path in sorted((ROOT / folder).rglob('*.py'))}


FILES = {**files('gluon_mlp'), **files('chapters')}
ALL = {**FILES, **files('tests')}
SCRIPTS = [name for name in FILES if name.startswith('chapters.')]

COMMANDS = {'__main__', 'bench', 'compare', 'doctor', 'exercises'}
BELOW = {'gluon_mlp', 'd2l', 'errors', 'experiment', 'files', 'machine',
         'run', 'sections', *SLUGS}
# Where the imports of each room may lead.
ALLOWED = {
    'chapters': BELOW,
    **dict.fromkeys(COMMANDS, BELOW | COMMANDS),
    'run': {'d2l', 'errors', 'experiment', 'files', 'machine', 'sections'},
    **dict.fromkeys(SLUGS, {'d2l', 'errors', 'experiment', 'files', *SLUGS}),
    'd2l': {'errors', 'experiment', 'files', 'machine'},
    'files': {'errors'},
    'gluon_mlp': {'errors', 'machine'},  # its __init__
    **dict.fromkeys(['errors', 'experiment', 'machine', 'sections'], set()),
}
UPSTAIRS = {'gluon_mlp.run.checkpoint', 'gluon_mlp.run.workers',
            'gluon_mlp.run.launch'}
# The book's own code. Its package looks for GPUs when it is imported.
BOOKS = {name for name in FILES if name.endswith('book')}
# Distributions whose name is not that of what they bring.
DISTRIBUTIONS = {'PIL': 'pillow', 'cpuinfo': 'py-cpuinfo',
                 'matplotlib_inline': 'matplotlib-inline'}


@cache
def tree(name):
    return ast.parse(ALL[name].read_text())


@cache
def imported(name):
    """What a file imports: pairs of a name in it and what that stands for.

    The imports in functions count, too, after those of the module.
    """
    pairs = []
    package = name if ALL[name].name == '__init__.py' else (
        name.rpartition('.')[0])
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            pairs += [(alias.asname or alias.name, alias.name)
                      for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split('.')[:1 - node.level or None]
            parts = above * bool(node.level) + [node.module] * bool(
                node.module)
            pairs += [(alias.asname or alias.name,
                       '.'.join([*parts, alias.name]))
                      for alias in node.names]
    return pairs


def named(name):
    """The project's files that a file imports by their names."""
    found = {target if target in FILES else target.rpartition('.')[0]
             for _, target in imported(name)}
    return found & set(FILES) - {name}


@cache
def imports(name):
    """The project's files that a file may import."""
    families = [family(name, call.args[0])
                for call in calls(name, 'import_module')]
    return named(name).union(*families) - {name}


def calls(name, function):
    """The calls of a function in a file, as `f(...)` or `module.f(...)`."""
    return [node for node in ast.walk(tree(name))
            if isinstance(node, ast.Call) and function == getattr(
                node.func, 'attr', getattr(node.func, 'id', None))]


def family(name, argument):
    """The files that an `import_module` may import: by how its name begins.

    Straight below the package these are the sections, named by their slug.
    """
    first = getattr(argument, 'values', [argument])[0]
    assert isinstance(first, ast.Constant), f'{name}: import_module of what?'
    start = name + first.value if first.value[0] == '.' else first.value
    if start == 'gluon_mlp.':
        return {f'gluon_mlp.{slug}' for slug in SLUGS}
    return {target for target in FILES if target.startswith(start)}


def room(name):
    return name.split('.')[1] if name.startswith('gluon_mlp.') else (
        name.split('.')[0])


@cache
def house():
    """The rooms that each room's imports lead to."""
    rooms = {room(name): set() for name in FILES}
    for name in FILES:
        rooms[room(name)] |= {room(target) for target in imports(name)}
    return {name: targets - {name} for name, targets in rooms.items()}


def reached(name):
    """All of the project that importing a file may import, and itself."""
    found, left = set(), [name]
    while left:
        new = left.pop()
        if new not in found:
            found.add(new)
            parents = [new.rsplit('.', i)[0]
                       for i in range(1, new.count('.') + 1)]
            left += [*imports(new), *(p for p in parents if p in FILES)]
    return found


def test_every_arrow_leads_where_it_may():
    assert {name: targets - ALLOWED[name] for name, targets in house().items()
            if targets - ALLOWED[name]} == {}


def test_sections_seldom_import_one_another():
    arrows = [(name, target) for name in SLUGS
              for target in house()[name] & set(SLUGS)]
    assert len(arrows) <= 3, arrows


def test_the_house_has_few_rooms_few_floors_and_no_circle():
    """A room's floor is one above the highest room that it leads to."""
    floors = {}
    # Raises CycleError for a circle.
    for name in TopologicalSorter(house()).static_order():
        floors[name] = 1 + max(map(floors.get, house()[name]), default=0)
    assert len(floors) - len(SLUGS) <= 14
    assert max(floors.values()) <= 8


def test_checkpoints_and_workers_are_not_reached_from_below():
    """Neither directly nor through others: they plug in from above."""
    below = [name for name in FILES if room(name) in {'d2l', *SLUGS}]
    assert {name: reached(name) & UPSTAIRS
            for name in [*below, 'gluon_mlp.run.device']
            if reached(name) & UPSTAIRS} == {}


def test_the_books_code_has_a_process_of_its_own():
    """It runs on an MXNet that this project has not touched."""
    assert {name for name in FILES if named(name) & BOOKS} <= BOOKS


def rebound(name):
    """The globals that a file binds at run time: its own, or another's."""
    found = {own for node in ast.walk(tree(name))
             if isinstance(node, ast.Global) for own in node.names}
    modules = {local for local, target in imported(name)
               if target in FILES}
    for node in ast.walk(tree(name)):
        if (isinstance(node, ast.Attribute)
                and not isinstance(node.ctx, ast.Load)
                and ast.unparse(node.value) in modules):
            found.add(ast.unparse(node))
    for call in [*calls(name, 'setattr'), *calls(name, 'delattr')]:
        if ast.unparse(call.args[0]) in modules:
            found.add(ast.unparse(call))
    return found


def test_only_the_current_experiment_is_rebound():
    """No other global of the project's modules changes at run time."""
    assert {name: rebound(name) for name in FILES if rebound(name)} == {
        'gluon_mlp.experiment': {'current'}}


@pytest.mark.parametrize('function, most', [
    ('train_ch3', 14), ('train_epoch_ch3', 20), ('sgd', 3)])
def test_the_loop_is_about_as_long_as_the_books(function, most):
    """Lines of code in its body: no docstring, comment or empty line."""
    path = FILES['gluon_mlp.d2l.training']
    found, = (node for node in tree('gluon_mlp.d2l.training').body
              if getattr(node, 'name', None) == function)
    body = found.body[1:] if ast.get_docstring(found) else found.body
    lines = path.read_text().splitlines()[body[0].lineno - 1:found.end_lineno]
    code = [line for line in lines if not re.match(r'\s*(#|$)', line)]
    assert len(code) <= most, '\n'.join(code)


def requirements():
    """The names of the distributions that the project asks for."""
    return {re.split(r'[=<>, ;]', line)[0].lower()
            for path in ROOT.glob('requirements*.txt')
            for line in path.read_text().splitlines()}


def distribution(dotted):
    """The distribution that brings a module, as a rule of its name."""
    name = dotted.partition('.')[0]
    return DISTRIBUTIONS.get(name, name.lower())


@pytest.mark.skipif(sys.version_info < (3, 10), reason='Python 3.9 has no '
                    'list of its own modules to tell them from others')
def test_every_import_is_in_the_requirements():
    """So none of them hangs on what another package happens to bring."""
    ours = {'gluon_mlp', *(path.stem for path in ALL.values())}
    needed = {distribution(target) for name in ALL
              for _, target in imported(name)
              if target.partition('.')[0] not in
              {*sys.stdlib_module_names, *ours}}
    assert {'ipython', 'numpy', 'py-cpuinfo', 'pytest'} <= needed
    assert needed <= requirements()


def declared(table):
    """The names of the distributions in a part of pyproject.toml."""
    text = (ROOT / 'pyproject.toml').read_text()
    part = re.search(table + r'(.*?)\n(?:\[|\]\n)', text, re.S)[1]
    return set(re.findall(r'"([\w-]+)', part)) - {'gluon_mlp'}


@pytest.mark.skipif(sys.version_info < (3, 10), reason='Python 3.9 has no '
                    'list of its own modules to tell them from others')
def test_pip_install_brings_what_the_scripts_need():
    """All but compare, bench and notebooks: extras bring the rest."""
    base = declared(r'\ndependencies = \[\n')
    assert {'mxnet', 'numpy', 'typer'} <= base
    for extras, rooms in [(set(), {'compare', 'bench'}),
                          (declared('optional-dependencies]'), set())]:
        needed = {distribution(target) for name in FILES
                  if room(name) not in rooms
                  and (extras or name != 'gluon_mlp.run.notebooks')
                  for _, target in imported(name)
                  if target.partition('.')[0] not in
                  {*sys.stdlib_module_names, 'gluon_mlp'}}
        # Notebooks have IPython; torch is for those who want it.
        assert needed - base - extras <= {'ipython', 'matplotlib-inline',
                                          'torch', 'pillow'}


def test_the_requirements_pin_all_that_pip_may_install():
    pinned = {re.split('[= ]', line)[0] for line in
              (ROOT / 'constraints.txt').read_text().splitlines()}
    names = (declared(r'\ndependencies = \[\n')
             | declared('optional-dependencies]'))
    assert {name.lower() for name in names} <= pinned


def test_every_section_has_module_script_and_test():
    """And the other way round: no script is without a section."""
    assert SCRIPTS == sorted(f'chapters.{slug}' for slug in SLUGS)
    assert {f'gluon_mlp.{slug}' for slug in SLUGS} <= set(FILES)
    assert {f'tests.test_{slug}' for slug in SLUGS} <= set(ALL)


def test_a_section_is_found_by_its_number_and_by_its_slug():
    assert find('4.3') is find('mlp_concise') is SECTIONS[2]
    last = SECTIONS[-1].number
    with pytest.raises(ValueError, match=f'4.1 to {last} and named mlp, '):
        find('4.99')


def test_the_package_lists_its_packages():
    """Else an installed copy would lack some."""
    packages = {name for name, path in FILES.items()
                if path.name == '__init__.py'}
    listed = re.search(r'^packages = \[(.*?)\]',
                       (ROOT / 'pyproject.toml').read_text(), re.M | re.S)
    assert set(re.findall('"(.*?)"', listed[1])) == {
        *packages, 'gluon_mlp.chapters'}  # where pip puts the scripts


def test_the_makefile_runs_the_sections_in_their_order():
    """It reads them from the file, before there is any environment."""
    ran = subprocess.run(
        ['make', '--no-print-directory', '-n', *SLUGS, 'VENV=/none'],
        cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.findall(r'chapters/(\w+)\.py', ran.stdout) == SLUGS
    named = subprocess.run(['make', 'help'], cwd=ROOT, capture_output=True,
                           text=True, check=False)
    assert ' '.join(SLUGS) in named.stdout


def test_a_section_is_made_with_the_base_and_any_mxnet():
    """Without the tools; `make env` brings these, too."""
    printed = {target: subprocess.run(
        ['make', '--no-print-directory', '-n', target, 'VENV=/none',
         'MXNET=a b.whl'], cwd=ROOT, capture_output=True, text=True,
        check=True).stdout for target in ('4.3', 'env')}
    assert printed['4.3'].endswith('-m gluon_mlp run 4.3\n')
    for commands in printed.values():
        assert "preflight.py 'a b.whl'\n" in commands
        assert "-c /none-new/constraints 'a b.whl' -e .\n" in commands
        assert "sed '/^mxnet==/d' constraints.txt" in commands
    assert 'requirements.txt' not in printed['4.3']
    assert 'requirements.txt' in printed['env']


def test_exercises_are_of_the_sections_in_their_order():
    """Each file of exercises is a section's, and all of them are found."""
    answered = {name.rpartition('.')[2] for name in FILES if name.startswith(
        'gluon_mlp.exercises.')} - {'common', 'stored'}
    assert answered <= set(SLUGS)
    numbers = [number.rpartition('.')[0] for number in exercises()]
    assert list(dict.fromkeys(numbers)) == [
        s.number for s in SECTIONS if s.slug in answered]


def test_the_published_numbers_are_as_many_as_each_section_says():
    """A null is a point outside the figure."""
    for path in (ROOT / 'gluon_mlp/compare/printings').glob('*.json'):
        numbers = json.loads(path.read_text())['numbers']
        counts = {slug: sum(np.isfinite(np.array(values, float)).sum()
                            for values in numbers.get(slug, {}).values())
                  for slug in SLUGS}
        assert {s.slug: s.published for s in SECTIONS} == counts


def fresh_process(code, modules, home):
    """Run `code` with the names of the modules as its arguments."""
    return subprocess.run([sys.executable, '-c', code, *modules], text=True,
                          capture_output=True, check=False, cwd=ROOT,
                          env={**os.environ, 'MXNET_HOME': str(home)})


def modules():
    """All but `__main__` and what runs in a process of its own."""
    return sorted(name for name in FILES if name.startswith('gluon_mlp.')
                  and not name.endswith('__') and name not in BOOKS)


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


@pytest.mark.slow
@pytest.mark.mxnet
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


@pytest.mark.slow
@pytest.mark.mxnet
def test_imports_compute_nothing_and_load_nothing(tmp_path):
    """No operator runs, no array is made, no GPU and no file looked for."""
    ran = fresh_process(FORBID, modules(), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_scripts_import_the_options_first():
    """From then on Ctrl-C ends in one line, and MXNet has its settings."""
    first = {name: next(target for _, target in imported(name)
                        if distribution(target) in
                        {'gluon_mlp', *requirements()}) for name in SCRIPTS}
    assert [name for name, target in first.items()
            if not target.startswith('gluon_mlp.run.options')] == []


def test_scripts_have_lines_of_78_columns():
    assert [line for name in SCRIPTS
            for line in FILES[name].read_text().splitlines()
            if len(line) > 78] == []


QUICK = """
import os, subprocess, sys
import pytest
from mxnet import autograd, np

@pytest.fixture(scope='session')
def started():
    os.system('true')

def gradients(n):
    x = np.ones(2)
    x.attach_grad()
    for _ in range(n):
        with autograd.record():
            y = (x * x).sum()
        y.backward()
    return x.grad

def begin():
    with open('begun', 'a') as file:
        file.write('begun')

def test_process():
    begin()
    try:
        subprocess.run([sys.executable, '-c', ''], check=True)
    except Exception:
        assert False, 'not to be caught'

def test_process_of_a_fixture(started):
    pass

def test_training():
    begin()
    gradients(11)

def test_gradients():
    assert gradients(10).tolist() == [2, 2]
"""


def test_quick_skips_processes_and_trainings(tmp_path):
    """They are found by what they do, and each reason is printed.

    They are not begun again until their file changes.
    """
    file, begun = tmp_path / 'test_it.py', []
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    for text in QUICK, QUICK, QUICK + '#':
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        ran = subprocess.run(
            [sys.executable, '-m', 'pytest', '--quick', '-rs', '-p',
             'conftest', f'--rootdir={tmp_path}', file], cwd=tmp_path,
            check=False, capture_output=True, text=True,
            env={**os.environ, 'PYTHONPATH': path})
        assert '= 1 passed, 3 skipped' in ran.stdout, ran.stdout
        assert 'not quick: it starts a process' in ran.stdout
        assert 'not quick: it trains' in ran.stdout
        begun.append((tmp_path / 'begun').read_text().count('begun'))
    assert begun == [2, 2, 4]
