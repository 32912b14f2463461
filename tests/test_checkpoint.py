"""Runs that were killed end, resumed, with the bits of a whole run."""
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys

import mxnet as mx
import numpy as onp
import pytest
from conftest import without_mxnets_log
from gluon_mlp import (
    dropout,
    environment,
    experiment,
    files,
    kaggle_house_price,
    mlp_concise,
    mlp_scratch,
    underfit_overfit,
    weight_decay,
)
from gluon_mlp.d2l import training
from gluon_mlp.d2l.data import load_array
from gluon_mlp.d2l.plotting import plt
from gluon_mlp.errors import ChapterError, CheckpointError
from gluon_mlp.run import checkpoint
from gluon_mlp.run.checkpoint import saving
from gluon_mlp.run.workers import Workers
from mxnet import gluon, init, np
from scripts import script_environment, script_here, start

DRAW = onp.random.RandomState(0)
IMAGES = DRAW.rand(20, 1, 28, 28).astype('float32')
LABELS = DRAW.randint(10, size=20).astype('int32')


# Each section as its script trains it, on little data. They return what the
# trainings leave behind: networks, histories, predictions.

def train_on_images(net, updater, num_epochs=3):
    return training.train_ch3(
        net, load_array((IMAGES, LABELS), 8),
        load_array((IMAGES[:9], LABELS[:9]), 8, is_train=False),
        gluon.loss.SoftmaxCrossEntropyLoss(), num_epochs, updater)


def concise(net, optimizer='sgd', **options):
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), optimizer,
                            {'learning_rate': 0.1, **options})
    history = train_on_images(net, trainer)
    return history, [p.data() for p in net.collect_params().values()]


def run_mlp_scratch():
    params = mlp_scratch.init_params()
    history = train_on_images(lambda X: mlp_scratch.net(X, params),
                              training.Updater(params, 0.1))
    return history, params


def run_mlp_concise():
    return concise(mlp_concise.get_net())


def run_momentum():  # no section's, but states of another form
    return concise(mlp_concise.get_net(), momentum=0.9, wd=0.01)


def run_underfit_overfit():
    _, X, y = underfit_overfit.get_data(30)
    return [underfit_overfit.train(X[:20, :columns], X[20:, :columns],
                                   y[:20], y[20:], num_epochs, batch_size=8)
            for columns, num_epochs in ((4, 3), (2, 3), (20, 4))]


def run_weight_decay():
    iters = weight_decay.load_data(12, 8, num_inputs=5)
    return [*(weight_decay.train(lambd, *iters, 5, num_epochs=6)
              for lambd in (0, 3)),
            *(weight_decay.train_concise(wd, *iters, num_epochs=6)
              for wd in (0, 3))]


def run_dropout():
    params = dropout.init_params()
    scratch = train_on_images(lambda X: dropout.net(X, params),
                              training.Updater(params, 0.5))
    net = dropout.get_net()
    history = concise(net)
    return [params, scratch, history, dropout.evaluate_certainty(
        net, load_array((IMAGES, LABELS), 8, is_train=False), 5)]


def run_environment():
    X, y = environment.covariate_data((0, 0), 30)
    nets = [environment.train_weighted(
        gluon.nn.Dense(2), X, y, np.ones(30),
        gluon.loss.SoftmaxCrossEntropyLoss(), 3, 0.1, 8) for _ in range(2)]
    return [(net.weight.data(), net.bias.data()) for net in nets]


def run_kaggle_house_price():
    X = np.random.normal(size=(20, 5))
    y = np.exp(np.random.normal(size=(20, 1)) + 10)
    return [kaggle_house_price.k_fold(2, X, y, 3, 5, 0.1, 6),
            kaggle_house_price.train_and_pred(X, X, y, 3, 5, 0.1, 6)]


