"""What a checkpoint and the workers need of an updater: its parameters."""
from mxnet import gluon

from ..errors import ChapterError


def check(updater):
    """Raise `ChapterError` unless `updater` names its parameters."""
    if not (isinstance(updater, gluon.Trainer) or hasattr(updater, 'params')):
        raise ChapterError(
            '--checkpoint and launch need the parameters of the updater: '
            'give train_ch3 a d2l.Updater(params, lr) or a gluon.Trainer in '
            'place of a function')


def parameters(updater):
    """The arrays that `updater` changes, in its order.

    `updater` is a `gluon.Trainer`, or has `params`, as `d2l.Updater`.
    """
    if isinstance(updater, gluon.Trainer):
        return [param.data() for param in updater._params]
    return updater.params


def optimizer_states(updater):
    """The arrays that a `gluon.Trainer` keeps beside its parameters."""
    if not isinstance(updater, gluon.Trainer):
        return []
    states = updater._updaters[0].states
    return _flat([states[i] for i in sorted(states)])


def _flat(states):
    """The arrays in nested tuples of arrays and None."""
    if isinstance(states, (list, tuple)):
        return [a for state in states for a in _flat(state)]
    return [] if states is None else [states]
