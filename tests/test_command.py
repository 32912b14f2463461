"""`gluon-mlp`: what its commands are called, and what they are given."""
import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from gluon_mlp import __main__, __version__, doctor, sections
from gluon_mlp.exercises import exercises
from gluon_mlp.run import launch
from gluon_mlp.sections import SECTIONS
from scripts import command_here, script_environment

LIGHT = [[], ['--help'], ['--version'], ['exercise', '--list'],
         ['run', '--help']]


@pytest.fixture
def execve(monkeypatch):
    """What would take the place of this process: its command line."""
    started = []
    monkeypatch.setattr(os, 'execve', lambda path, argv, env: started.append(
        [path, *argv]))
    return started


def test_alone_it_prints_the_help(capsys):
    assert command_here() == 0
    alone = capsys.readouterr().out
    for option in ('-h', '--help'):
        assert command_here(option) == 0
        assert capsys.readouterr() == (alone, '')
    assert re.findall('^  ([a-z]+) ', alone, re.M) == [
        'run', 'compare', 'notebooks', 'doctor', 'bench', 'launch',
        'exercise']


def test_version(capsys):
    assert command_here('--version') == 0
    assert capsys.readouterr() == (f'gluon-mlp {__version__}\n', '')


def test_a_wrong_command_is_one_line(capsys):
    """Python 3.9 has a click that suggests nothing."""
    assert command_here('exercize') == 2
    out, err = capsys.readouterr()
    assert out == '' and err.count('\n') == 1
    assert err.count('Did you mean') == (sys.version_info >= (3, 10))


@pytest.mark.parametrize('command', ['compare', 'bench', 'launch', 'exercise',
                                     'doctor', 'notebooks', 'run'])
def test_a_help_has_no_ranges(command, capsys):
    """An error says the range; each option has a text of its own."""
    assert command_here(command, '-h') == 0
    out, err = capsys.readouterr()
    assert '<=' not in out and '\x1b' not in out and err == ''
    texts = re.findall(r'^  (?:-h, )?--\S+ (?:\S+ )? *(\S.*)', out, re.M)
    assert len(texts) == len(set(texts)) > 0


@pytest.mark.parametrize('args, told', [
    (['exercise', '4.1.1', '--seed', '-1'], "'-1' is not an integer from 0"),
    (['compare', '--runs', '2'], "'2' is not an integer from 3 to 100"),
    (['launch', '--workers', '0', '4.3'], "'0' is not an integer from 1")])
def test_a_number_out_of_its_range_is_one_line(args, told, capsys):
    assert command_here(*args) == 2
    out, err = capsys.readouterr()
    assert out == '' and err.count('\n') == 1 and told in err


@pytest.mark.parametrize('name', ['4.3', 'mlp_concise'])
def test_run_starts_the_script_with_its_options(name, execve):
    assert command_here('run', name, '--num-epochs', 3, '--help') == 0
    (path, python, script, *options), = execve
    assert path == python == sys.executable
    assert os.path.samefile(script, ROOT / 'chapters' / 'mlp_concise.py')
    assert options == ['--num-epochs', '3', '--help']


def test_run_takes_no_other_section(execve, capsys):
    assert command_here('run', '4.99') == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and "no section '4.99'" in err
    assert execve == []


def test_run_becomes_the_script():
    """Its usage, its options, its exit code."""
    ran = subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'run', '4.10', '--help'],
        cwd=ROOT, env=script_environment(), capture_output=True, text=True,
        check=False)
    assert (ran.returncode, ran.stderr) == (0, '')
    assert ran.stdout.startswith('Usage: chapters/kaggle_house_price.py ')
    assert '--submission' in ran.stdout


def test_an_installed_script_is_in_the_package(tmp_path, monkeypatch):
    (tmp_path / 'gluon_mlp' / 'chapters').mkdir(parents=True)
    monkeypatch.setattr(sections, '__file__',
                        str(tmp_path / 'gluon_mlp' / 'sections.py'))
    assert sections.script(SECTIONS[0]) == (
        tmp_path / 'gluon_mlp' / 'chapters' / 'mlp.py')


@pytest.mark.parametrize('name', ['4.3', 'mlp_concise',
                                  ROOT / 'chapters' / 'mlp_concise.py'])
def test_launch_takes_a_section_or_a_file(name, monkeypatch):
    launched = []
    monkeypatch.setattr(launch, 'launch', lambda *args: launched.append(args))
    assert command_here('launch', '--workers', 3, name, '--seed', 1) == 0
    (((script, *options), *workers),) = launched
    assert os.path.samefile(script, ROOT / 'chapters' / 'mlp_concise.py')
    assert (options, workers) == (['--seed', '1'], [3, 1, ()])