SECTIONS = {name[4:]: function for name, function in globals().items()
            if name.startswith('run_')}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program catches it."""


def bits(a):
    """What tells arrays, numbers and their containers apart to the bit."""
    if isinstance(a, (list, tuple)):
        return type(a).__name__, [bits(element) for element in a]
    if hasattr(a, 'asnumpy'):
        a = a.asnumpy()
    if isinstance(a, onp.ndarray):
        return a.shape, str(a.dtype), a.tobytes()
    return repr(a)  # of a float: exact


def lines():
    """The points of all figures: what the animators show."""
    return [line.get_xydata() for number in plt.get_fignums()
            for line in plt.figure(number).axes[0].lines]


@pytest.fixture
def run(monkeypatch):
    """Run a section in a folder; what it left, and the next draws, in bits.

    With `saves`, it is killed behind so many saved epochs. The numbers of
    saved epochs are counted in `run.saved`.
    """
    save = checkpoint.Checkpoint.save

    def run(section, folder=None, resume=False, saves=None):
        def count(checkpoint):
            save(checkpoint)
            run.saved += 1
            if saves is not None and run.saved > saves:  # one is the start's
                raise Killed
        monkeypatch.setattr(checkpoint.Checkpoint, 'save', count)
        run.saved = 0
        plt.close('all')
        kept = (saving(folder, section, {'seed': 5}, resume) if folder
                else contextlib.nullcontext())
        # The names that networks get are those of a fresh process, too: a
        # trainer sorts its parameters by them, and dense10 before dense9.
        with contextlib.suppress(Killed), mx.name.NameManager(), kept:
            training.seed(5)
            return bits([SECTIONS[section](), lines(), onp.random.rand(3),
                         np.random.normal(size=3), np.random.uniform(size=3)])
        return None
    return run


@pytest.mark.parametrize('section', SECTIONS)
def test_resumed_run_has_the_bits_of_one_never_stopped(section, run,
                                                       tmp_path):
    """Weights, histories, plots, next draws: wherever it was killed."""
    whole = run(section, tmp_path / 'whole')
    assert run.saved == run_saves(section)
    for saves in (0, 1, run.saved // 2, run.saved - 1):
        folder = tmp_path / str(saves)
        assert run(section, folder, saves=saves) is None
        assert run(section, folder, resume=True) == whole
        assert run.saved == run_saves(section) - saves


def run_saves(section):
    """The saves of a whole run: its epochs, and one at the start."""
    return {'mlp_scratch': 3, 'mlp_concise': 3, 'momentum': 3,
            'underfit_overfit': 10, 'weight_decay': 24, 'dropout': 6,
            'environment': 6, 'kaggle_house_price': 9}[section] + 1


@pytest.mark.parametrize('section', ['dropout', 'kaggle_house_price'])
def test_killed_after_every_epoch(section, run, tmp_path):
    """A run of which each process lives for one epoch ends the same."""
    whole = run(section, tmp_path / 'whole')
    end = run(section, tmp_path, saves=1)
    while end is None:
        end = run(section, tmp_path, resume=True, saves=1)
    assert end == whole
    assert run(section, tmp_path, resume=True) == whole  # trains nothing
    assert run.saved == 1


@pytest.mark.parametrize('section', sorted(set(SECTIONS) - {'dropout'}))
def test_saving_changes_no_number(section, run, tmp_path):
    """But for dropout, whose masks are others.

    Nor does it change what is drawn afterwards, where no draws are declared.
    """
    (_, kept), (_, plain) = run(section, tmp_path), run(section)
    if 'mlp' in section or section == 'momentum':
        kept, plain = kept[:3], plain[:3]
    assert kept == plain


def epochs(num_epochs, params=None, history=None, draws=False):
    """The epochs of a training that changes `params`, one by one."""
    return experiment.current.epochs(
        num_epochs, [] if history is None else history,
        training.Updater(params or [np.ones(1)], 0.1), draws)


def test_masks_differ_between_epochs_and_trainings(tmp_path):
    """MXNet's stream does not restart from the same place twice."""
    draws = []
    with saving(tmp_path, 'dropout', {'seed': 0}):
        for _ in range(2):
            for _ in epochs(3, draws=True):
                draws.append(float(np.random.uniform()))
    assert len(set(draws)) == 6


SETTINGS = {'seed': 0, 'lr': 0.1}


@pytest.fixture
def saved(tmp_path):
    """The file of a run of two epochs, and what `saving` says to others."""
    history = []
    with saving(tmp_path, 'section', SETTINGS):
        for epoch in epochs(2, [np.zeros(3), np.ones((2, 2))], history):
            history.append((epoch, 0.5))
    return tmp_path / 'section.checkpoint'


def refusal(folder, section='section', **settings):
    """The one line with which a resumed run is refused."""
    with pytest.raises(CheckpointError) as error, saving(
            folder, section, {**SETTINGS, **settings}, resume=True):
        pass
    assert '\n' not in str(error.value)
    return str(error.value)


