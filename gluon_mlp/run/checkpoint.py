"""Trainings that go on where they were killed: `--checkpoint`, `--resume`.

A checkpoint is one file, replaced whole after each epoch: a line with the
SHA-256 of the rest, and an npz of plain arrays, one of which holds JSON.
Nothing is pickled, so loading a stranger's file runs no code from it. The
process may be killed at any moment. A power failure may damage the file,
unless `--durable` lets each save wait for the disk.
"""
import hashlib
import io
import json
import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NamedTuple

import mxnet as mx
import numpy as onp
from filelock import FileLock, Timeout
from mxnet import gluon

from .. import experiment
from ..errors import CheckpointError, printable
from ..files import written_whole
from ..machine import compat
from .updaters import check, optimizer_states, parameters


class Training(NamedTuple):
    """A training after its last saved epoch."""
    epoch: int
    history: list  # rows of numbers
    updates: list  # how often each of the trainer's parameters was updated
    numpy: list  # the state of NumPy's generator, but for its 624 words
    arrays: list  # these words, the parameters, the optimizer's states


@contextmanager
def saving(folder, section, settings, resume=False, durable=False):
    """Save all trainings until the context ends; `resume` saved ones first.

    `settings` are the numbers and names that the trainings depend on, the
    seed among them. A checkpoint made with other settings is refused. Of the
    workers of a `launch` only the first reads and writes the file. With
    `durable` each save waits for the disk. Raises
    `CheckpointError` or `OSError`, also where nothing can be written.
    """
    path = folder / f'{section}.checkpoint'
    first = experiment.current.workers.rank == 0
    with _taken(path, resume) if first else nullcontext():
        checkpoint = _begin(path, _all_settings(section, settings), resume,
                            durable)
        with experiment.use(epochs=checkpoint.epochs):
            yield


@contextmanager
def _taken(path, resume):
    """Keep other runs from saving in the folder of `path`."""
    folder = path.parent
    if not resume:
        folder.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise CheckpointError(f'there is no {path} to resume: leave out '
                              '--resume')
    try:
        lock = FileLock(folder / '.lock', timeout=0).acquire()
    except Timeout as error:
        raise CheckpointError(
            f'another run is saving in {folder}: wait for its end, or take '
            'another folder') from error
    with lock:
        if not resume and path.exists():
            raise CheckpointError(f'{path} is there already: --resume it, or '
                                  'remove it')
        # A run that was killed while it saved has left its half of a file.
        for left in folder.glob(f'.{path.name}.*'):
            left.unlink()
        yield


def _all_settings(section, settings):
    """`settings`, and what else the bits of the trainings depend on."""
    workers = experiment.current.workers
    return {'format': 2, 'section': section, **settings,
            **{name: os.environ.get(name) for name in compat.ROUNDING},
            **({'workers': workers.number} if workers.shared else {}),
            'mxnet': mx.__version__,
            'data': None}  # its edition, once it is loaded


def _begin(path, settings, resume, durable):
    """The `Checkpoint` at `path`, saved once to see that it can be."""
    trainings = _load(path, settings) if resume else []
    checkpoint = Checkpoint(path, settings, trainings,
                            experiment.current.epochs, durable)
    checkpoint.save()
    if trainings:
        print(f'resumed after epoch {trainings[-1].epoch} of training '
              f'{len(trainings)}')
    elif resume:
        print('resumed before epoch 1')
    return checkpoint


