"""Whatever a file or a command line holds, it is read right or refused.

Hypothesis makes the cases: files that are damaged in one to three places, of
right checksum, and command lines of the known options with any values.
"""
import contextlib
import importlib
import io
import json
import operator
import os
import re
from functools import reduce

import numpy as onp
import pytest
from conftest import ROOT
from gluon_mlp import experiment, sections
from gluon_mlp.bench import report
from gluon_mlp.compare import agreement, printings
from gluon_mlp.d2l.training import Updater
from gluon_mlp.errors import ChapterError, CheckpointError, DataError
from gluon_mlp.run import checkpoint, options
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from mxnet import gluon, np
from mxnet.gluon import nn
from scripts import command_here, script_here

pytestmark = pytest.mark.slow
CASES = 10_000  # of each kind
ANY_TIME = settings(deadline=None, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck))
NUMBERS = st.one_of(
    st.integers(-3, 700), st.floats(), st.booleans(), st.none(),
    st.sampled_from([10 ** 9, -2 ** 31, 2 ** 31, 2 ** 63, 10 ** 400, 1e308]))
JSON = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6)
REMOVED = object()


def places(value, path=()):
    """The paths of all that is in `value`: lists and dictionaries."""
    items = (value.items() if isinstance(value, dict) else
             enumerate(value) if isinstance(value, list) else ())
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def damaged(document):
    """The document with one to three values replaced or removed."""
    text, every = json.dumps(document), sorted(places(document), key=str)
    change = st.tuples(st.sampled_from(every),
                       st.one_of(st.just(REMOVED), JSON))
    return st.lists(change, min_size=1, max_size=3).map(
        lambda changes: changed(text, changes))


def changed(text, changes):
    """What the JSON says after these changes; without a place, none."""
    document = json.loads(text)
    for (*path, key), value in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            parent = reduce(operator.getitem, path, document)
            if value is REMOVED:
                del parent[key]
            else:
                parent[key] = value
    return document


def run_cases(cases, strategy, check):
    """Run `check` on `cases` examples: it returns 'right' or 'refused'.

    Both must occur, or else the cases would be too wild or too tame.
    """
    count = dict.fromkeys(['right', 'refused'], 0)

    def counted(example):
        count[check(example)] += 1
    settings(ANY_TIME, max_examples=cases)(given(strategy)(counted))()
    assert all(count.values()) and sum(count.values()) >= 0.9 * cases


# Checkpoints

def concise():
    net = nn.Dense(2, in_units=3)
    net.initialize()
    return gluon.Trainer(net.collect_params(), 'sgd',
                         {'learning_rate': 0.1, 'momentum': 0.9})


def scratch():
    return Updater([np.ones((3, 2)), np.zeros(2)], 0.1)


def saved(updater, path):
    """The JSON and the arrays of a checkpoint after two epochs."""
    if isinstance(updater, gluon.Trainer):
        checkpoint._initialize(updater, [a.data().asnumpy() for a in
                                         updater._params], [2, 2])
    state, history = checkpoint._begin(path, {'seed': 0, 'data': None},
                                       False, False), []
    for epoch in state.epochs(2, history, updater):
        history.append((epoch, 0.5, 0.25))
    digest, _, data = path.read_bytes().partition(b'\n')
    with onp.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    return json.loads(arrays.pop('json').tobytes()), arrays


def write(path, document, arrays):
    """Write a checkpoint of right checksum."""
    buffer = io.BytesIO()
    text = json.dumps(document).encode()
    onp.savez(buffer, json=onp.frombuffer(text, 'uint8'), **arrays)
    data = buffer.getvalue()
    path.write_bytes(checkpoint._digest(data) + data)


ANY_ARRAY = arrays_of.arrays(
    st.sampled_from(['float32', 'float64', 'uint32', 'int64', 'U3', 'bool']),
    st.one_of(st.sampled_from([(3, 2), (2, 3), (2,), (624,), ()]),
              arrays_of.array_shapes(max_dims=3, max_side=4)))


@pytest.mark.parametrize('make', [scratch, concise])
def test_a_damaged_checkpoint_is_refused_or_restored_as_it_is(
        make, tmp_path, capsys):
    """What is accepted is the state: history, weights, NumPy's stream."""
    path = tmp_path / 'x.checkpoint'
    document, arrays = saved(make(), path)
    some = st.dictionaries(st.sampled_from(sorted(arrays)), ANY_ARRAY,
                           max_size=1)

    def check(example):
        document, others = example
        write(path, document, {**arrays, **others})
        before, history, updater = onp.random.get_state(), [], make()
        try:
            resumed = checkpoint._begin(path, {'seed': 0, 'data': None},
                                        True, False)
            for _ in resumed.epochs(10 ** 6, history, updater):
                break
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1
            return 'refused'
        finally:
            now = onp.random.get_state()
            onp.random.set_state(before)
        if not resumed.trainings:
            assert history == []
            return 'right'
        onp.random.set_state(now)
        training = resumed.trainings[0]
        state = checkpoint._state(training.epoch, history, updater)
        onp.random.set_state(before)
        assert history == [tuple(row) for row in training.history]
        assert state.numpy == [*training.numpy]
        for a, b in zip(state.arrays, training.arrays):
            onp.testing.assert_array_equal(a, b)
        return 'right'
    with experiment.use():
        run_cases(CASES // 2, st.tuples(st.one_of(
            st.just(document), damaged(document)), some), check)