def test_truncated_file_is_refused(saved):
    """At whatever length: a half-written file names itself."""
    whole = saved.read_bytes()
    for length in [0, 1, 64, 65, 66, *range(100, len(whole), 97),
                   len(whole) - 1]:
        saved.write_bytes(whole[:length])
        assert f'{saved} is damaged' in refusal(saved.parent)


def test_flipped_bit_is_refused(saved):
    """Wherever it is: in the checksum, the zip's own bytes, an array."""
    whole = saved.read_bytes()
    for position in [*range(200), *range(200, len(whole), 41)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        saved.write_bytes(flipped)
        assert f'{saved} is damaged' in refusal(saved.parent)


@pytest.mark.parametrize('settings', [
    {'lr': 0.2}, {'seed': 1}, {'lr': 1}, {'batch_size': 8},
    {'device': 'gpu'}], ids=str)
def test_other_settings_are_named(saved, settings):
    """The refusal names what differs, with both values, and no more."""
    (name, value), = settings.items()
    old = {'seed': 0, 'lr': 0.1}.get(name)
    assert refusal(saved.parent, **settings) == (
        f'{saved} is of another run: {name} {old}, here {value}')


def test_other_section_is_named(saved):
    """Another section's file does not pass for ours under our name."""
    saved.rename(saved.with_name('other.checkpoint'))
    assert refusal(saved.parent, 'other').endswith(
        'is of another run: section section, here other')
    assert 'there is no ' in refusal(saved.parent)


def test_other_versions_are_named(saved, monkeypatch):
    """What rounds otherwise cannot end with the same bits."""
    monkeypatch.setenv('OMP_NUM_THREADS', '77')
    monkeypatch.setenv('MXNET_OMP_MAX_THREADS', '66')  # which prevails
    monkeypatch.setattr(mx, '__version__', '3.0')
    message = refusal(saved.parent)
    assert 'OMP_NUM_THREADS' in message and ', here 77' in message
    assert 'MXNET_OMP_MAX_THREADS None, here 66' in message
    assert 'mxnet ' in message and ', here 3.0' in message


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('name', ['json', '0_0', '0_1'])
def test_pickled_array_is_refused_and_not_run(saved, tmp_path, name):
    """A file made on purpose, its checksum right, runs no code."""
    with onp.load(io.BytesIO(saved.read_bytes()[65:])) as file:
        arrays = dict(file)
    arrays[name] = onp.array([Trap(tmp_path / 'run')], dtype=object)
    buffer = io.BytesIO()
    onp.savez(buffer, **arrays)
    saved.write_bytes(checkpoint._digest(buffer.getvalue())
                      + buffer.getvalue())
    assert 'is damaged' in refusal(saved.parent)
    assert not (tmp_path / 'run').exists()
    buffer.seek(0)
    with onp.load(buffer, allow_pickle=True) as file:
        file[name]  # the trap is a real one
    assert (tmp_path / 'run').exists()


@pytest.mark.parametrize('data', [
    b'', b'\n', b'PK', b'no checkpoint', bytes(range(256)), b'\x80\x04N.'],
    ids=str)
@pytest.mark.parametrize('signed', [False, True])
def test_foreign_bytes_are_refused(saved, data, signed):
    """Also below a checksum that is right."""
    saved.write_bytes(checkpoint._digest(data) * signed + data)
    assert 'is damaged' in refusal(saved.parent)


@pytest.mark.parametrize('content', [
    {}, [], {'settings': {}, 'trainings': [[1, 2]]}, {'settings': []}],
    ids=str)
def test_other_json_is_refused(saved, content):
    """JSON of another form, in an npz that is right."""
    buffer = io.BytesIO()
    onp.savez(buffer, json=onp.frombuffer(json.dumps(content).encode(),
                                          'uint8'))
    saved.write_bytes(checkpoint._digest(buffer.getvalue())
                      + buffer.getvalue())
    assert 'is damaged' in refusal(saved.parent)


def forge(saved, change):
    """Save the file anew with a `change` to its arrays and its JSON."""
    with onp.load(io.BytesIO(saved.read_bytes()[65:])) as file:
        arrays = dict(file)
    content = json.loads(arrays['json'].tobytes())
    save = change(arrays, content) or onp.savez
    arrays['json'] = onp.frombuffer(json.dumps(content).encode(), 'uint8')
    buffer = io.BytesIO()
    save(buffer, **arrays)
    saved.write_bytes(checkpoint._digest(buffer.getvalue())
                      + buffer.getvalue())


@pytest.mark.parametrize('field, value', [
    *((0, epoch) for epoch in ('x', -1, True, 1.5, None, [], 10 ** 400)),
    *((1, rows) for rows in (
        5, None, 'rows', [5], ['ab'], [[]], [[1]], [[1, 'x']], [[1, None]],
        [[1, [2]]], [[1, True]], [[1, 10 ** 400]],
        [[1, 0.5], [2, 0.5, 1.0]])),
    *((2, updates) for updates in (5, None, 'x', [None], [-1], [10 ** 400])),
    *((3, numpy) for numpy in (
        None, [], [10 ** 9, 0, 0.0], [625, 0, 0.0], [-1, 0, 0.0],
        [0, 'x', 0.0], [0, 0, 'x'], [0, 0], [0.5, 0, 0.0])),
    *((4, number) for number in (0, -1, 9, 'x', None))], ids=str)
def test_a_right_checksum_of_a_wrong_training(saved, field, value):
    """NumPy would crash with some of it, and others give tracebacks."""
    def change(arrays, content):
        content['trainings'][0][field] = value
    forge(saved, lambda arrays, content: None)
    with saving(saved.parent, 'section', SETTINGS, resume=True):
        pass  # unchanged, it is one of ours
    forge(saved, change)
    assert 'is damaged' in refusal(saved.parent)


@pytest.mark.parametrize('change', [
    lambda arrays, _: onp.savez_compressed,
    lambda arrays, _: arrays.update({'0_0': arrays['0_0'][:600]}),
    lambda arrays, _: arrays.update({'0_0': arrays['0_0'].astype('int64')})],
    ids=['packed', 'too few words', 'words of another type'])
def test_wrong_arrays_are_refused(saved, change):
    """What is packed could be of any size."""
    forge(saved, change)
    assert 'is damaged' in refusal(saved.parent)


def test_another_runs_settings_are_printed_as_they_are(saved):
    """Nothing in a stranger's file reaches the terminal as an escape."""
    forge(saved, lambda _, content: content['settings'].update(
        lr='\x1b[2J\n'))
    assert refusal(saved.parent).endswith(r'lr \x1b[2J\n, here 0.1')


@pytest.mark.parametrize('shapes', [[(1,), (2, 2)], [(3,)], [(2, 2), (3,)],
                                    [(3,), (2, 2), (1,)]], ids=str)
def test_other_network_is_refused(saved, shapes):
    """No array is stretched to fit: not one of a single number either."""
    with saving(saved.parent, 'section', SETTINGS, True), pytest.raises(
            CheckpointError, match='does not fit the network .* training 1'):
        next(epochs(3, [np.zeros(shape) for shape in shapes]))


def test_other_gluon_network_is_refused(tmp_path):
    """Of another width or depth, before its shapes are known or after."""
    def train(units, resume=False, inputs=0):
        net = gluon.nn.HybridSequential()
        net.add(*(gluon.nn.Dense(n, in_units=inputs) for n in units))
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), 'adam')
        if not resume:
            with mx.autograd.record():
                l = net(np.ones((2, 4))).sum()
            l.backward()
            trainer.step(1)
        with saving(tmp_path, 'section', {'seed': 0}, resume):
            return list(experiment.current.epochs(2, [], trainer))
    train([4])
    for units, inputs in ([5], 0), ([5], 4), ([4], 7), ([4, 4], 0), (
            [4, 4], 4):
        with pytest.raises(CheckpointError, match='does not fit'):
            train(units, True, inputs)
    assert train([4], True) == []