@dataclass
class Checkpoint:
    """A script's trainings, in their order, and where they are saved."""
    path: Path
    settings: dict
    trainings: list
    inner: Callable  # the epochs without a checkpoint
    durable: bool  # whether to wait for the disk
    begun: int = 0  # trainings of this process

    def epochs(self, num_epochs, history, updater, draws=False):
        """The epochs still to train, each saved when it is over.

        A saved history is appended to `history` first. MXNet's stream cannot
        be read. So where an epoch may draw from it (`draws`), the stream
        restarts after each saved epoch, from the seed and the epoch. Raises
        `CheckpointError`.
        """
        check(updater)
        self._note_edition()
        number, first = self.begun, 0
        self.begun += 1
        if number < len(self.trainings):
            first = self._restore(number, history, updater)
            self._restart(draws, number, first)
        epochs = iter(self.inner(num_epochs, history, updater, draws, first))
        epoch = next(epochs, None)
        while epoch:
            yield epoch
            over, epoch = epoch, next(epochs, None)  # raises if refused
            self.trainings[number:] = [_state(over, history, updater)]
            self.save()
            self._restart(draws, number, over)

    def _note_edition(self):
        """Keep the edition of the images, which is not known at the start."""
        old, new = self.settings['data'], experiment.current.edition
        if old and new:
            _refuse({'data': old}, {'data': new}, self.path)
        self.settings['data'] = new or old

    def _restart(self, draws, *place):
        if draws:
            entropy = onp.random.SeedSequence((self.settings['seed'], *place))
            mx.random.seed(int(entropy.generate_state(1)[0]) >> 1)  # 31 bits

    def _restore(self, number, history, updater):
        """Set all that a training changes. Returns how many epochs it had."""
        training = self.trainings[number]
        words, *values = training.arrays
        try:
            if isinstance(updater, gluon.Trainer):
                _initialize(updater, values, training.updates)
            arrays = [*parameters(updater), *optimizer_states(updater)]
            if ([(a.shape, a.dtype) for a in arrays]
                    != [(value.shape, value.dtype) for value in values]):
                raise ValueError('other shapes')
            width = getattr(history, 'width', None)
            if any(len(row) != width for row in training.history if width):
                raise ValueError('another number of columns')
            for a, value in zip(arrays, values):
                a[:] = value
            onp.random.set_state(('MT19937', words, *training.numpy))
        except (AssertionError, TypeError, ValueError,
                mx.MXNetError) as error:
            raise CheckpointError(
                f'{self.path} does not fit the network or the history of '
                f'training {number + 1}') from error
        for row in training.history:
            history.append(tuple(row))
        return training.epoch

    def save(self):
        """Replace the file whole, or leave it as it is and raise."""
        if experiment.current.workers.rank > 0:
            return
        arrays = {f'{i}_{j}': a for i, training in enumerate(self.trainings)
                  for j, a in enumerate(training.arrays)}
        text = json.dumps({
            'settings': self.settings,
            'trainings': [training._replace(arrays=len(training.arrays))
                          for training in self.trainings]})
        buffer = io.BytesIO()
        onp.savez(buffer, json=onp.frombuffer(text.encode(), 'uint8'),
                  **arrays)
        data = buffer.getvalue()
        try:
            with written_whole(self.path, self.durable) as path:
                path.write_bytes(_digest(data) + data)
        except OSError as error:
            message = f'cannot save {self.path}: {error.strerror}'
            if self.path.exists():
                message += ('; the one before is whole: mend this, then '
                            '--resume')
            raise CheckpointError(message) from error


def _state(epoch, history, updater):
    """The `Training` as it is now."""
    _, words, *numpy = onp.random.get_state()
    history = [[x if isinstance(x, int) else float(x) for x in row]
               for row in history]
    updates = (updater._optimizer._index_update_count
               if isinstance(updater, gluon.Trainer) else {})
    arrays = [*parameters(updater), *optimizer_states(updater)]
    return Training(epoch, history, [updates[i] for i in sorted(updates)],
                    numpy, [words, *(a.asnumpy() for a in arrays)])


def _initialize(trainer, values, updates):
    """Make the parameters and states that the first batch would make."""
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


def _digest(data):
    return hashlib.sha256(data).hexdigest().encode() + b'\n'


def _load(path, settings):
    """The trainings that were saved at `path` under these `settings`."""
    workers = experiment.current.workers
    digest, line, data = workers.tell(
        path.read_bytes() if workers.rank == 0 else b'').partition(b'\n')
    try:
        if digest + line != _digest(data):
            raise ValueError('another checksum')
        with onp.load(io.BytesIO(data), allow_pickle=False) as file:
            if any(a.compress_type for a in file.zip.infolist()):
                raise ValueError('packed: it could be of any size')
            arrays = dict(file)
        saved = json.loads(arrays['json'].tobytes())
        trainings = [_checked(Training(
            *rest, [arrays[f'{i}_{j}'] for j in range(num_arrays)]))
            for i, (*rest, num_arrays) in enumerate(saved['trainings'])]
        old = dict(saved['settings'])
        settings['data'] = old.get('data')
    except Exception as error:  # whatever a stranger's bytes may cause
        raise CheckpointError(f'{path} is damaged, or not a checkpoint of '
                              'this program: remove it') from error
    if workers.rank == 0:  # another machine may have other threads
        _refuse(old, settings, path)
    return trainings


def _checked(training):
    """`training`, if its fields are what `_state` makes; or `ValueError`.

    NumPy and MXNet would crash with some others.
    """
    epoch, history, updates, (position, has_gauss, gauss), arrays = training
    words = arrays[0]
    if not (_are_counts([epoch, position, has_gauss, *updates])
            and position <= 624 and isinstance(gauss, float)
            and (words.shape, words.dtype) == ((624,), 'uint32')
            and len({len(row) for row in history}) <= 1
            and all(len(row) > 1 and _are_counts(
                [x for x in row if not isinstance(x, float)])
                for row in history)):
        raise ValueError('no training')
    return training


def _are_counts(values):
    return all(type(x) is int and 0 <= x < 2 ** 31 for x in values)


def _refuse(old, settings, path):
    """Raise `CheckpointError` where `settings` are not the `old` ones."""
    differ = [f'{name} {old.get(name)}, here {settings.get(name)}'
              for name in {**old, **settings}
              if old.get(name) != settings.get(name)]
    if differ:
        raise CheckpointError(f'{path} is of another run: '
                              + printable('; '.join(differ)))
