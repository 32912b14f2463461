"""Trainings that go on where they were killed: `--checkpoint`, `--resume`.

A checkpoint is one file, replaced whole after each epoch: a line with the
SHA-256 of the rest, and an npz of plain arrays, one of which holds JSON.
Nothing is pickled: reading a stranger's file runs no code of it. A process
may be killed at any moment; that the power fails is not provided for, as
waiting for the disk takes longer than most epochs of 4.4.
"""
import fcntl
import hashlib
import io
import json
import os
from itertools import count
from pathlib import Path
from typing import Iterator, NamedTuple

import mxnet as mx
import numpy as onp
from mxnet import gluon
from tqdm import tqdm

from ..d2l import fashion_mnist
from ..errors import CheckpointError
from ..files import written_whole
from . import workers

current = None  # the `Run` that is saved, or None


class Training(NamedTuple):
    """A training after its last saved epoch."""
    epoch: int
    history: list  # rows of numbers
    updates: list  # how often each of the trainer's parameters was updated
    numpy: list  # the state of NumPy's generator, but for its 624 words
    arrays: list  # these words, the parameters, the optimizer's states


class Run(NamedTuple):
    """A script's trainings, in their order, and where they are saved."""
    path: Path
    settings: dict
    trainings: list
    numbers: Iterator  # of the trainings still to begin, from 0
    lock: int


def start(folder, section, settings, resume=False):
    """Save all trainings from now on; with `resume`, go on with saved ones.

    `settings` are the numbers and names that the trainings depend on, the
    seed among them: a checkpoint of others is refused. Raises
    `CheckpointError` or `OSError`, also where nothing can be written.
    """
    global current
    if workers.launched:
        raise CheckpointError('--checkpoint and --resume are not for the '
                              'workers of a launch: run the script alone')
    path = folder / f'{section}.checkpoint'
    if not path.is_file() if resume else path.exists():
        raise CheckpointError(
            f'there is no {path} to resume: leave out --resume' if resume else
            f'{path} is there already: --resume it, or remove it')
    folder.mkdir(parents=True, exist_ok=True)
    settings = {'section': section, **settings, 'mxnet': mx.__version__,
                'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS'),
                'data': None}  # its edition, once it is loaded
    trainings = _load(path, settings) if resume else []
    current = Run(path, settings, trainings, count(), _lock(folder))
    for left in folder.glob(f'.{path.name}.*'):  # of runs killed in `_save`
        left.unlink()
    _save()
    if resume:
        print(f'resumed after epoch {trainings[-1].epoch} of training '
              f'{len(trainings)}' if trainings else 'resumed before epoch 1')


def epochs(num_epochs, history, record, updater, draws=False):
    """Yield the epochs 1 to `num_epochs`, saving after each if `start`ed.

    Epochs that are restored are left out: instead, `record(row)` is called
    for each row of numbers that `history` had. `updater` is a
    `gluon.Trainer` or `partial(sgd, params, lr)`. `draws` tells that an
    epoch may draw from MXNet's stream (dropout). As the stream cannot be
    read, it then restarts with each saved epoch, by seed and epoch. Raises
    `CheckpointError`.
    """
    first = 0
    if current:
        _note_edition()
        number = next(current.numbers)
        if number < len(current.trainings):
            first = _restore(number, record, updater)
            _restart(draws, number, first)
    for epoch in tqdm(range(first + 1, num_epochs + 1), 'epochs', num_epochs,
                      initial=first, leave=False, disable=None):
        yield epoch
        if current:
            current.trainings[number:] = [_state(epoch, history, updater)]
            _save()
            _restart(draws, number, epoch)


def _note_edition():
    """Keep the edition of the images, which start does not know."""
    old, new = current.settings['data'], fashion_mnist.edition
    if old and new:
        _refuse({'data': old}, {'data': new}, current.path)
    current.settings['data'] = new or old


def _restart(draws, *place):
    if draws:
        entropy = onp.random.SeedSequence((current.settings['seed'], *place))
        mx.random.seed(int(entropy.generate_state(1)[0]) >> 1)  # 31 bits


def _state(epoch, history, updater):
    """The `Training` as it is now."""
    _, words, *numpy = onp.random.get_state()
    history = [[x if isinstance(x, int) else float(x) for x in row]
               for row in history]
    updates = (updater._optimizer._index_update_count
               if isinstance(updater, gluon.Trainer) else {})
    return Training(epoch, history, [updates[i] for i in sorted(updates)],
                    numpy, [words, *(a.asnumpy() for a in _arrays(updater))])