def test_half_written_file_of_a_killed_run_is_ignored(run, tmp_path):
    """Killed amid a save, or before the new file takes the old one's name."""
    whole = run('mlp_scratch', tmp_path / 'whole')
    run('mlp_scratch', tmp_path, saves=2)
    partial_file = tmp_path / '.mlp_scratch.checkpoint.123'
    partial_file.write_bytes(b'0' * 70)
    assert run('mlp_scratch', tmp_path, resume=True) == whole
    assert not partial_file.exists()


def test_another_edition_of_the_data_is_refused(tmp_path):
    """Told once the data is loaded; a section that has none is not asked."""
    def train(edition, resume=True):
        with saving(tmp_path, 'section', {'seed': 0}, resume), experiment.use(
                edition=edition):
            return list(epochs(2))
    assert train('2017-08-26', resume=False) == [1, 2]
    with pytest.raises(CheckpointError, match='is of another run: data '
                                              '2017-08-26, here 2017-08-31'):
        train('2017-08-31')
    assert train('2017-08-26') == [] and train(None) == []
    with pytest.raises(CheckpointError, match='data 2017-08-26, here'):
        train('2017-08-31')


def test_a_pipe_or_a_folder_in_its_place_is_no_checkpoint(tmp_path):
    """Neither is waited for, nor written to."""
    os.mkfifo(tmp_path / 'pipe.checkpoint')
    (tmp_path / 'folder.checkpoint').mkdir()
    for name in ('pipe', 'folder'):
        for resume, message in ((True, 'there is no '), (False, 'is there')):
            with pytest.raises(CheckpointError, match=message), saving(
                    tmp_path, name, {}, resume):
                pass