@pytest.mark.parametrize('name, number', [
    ('4.3', 3), ('mlp_concise', 3), ('mlp_concise.2', 1), ('4.4.2', 3),
    ('4.4.2b', 1), ('4.1', 4), ('4.10', 6), ('mlp', 4)])
def test_exercises_by_number_and_by_slug(name, number, capsys):
    """4.1 stands for its own four, and not for those of 4.10."""
    assert command_here('exercise', name, '--list') == 0
    found = [line.split()[0] for line in
             capsys.readouterr().out.splitlines()]
    start = re.sub('mlp$', '4.1', name.replace('mlp_concise', '4.3'))
    assert found == [known for known in exercises()
                     if re.match(re.escape(start) + r'(\D|$)', known)]
    assert len(found) == number


@pytest.mark.parametrize('args', [('4.1.9',), ('x',), (), ('4',), ('4.3.',),
                                  ('4.1.9', '--list'), ('mlp_concise.',)])
def test_a_wrong_exercise_is_one_line_and_2(args, capsys):
    assert command_here('exercise', *args) == 2
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('error: ') and err.count('\n') == 1


def test_several_exercises_are_answered_in_turn(capsys, tmp_path):
    """Each as it is alone: from the same seed, to files of one format."""
    names = ['4.5.3', '4.5.4']
    alone = []
    for name in names:
        assert command_here('exercise', name, '--quick', '--output',
                            tmp_path) == 0
        alone.append(capsys.readouterr().out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('gluon_mlp.exercises.matching', lambda name: [
            exercises()[name] for name in names])
        assert command_here('exercise', '4.5', '--quick', '--format', 'svg',
                            '--output', tmp_path) == 0
    together = capsys.readouterr().out
    assert together == '\n'.join(alone).replace('.png', '.svg')
    path, = tmp_path.glob('*.svg')
    assert path.name == 'exercise_4_5_3.svg'
    assert '</svg>' in path.read_text()


def test_what_needs_no_mxnet_does_not_import_it(tmp_path):
    """So it answers in half a second."""
    (tmp_path / 'mxnet.py').write_text('raise SystemExit("imported")')
    code = ('import sys; from typer.testing import CliRunner\n'
            'from gluon_mlp.__main__ import app\n'
            f'print([CliRunner().invoke(app, args).exit_code for args in '
            f'{LIGHT}], {{"matplotlib", "pandas"}} & {{*sys.modules}})')
    ran = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
        check=False, env={**os.environ,
                          'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'})
    assert (ran.stdout, ran.stderr) == (f'{[0] * len(LIGHT)} set()\n', '')


def test_the_doctor_speaks_json(monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'examine', lambda: [
        doctor.Finding('data', 'is [gone]', 'make data'),
        doctor.Finding('Python', '3.11')])
    assert command_here('doctor', '--json') == 1
    assert json.loads(capsys.readouterr().out) == [
        {'what': 'data', 'found': 'is [gone]', 'mend': 'make data'},
        {'what': 'Python', 'found': '3.11', 'mend': ''}]


def test_the_shell_completes_commands_and_sections(monkeypatch, capsys):
    for line, words in [('gluon-mlp ru', ['run']),
                        ('gluon-mlp run mlp_', ['mlp_scratch',
                                                'mlp_concise']),
                        ('gluon-mlp compare --section 4.1', [
                            s.number for s in SECTIONS
                            if s.number.startswith('4.1')])]:
        monkeypatch.setenv('_GLUON_MLP_COMPLETE', 'complete_bash')
        monkeypatch.setenv('COMP_WORDS', line)
        monkeypatch.setenv('COMP_CWORD', str(len(line.split()) - 1))
        with pytest.raises(SystemExit) as end:
            __main__.main()
        assert not end.value.code
        assert capsys.readouterr().out.split() == words


def test_a_tool_that_is_not_installed_is_named(monkeypatch, capsys):
    """`pip install .` alone brings what the scripts need."""
    monkeypatch.delitem(sys.modules, 'gluon_mlp.compare.command',
                        raising=False)
    monkeypatch.setitem(sys.modules, 'psutil', None)
    assert command_here('compare') == 1
    err = capsys.readouterr().err
    assert err.startswith('error: psutil is not installed: make env ')
    assert err.count('\n') == 1