def _arrays(updater):
    """What an update changes: parameters, and the optimizer's states."""
    if not isinstance(updater, gluon.Trainer):
        return updater.args[0]  # of partial(sgd, params, lr)
    states = updater._updaters[0].states
    return [*(param.data() for param in updater._params),
            *_flat([states[i] for i in sorted(states)])]


def _flat(states):
    """The arrays in nested tuples of arrays and None."""
    if isinstance(states, (list, tuple)):
        return [a for state in states for a in _flat(state)]
    return [] if states is None else [states]


def _restore(number, record, updater):
    """Set all that a training changes; returns how many epochs it had."""
    training = current.trainings[number]
    words, *values = training.arrays
    try:
        if isinstance(updater, gluon.Trainer):
            _initialize(updater, values, training.updates)
        arrays = _arrays(updater)
        if ([(a.shape, a.dtype) for a in arrays]
                != [(value.shape, value.dtype) for value in values]):
            raise ValueError('other shapes')
        for a, value in zip(arrays, values):
            a[:] = value
        onp.random.set_state(('MT19937', words, *training.numpy))
    except (AssertionError, TypeError, ValueError,
            mx.MXNetError) as error:
        raise CheckpointError(f'{current.path} does not fit the network of '
                              f'training {number + 1}') from error
    for row in training.history:
        record(tuple(row))
    return training.epoch


def _initialize(trainer, values, updates):
    """Make what the first batch makes: parameters, optimizer's states."""
    optimizer, updater = trainer._optimizer, trainer._updaters[0]
    for param, value in zip(trainer._params, values):
        param.shape = value.shape
        # Drawn only so that MXNet's next draws are what they would be.
        param._finish_deferred_init()
    for i, (param, times) in enumerate(zip(trainer._params, updates)):
        optimizer._index_update_count[i] = times
        updater.states[i] = optimizer.create_state_multi_precision(
            i, param.data().as_nd_ndarray())
        updater.states_synced[i] = True
    optimizer.num_update = max(updates)


def _lock(folder):
    """Keep other runs out of `folder` until this process ends."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise CheckpointError(f'another run is saving in {folder}: wait for '
                              'its end, or take another folder') from error
    return lock


def _save():
    """Replace the file whole, or leave it as it is and raise."""
    arrays = {f'{i}_{j}': a for i, training in enumerate(current.trainings)
              for j, a in enumerate(training.arrays)}
    text = json.dumps({
        'settings': current.settings,
        'trainings': [training._replace(arrays=len(training.arrays))
                      for training in current.trainings]})
    buffer = io.BytesIO()
    onp.savez(buffer, json=onp.frombuffer(text.encode(), 'uint8'), **arrays)
    try:
        with written_whole(current.path) as path:
            path.write_bytes(_digest(buffer.getvalue()) + buffer.getvalue())
    except OSError as error:
        raise CheckpointError(
            f'cannot save {current.path}: {error.strerror}'
            + '; the one before is whole: mend this, then --resume'
            * current.path.exists()) from error


def _digest(data):
    return hashlib.sha256(data).hexdigest().encode() + b'\n'


def _load(path, settings):
    """The trainings that `_save` saved under these `settings`."""
    digest, line, data = path.read_bytes().partition(b'\n')
    try:
        if digest + line != _digest(data):
            raise ValueError('another checksum')
        with onp.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        saved = json.loads(arrays['json'].tobytes())
        trainings = [
            Training(*rest, [arrays[f'{i}_{j}'] for j in range(num_arrays)])
            for i, (*rest, num_arrays) in enumerate(saved['trainings'])]
        old = dict(saved['settings'])
        settings['data'] = old.get('data')
    except Exception as error:  # whatever a stranger's bytes may cause
        raise CheckpointError(f'{path} is damaged, or not a checkpoint of '
                              'this program: remove it') from error
    _refuse(old, settings, path)
    return trainings


def _refuse(old, settings, path):
    """Raise `CheckpointError` where `settings` are not the `old` ones."""
    differ = [f'{name} {old.get(name)}, here {settings.get(name)}'
              for name in {**old, **settings}
              if old.get(name) != settings.get(name)]
    if differ:
        raise CheckpointError(f'{path} is of another run: '
                              + '; '.join(differ))