def test_a_running_run_keeps_others_out(saved):
    """Two runs in one folder would overwrite each other's file.

    Which file is there is asked of a folder that nobody else writes to.
    """
    with saving(saved.parent, 'section', SETTINGS, resume=True):
        assert 'another run is saving in ' in refusal(saved.parent)
        for section in ('other', 'section'):
            with pytest.raises(CheckpointError, match='another run is saving'
                               ), saving(saved.parent, section, SETTINGS):
                pass
    with saving(saved.parent, 'other', SETTINGS):
        pass


def test_says_where_it_goes_on(saved, tmp_path, capsys):
    """By epoch and training, or that nothing was trained yet."""
    for folder, resume, said in [
            (saved.parent, True, 'resumed after epoch 2 of training 1\n'),
            (tmp_path / 'new', False, ''),
            (tmp_path / 'new', True, 'resumed before epoch 1\n')]:
        with saving(folder, 'section', SETTINGS, resume):
            assert capsys.readouterr().out == said


def test_full_disk_leaves_the_last_checkpoint(run, tmp_path):
    """A file that cannot grow: one line, and the run resumes afterwards."""
    whole = run('mlp_scratch', tmp_path / 'whole')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, hard))
    try:
        with pytest.raises(CheckpointError) as error:
            run('mlp_scratch', tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == (
        f'cannot save {tmp_path}/mlp_scratch.checkpoint: File too large; the '
        'one before is whole: mend this, then --resume')
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        '.lock', 'mlp_scratch.checkpoint'}
    assert run('mlp_scratch', tmp_path, resume=True) == whole


# A script that trains two networks with dropout in a moment.
SCRIPT = '''
import hashlib, os, signal
from pathlib import Path
from gluon_mlp.run.options import options
from gluon_mlp import d2l, dropout
from mxnet import gluon, np

def kill_in(name, number):
    """Die where `Path.NAME` is called for the NUMBER-th time, half written.
    """
    function, calls = getattr(Path, name), []
    def killing(path, arg):
        calls.append(arg)
        if len(calls) == number:
            if name == 'write_bytes':
                function(path, arg[:len(arg) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return function(path, arg)
    setattr(Path, name, killing)

if 'KILL' in os.environ:
    name, number = os.environ['KILL'].split()
    kill_in(name, int(number))
num_epochs, lr, batch_size = options(dropout, 'num_epochs, lr, batch_size')
X, y = np.random.uniform(size=(30, 50)), np.arange(30) % 10
data_iter = d2l.load_array((X, y), 8)
digest = hashlib.sha256()
for _ in range(2):
    net = dropout.get_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': 0.1})
    history = d2l.train_ch3(net, data_iter, data_iter,
                            gluon.loss.SoftmaxCrossEntropyLoss(), num_epochs,
                            trainer)
    digest.update(repr(history).encode())
    for p in net.collect_params().values():
        digest.update(p.data().asnumpy().tobytes())
print('end', digest.hexdigest())
'''


@pytest.fixture
def script(tmp_path):
    """Start SCRIPT with arguments; a process with text pipes."""
    (tmp_path / 'section.py').write_text(SCRIPT)

    def run(*args, **env):
        return start(sys.executable, 'section.py', *args, cwd=tmp_path,
                     env=script_environment(**env))
    return run