def test_any_bytes_of_right_checksum_are_no_checkpoint(tmp_path):
    path = tmp_path / 'x.checkpoint'

    @settings(ANY_TIME, max_examples=CASES)
    @given(st.one_of(st.binary(), st.binary().map(lambda b: b'PK\3\4' + b)))
    def check(data):
        path.write_bytes(checkpoint._digest(data) + data)
        with pytest.raises(CheckpointError, match='is damaged'):
            checkpoint._load(path, {})
    check()


# Results of bench, and printings

BENCH = {'schema': 2, 'about': {'mxnet': '1.9.1', 'date': '2026-01-01'},
         'results': [
             {'kind': kind, 'what': 'an epoch', 'part': None, 'who': who,
              'beside': beside, 'times': [1.0, 2.0, 3.0], 'median': 2.0,
              'q1': 1.5, 'q3': 2.5, 'first': 4.0, 'peak_mb': 500.0}
             for kind, who, beside in (('epoch', 'ours', None),
                                       ('load', 'PyTorch', 1))]}


def test_a_damaged_bench_json_is_refused_or_compared(tmp_path,
                                                     capsys):
    path = tmp_path / 'x.json'

    def check(document):
        path.write_text(json.dumps(document))
        try:
            old = report.read_json(path)
        except ChapterError as error:
            assert str(error) == f'{path} is no bench.json of this version'
            return 'refused'
        report.print_against(BENCH, old)
        out = capsys.readouterr().out
        assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f]', out)
        return 'right'
    run_cases(CASES, damaged(BENCH), check)


def test_a_damaged_printing_is_refused_or_compared(tmp_path):
    path = tmp_path / 'mine.json'
    numbers = json.loads((printings.FOLDER / f'{printings.NAMES[0]}.json'
                          ).read_text())['numbers']
    document = {'about': {'book': 'mine'}, 'numbers': {
        slug: numbers[slug] for slug in ('weight_decay', 'mlp_concise')}}
    whats = [q.what for q in printings.load(printings.NAMES[0]).quantities(
        'weight_decay')]
    ours = [{what: numbers['weight_decay'][what] for what in whats}] * 3

    def check(document):
        path.write_text(json.dumps(document))
        try:
            printing = printings.load(path)
        except DataError as error:
            assert str(error).startswith(f'printing {path}: ')
            return 'refused'
        tests = agreement.test_section(
            {q.what: {'mine': q}
             for q in printing.quantities('weight_decay')}, ours)
        assert agreement.verdict(tests) in (
            'agrees', 'differs', 'too wide to tell')
        return 'right'
    run_cases(CASES, damaged(document), check)


# Command lines

TEXT = st.text(st.characters(exclude_characters='\0'), max_size=6)
VALUES = st.one_of(NUMBERS.map(str), TEXT, st.sampled_from(
    ['', '--', '-h', '/', '.', 'nan', '1e400', '0x10', '1_000', '\u0663',
     '[/b]', '\x1b[31m', 'png', 'gpu', '4.3', 'mlp', 'a' * 300]))


def words(known):
    """Command lines of the `known` options, each with any value or none."""
    return st.lists(st.one_of(
        st.tuples(st.sampled_from(known), VALUES), VALUES.map(lambda v: (v,)),
        st.sampled_from(known).map(lambda name: (name,))), max_size=4).map(
            lambda pairs: [word for pair in pairs for word in pair])


def one_line(code, err, line):
    """Hold that a command line ended as it should; 'right' or 'refused'."""
    assert code in (0, 1, 2), line
    if code == 0:
        return 'right'
    assert re.fullmatch(r'error: [^\x00-\x1f\x7f]+\n', err), (line, err)
    return 'refused'


@pytest.mark.parametrize('slug', [s.slug for s in sections.SECTIONS])
def test_any_command_line_of_a_script(slug, monkeypatch, capsys,
                                      tmp_path):
    """Exit code 0, 1 or 2, and one line where it is not 0."""
    def accept(*args, **given):
        raise SystemExit
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, '_begin', accept)
    module = importlib.import_module(f'gluon_mlp.{slug}')
    known = ['--seed', '--device', '--output', '--format', '--show',
             '--book-only', '--checkpoint', '--resume', '--durable',
             '--history', *(
                 '--' + name.replace('_', '-') for name in options.OWN
                 if hasattr(module, name))]

    def check(line):
        code, _ = script_here(ROOT / 'chapters' / f'{slug}.py', *line)
        return one_line(code, capsys.readouterr().err, line)
    run_cases(CASES // len(sections.SECTIONS), words(known), check)


COMMANDS = {
    'compare': ['--section', '--printing', '--runs', '--quick', '--power',
                '--verbose', '--output'],
    'bench': ['--section', '--device', '--repeats', '--quick', '--output',
              '--against'],
    'exercise': ['--list', '--quick', '--output', '--format', '--seed'],
    'notebooks': ['--section', '--output'], 'doctor': ['--json'],
    'launch': ['--workers', '--servers', '--hosts'], 'run': ['--seed']}


@pytest.mark.parametrize('command', COMMANDS)
def test_any_command_line_of_a_tool(command, monkeypatch, capsys,
                                    tmp_path):
    """Likewise; what the tool would do then is left out."""
    def nothing(*args, **kwargs):
        return 0
    monkeypatch.chdir(tmp_path)
    for name in ('compare.command.compare', 'compare.power.power',
                 'bench.command.bench', 'run.notebooks.build',
                 'run.launch.launch', 'doctor.doctor',
                 'exercises.Exercise.run'):
        monkeypatch.setattr(f'gluon_mlp.{name}', nothing)
    monkeypatch.setattr(os, 'execve', nothing)

    def check(line):
        return one_line(command_here(command, *line),
                        capsys.readouterr().err, [command, *line])
    run_cases(CASES // len(COMMANDS), words(COMMANDS[command]), check)
