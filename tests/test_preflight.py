"""Where the chapter cannot run, one sentence says so and the way out."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest
from gluon_mlp.machine import preflight
from gluon_mlp.machine.preflight import Machine

HOPELESS = {
    'Windows': (Machine('Windows', 'AMD64', libc=''), ['Windows', 'WSL']),
    'Mac, Arm': (Machine('Darwin', 'arm64', libc=''),
                 ['Arm', 'docker run', 'mxnet-2.0.0.zombie.1', 'not tried']),
    '32 bits': (Machine(bits=32), ['32 bits', 'Python 3.11']),
    'Alpine': (Machine(libc=''), ['musl', 'Debian']),
    'Alpine, newer Python': (Machine(libc='musl'), ['musl', 'docker run']),
    'RISC-V': (Machine(processor='riscv64'), ['riscv64', 'x86-64']),
    'Python 3.8': (Machine(python=(3, 8)),
                   ['3.8', 'make PYTHON=python3.11']),
    'Python 3.14': (Machine(python=(3, 14)),
                    ['3.14', 'uv python install 3.11', 'pyenv install 3.11']),
    'no libgomp': (Machine(missing=('libgomp.so.1',)),
                   ['libgomp.so.1', 'apt-get install -y libgomp1 (']),
    'no library and no venv': (
        Machine(python=(3, 12), has_venv=False,
                missing=('libgomp.so.1', 'libquadmath.so.0')),
        ['apt-get update && apt-get install -y libgomp1 libquadmath0 '
         'python3.12-venv']),
}


@pytest.mark.parametrize('machine, words', HOPELESS.values(), ids=HOPELESS)
def test_sentence_and_exit_code(machine, words, monkeypatch, capsys):
    monkeypatch.setattr(preflight, 'this_machine', lambda: machine)
    assert preflight.main() == 1
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('error: ') and err.count('\n') == 1
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize('python', [(3, 9), (3, 10), (3, 11), (3, 12)])
def test_silent_where_all_is_well(python, monkeypatch, capsys):
    monkeypatch.setattr(preflight, 'this_machine',
                        lambda: Machine(python=python))
    assert preflight.main() == 0
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('machine, words', [
    (Machine(python=(3, 13)), 'experimental'),
    (Machine('Darwin', 'x86_64', libc=''), 'not tried'),
    (Machine(processor='aarch64', missing=('libquadmath.so.0',)),
     'not tried')])
def test_what_may_do_is_let_through_with_a_note(machine, words, monkeypatch,
                                                capsys):
    monkeypatch.setattr(preflight, 'this_machine', lambda: machine)
    assert preflight.main() == 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize('machine', [
    Machine('Darwin', 'arm64', libc='', python=(3, 12)),
    Machine(processor='riscv64')])
def test_another_mxnet_may_have_a_wheel(machine, monkeypatch, capsys):
    """The user names it; what else is wrong is told all the same."""
    monkeypatch.setattr(preflight, 'this_machine', lambda: machine)
    assert preflight.main('mxnet-2.0.0-cp312-macosx_11_0_arm64.whl') == 0
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('note: ') and err.count('\n') == 1
    assert preflight.problem(machine._replace(python=(3, 8)), '2.0.0')


def test_a_library_that_is_not_there_is_missing(monkeypatch):
    monkeypatch.setattr(preflight, 'LIBRARIES', {
        'libc.so.6': 'libc6', 'libnowhere.so.9': 'libnowhere9'})
    assert preflight.this_machine().missing == ('libnowhere.so.9',)


def test_what_debian_leaves_out_of_python_is_missed(monkeypatch):
    """Debian's Python without python3-venv has venv, but no ensurepip."""
    find_spec = preflight.importlib.util.find_spec
    monkeypatch.setattr(preflight.importlib.util, 'find_spec', lambda name: (
        None if name == 'ensurepip' else find_spec(name)))
    assert not preflight.this_machine().has_venv


def test_this_machine_passes_alone_and_with_the_standard_library_only():
    ran = subprocess.run([sys.executable, '-I', '-S', preflight.__file__],
                         capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, '')


def test_python_3_6_can_read_it():
    ast.parse(Path(preflight.__file__).read_text(), feature_version=(3, 6))