def ending(process):
    """The last line of a script that ended well."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].startswith('end ')
    return out.splitlines()[-1]


@pytest.mark.slow
def test_killed_within_a_save(script, tmp_path):
    """SIGKILL when the new file is half written, or has not its name yet."""
    whole = ending(script('--checkpoint', 'whole'))
    for name, number in ('write_bytes', 4), ('replace', 4), ('replace', 14):
        folder = f'{name} {number}'
        process = script('--checkpoint', folder, KILL=folder)
        process.communicate(timeout=200)
        assert process.returncode == -signal.SIGKILL
        process = script('--checkpoint', folder, '--resume')
        line = process.stdout.readline()
        assert line == (f'resumed after epoch {(number - 2) % 10} of '
                        f'training {1 + number // 10}\n')
        assert ending(process) == whole
        assert {*os.listdir(tmp_path / folder)} == {'.lock',
                                                    'dropout.checkpoint'}


FILL = """
KILL='replace 4' "$0" section.py --checkpoint disk
cat /dev/zero > disk/filler
"$0" section.py --checkpoint disk --resume && exit 9
rm disk/filler
"$0" section.py --checkpoint disk --resume
"""


@pytest.mark.slow
def test_really_full_disk(script, mounted, tmp_path):
    """Filled up between two epochs; with room again, the run goes on."""
    whole = ending(script('--checkpoint', 'whole'))
    ran = mounted(tmp_path / 'disk', 'size=8m', 'sh', '-c', FILL,
                  sys.executable, cwd=tmp_path,
                  env=script_environment())
    assert ran.returncode == 0
    assert ('error: cannot save disk/dropout.checkpoint: No space left on '
            'device; the one before is whole: mend this, then --resume\n'
            ) in ran.stderr and 'Traceback' not in ran.stderr
    out = ran.stdout.splitlines()
    assert out.count('resumed after epoch 2 of training 1') == 1
    assert out[-1] == whole


HERE = """
import sys
from scripts import script_here
for folder in ('disk', 'disk/new'):
    print(script_here('section.py', '--checkpoint', folder))
"""


def test_read_only_disk(script, mounted, tmp_path):
    """Found before training, in one line."""
    ran = mounted(tmp_path / 'disk', 'ro', sys.executable, '-c', HERE,
                  cwd=tmp_path, env=script_environment())
    assert ran.returncode == 0
    assert ran.stdout == '(2, None)\n(1, None)\n'
    first, second = without_mxnets_log(ran.stderr).splitlines()
    assert 'not writable' in first and "'disk'" in first
    assert 'Read-only' in second and "'disk/new'" in second


@pytest.mark.slow
def test_killed_at_random_moments(script):
    """SIGKILL again and again, until a run gets to its end."""
    whole = ending(script('--checkpoint', 'whole', '--num-epochs', 60))
    draw, process, kills = random.Random(), None, 0
    while process is None or process.returncode:
        process = script('--checkpoint', 'killed', '--num-epochs', 60,
                         *['--resume'] * (process is not None))
        read = [process.stdout.readline()  # some lines, then a moment
                for _ in range(draw.randrange(1, 40))]
        try:
            process.wait(draw.random() / 20)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        out, err = process.communicate(timeout=200)
        assert all(line.startswith(('yours: ', 'book:  ', 'took '))
                   for line in without_mxnets_log(err).splitlines())
    print(f'killed {kills} times')
    assert kills > 1
    assert (''.join(read) + out).splitlines()[-1] == whole


TINY = '''
from gluon_mlp.run.options import options
from gluon_mlp import d2l, experiment, kaggle_house_price
from mxnet import np
batch_size, lr, num_epochs, submission = options(
    kaggle_house_price, 'batch_size, lr, num_epochs, submission')
for epoch in experiment.current.epochs(num_epochs, [],
                                       d2l.Updater([np.ones(1)], lr)):
    print(f'epoch {epoch}')
'''


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run a tiny script with arguments: exit code, stdout, stderr."""
    def call(*args, script=TINY):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(kaggle_house_price, 'num_epochs', 2)
        (tmp_path / 'section.py').write_text(script)
        code, _ = script_here(tmp_path / 'section.py', *args)
        return code, *capsys.readouterr()
    return call


def test_command_line_saves_and_resumes(call, tmp_path):
    """A folder is made; a path among the options is no hyperparameter."""
    assert call('--checkpoint', 'a/b') == (0, 'epoch 1\nepoch 2\n', '')
    assert (tmp_path / 'a/b/kaggle_house_price.checkpoint').exists()
    assert call('--checkpoint', 'a/b', '--resume', '--submission', 'c') == (
        0, 'resumed after epoch 2 of training 1\n', '')


