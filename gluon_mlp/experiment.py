"""What a script is running: its figures' folder, its epochs, its workers.

By default an epoch is a pass over the data, and one process does all the
work. `run.checkpoint` and `run.workers` bring epochs and workers of their
own, which `use` puts in the place of these.
"""
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from tqdm import tqdm


def epochs(num_epochs, history, updater, draws=False, first=0):
    """The epochs `first` + 1 to `num_epochs`; a checkpoint sets `first`.

    A training asks here for its epochs. After each epoch that it evaluates,
    it appends a row of numbers to `history`. `updater` changes the
    parameters. `draws` says that an epoch may draw from MXNet's stream, as
    dropout does. Checkpoints, workers and the closing word need these three.
    """
    return progress(num_epochs, first)


def progress(num_epochs, first=0):
    """The epochs after `first` up to `num_epochs`, with a progress bar."""
    return tqdm(range(first + 1, num_epochs + 1), 'epochs', num_epochs,
                initial=first, leave=False, disable=None)


class OneProcess:
    """The only worker of a run that is not shared. It does everything."""
    rank = 0
    shared = False

    def share(self, net, train_iter, updater):
        """The batches of an epoch, and the step after each of them."""
        return train_iter, getattr(updater, 'step', updater)

    def part(self, data_iter):
        """The examples that this worker evaluates: all of them."""
        return data_iter

    def draw(self, random, shape, **kwargs):
        """What `random` draws for the examples at hand, a row for each.

        `random` is a function of MXNet's that takes a `size`. Where workers
        share a batch, all draw for the whole of it, and keep their rows.
        """
        return random(size=shape, **kwargs)

    def total(self, *numbers):
        """The sum of each number over the workers: here, the number."""
        return numbers

    def tell(self, data):
        """The bytes `data` that the first worker has."""
        return data


@dataclass
class Experiment:
    """What the current script is running."""
    figures: Path = Path('figures')  # the folder to save them in
    format: str = 'png'  # of the figures' files, or 'svg'
    lang: str = 'en'  # of the labels in diagrams, or 'zh'
    book_only: bool = False  # whether to end with the book's listings
    edition: Optional[str] = None  # of Fashion-MNIST, once it is loaded
    epochs: Callable = epochs
    workers: Any = OneProcess()


current = Experiment()


@contextmanager
def use(**changes):
    """Change fields of the current experiment until the context ends."""
    global current
    before = current
    current = replace(current, **changes)
    try:
        yield current
    finally:
        current = before