def test_nothing_is_saved_unasked(call, tmp_path):
    """Without the option no file appears."""
    assert call() == (0, 'epoch 1\nepoch 2\n', '')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'figures', 'section.py']


@pytest.mark.parametrize('args, code, words', [
    (['--resume'], 2, '--resume needs --checkpoint DIR'),
    (['--durable'], 2, '--durable needs --checkpoint DIR'),
    (['--resume', '--checkpoint', 'none'], 1, 'there is no none/kaggle'),
    (['--checkpoint', 'made'], 1, 'house_price.checkpoint is there already'),
    (['--checkpoint', __file__], 2, 'is a file'),
    (['--checkpoint', __file__ + '/below'], 1, 'Not a directory'),
    (['--checkpoint', '/proc/none'], 1, 'No such file'),
    (['--checkpoint', 'made', '--resume', '--lr', '0.2'], 1,
     'lr 5.0, here 0.2'),
    (['--checkpoint', 'made', '--resume', '--batch-size', '255'], 1,
     'batch_size 64, here 255'),
    (['--checkpoint', 'made', '--resume', '--num-epochs', '3'], 1,
     'num_epochs 2, here 3'),
    (['--checkpoint', 'made', '--resume', '--seed', '1'], 1,
     'seed 0, here 1')])
def test_what_cannot_be_is_one_line_before_training(call, args, code, words):
    """No epoch is trained, and the error says what is wrong."""
    call('--checkpoint', 'made')
    ended, out, err = call(*args)
    assert (ended, out) == (code, '')
    assert len(err.splitlines()) == 1 and err.startswith('error: ')
    assert words in err


def test_a_script_that_does_not_train_has_no_checkpoint(call):
    """There the option would promise what it does not do."""
    code, out, err = call('--checkpoint', 'a', script=TINY.replace(
        'num_epochs, submission', 'submission'))
    assert (code, out) == (2, '') and '--checkpoint' in err


BARE = '''
from gluon_mlp.run.options import options
from gluon_mlp import d2l, kaggle_house_price
from mxnet import gluon, np, npx
npx.set_np()
lr, num_epochs = options(kaggle_house_price, 'lr, num_epochs')
w = np.ones((4, 2))
w.attach_grad()
data_iter = d2l.load_array((np.ones((6, 4)), np.arange(6) % 2), 3)
d2l.train_ch3(lambda X: np.dot(X, w), data_iter, data_iter,
              gluon.loss.SoftmaxCrossEntropyLoss(), num_epochs,
              lambda batch_size: d2l.sgd([w], lr, batch_size))
'''


def test_a_bare_function_has_no_parameters_to_save(call):
    """It trains alone; under --checkpoint one line says what to give."""
    code, out, err = call(script=BARE)
    assert (code, err) == (0, '') and out.count('epoch ') == 2
    assert call('--checkpoint', 'a', script=BARE) == (
        1, '', 'error: --checkpoint and launch need the parameters of the '
        'updater: give train_ch3 a d2l.Updater(params, lr) or a '
        'gluon.Trainer in place of a function\n')


@pytest.mark.slow
@pytest.mark.mxnet
def test_real_scripts_resume(run_script, real_data, tmp_path):
    """What 4.5 prints is the same, resumed by its own command line.

    But for the times that it measures, which end with their range.
    """
    args = ['weight_decay', '--num-epochs', 7, '--checkpoint', tmp_path]
    first = run_script(*args)
    again = run_script(*args, '--resume')
    assert first.returncode == again.returncode == 0, again.stderr
    first, again = ([line for line in ran.stdout.splitlines()
                     if not re.search(r'\(\S+ to \S+\)$', line)]
                    for ran in (first, again))
    assert again == ['resumed after epoch 7 of training 4', *first]


DURABLE = '''
import sys
from pathlib import Path
from gluon_mlp.run.checkpoint import saving
with saving(Path(sys.argv[1]), 'section', {}, durable='d' in sys.argv[2]):
    pass
'''


def test_a_durable_save_spares_folders_that_cannot_be_read(
        tmp_path, monkeypatch):
    """Such as /home, or a file system without fsync; not its own folder."""
    synced = []

    def wait(path):
        if path in [*tmp_path.parents]:
            raise PermissionError(13, 'Permission denied')
        synced.append(path)
    monkeypatch.setattr(files, '_wait_for_disk', wait)
    with files.written_whole(tmp_path / 'a', durable=True) as path:
        path.write_text('saved')
    assert synced == [path, tmp_path]


@pytest.mark.slow
def test_a_durable_save_waits_for_the_disk(tmp_path):
    """The system is asked to: the file, its place, and then all folders.

    Without --durable it is asked to wait for nothing.
    """
    if not shutil.which('strace'):
        pytest.skip('no strace: install the package strace')

    def calls(folder, how):
        subprocess.run(
            ['strace', '-f', '-y', '-o', tmp_path / 'log', '-e',
             'trace=fsync,fdatasync,sync_file_range,write,rename,renameat,'
             'renameat2', sys.executable, '-c', DURABLE, folder, how],
            env=script_environment(), check=True, timeout=100,
            capture_output=True)
        return [(call, place.rpartition('.')[0] if 'checkpoint.' in place
                 else place) for call, place in re.findall(
            r'(\w+)\((?:\d+<|")([^>"]*)[>"]',
            (tmp_path / 'log').read_text()) if str(tmp_path) in place or
            call == 'fsync']
    new = tmp_path / 'a' / 'b'
    partial = str(new / '.section.checkpoint')
    done = calls(new, 'd')
    saved = [done.index((call, partial)) for call in (
        'write', 'fsync', 'rename')]
    assert saved == sorted(saved)
    assert done[saved[-1] + 1:] == [('fsync', str(folder)) for folder in (
        new / 'section.checkpoint').parents]
    assert not [call for call, _ in calls(tmp_path / 'c', '-')
                if 'sync' in call]


class Worker(experiment.OneProcess):
    """One of two workers, which hears from the first what that has read."""
    shared, number = True, 2

    def __init__(self, rank, told=b''):
        self.rank, self.told = rank, told

    def tell(self, data):
        return self.told or data


def test_only_the_first_worker_of_a_launch_saves(run, tmp_path):
    """The others resume with what it reads, on a machine without the file.
    """
    with experiment.use(workers=Worker(0)):
        whole = run('mlp_concise', tmp_path / 'whole')
        assert run('mlp_concise', tmp_path, saves=2) is None
    told = (tmp_path / 'mlp_concise.checkpoint').read_bytes()
    with experiment.use(workers=Worker(1, told)):
        assert run('mlp_concise', tmp_path / 'no', resume=True) == whole
        assert run('mlp_concise', tmp_path / 'no') == whole
    assert not (tmp_path / 'no').exists()


def test_an_epoch_that_workers_refuse_is_not_saved(tmp_path, monkeypatch):
    """A loop of one's own that shares no batch leaves the file as it was."""
    monkeypatch.setenv('DMLC_WORKER_ID', '0')
    monkeypatch.setenv('DMLC_NUM_WORKER', '2')
    workers, history = Workers(), []
    with experiment.use(workers=workers, epochs=workers.epochs), saving(
            tmp_path, 'section', SETTINGS):
        before = (tmp_path / 'section.checkpoint').read_bytes()
        with pytest.raises(ChapterError, match='a loop of its own'):
            for epoch in experiment.current.epochs(
                    2, history, training.Updater([np.ones(2)], 1)):
                history.append((epoch, 0.5))
    assert (tmp_path / 'section.checkpoint').read_bytes() == before


@pytest.mark.parametrize('saves, resumes, message', [
    (Worker(0), experiment.OneProcess(), 'workers 2, here None'),
    (experiment.OneProcess(), Worker(0), 'workers None, here 2')])
def test_another_number_of_workers_is_named(tmp_path, saves, resumes,
                                            message):
    """Their sums differ in the last bits."""
    with experiment.use(workers=saves), saving(tmp_path, 'section', SETTINGS):
        pass
    with experiment.use(workers=resumes):
        assert message in refusal(tmp_path, **SETTINGS)


@pytest.mark.parametrize('section, width', [
    ('mlp_concise', 4), ('underfit_overfit', 3), ('weight_decay', 3),
    ('environment', 2), ('kaggle_house_price', 3)])
def test_a_history_of_another_width_is_refused(run, tmp_path, section, width):
    """Its rows would not be those that the section prints and plots."""
    run(section, tmp_path, saves=6)
    path = tmp_path / f'{section}.checkpoint'

    def change(arrays, content):
        (row, *_), *_ = histories = [x[1] for x in content['trainings']]
        assert len(row) == width
        for history in histories:
            for row in history:
                row.append(0.5)
    forge(path, change)
    with pytest.raises(CheckpointError, match='does not fit the network'):
        run(section, tmp_path, resume=True)
