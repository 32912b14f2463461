"""What is timed of the book's own code.

Each function returns what to time, and what waits for its end.
"""
from mxnet import npx, random

from ..compare import book


def epoch(section, what):
    """The book's epoch, with its own `DataLoader`; gives the accuracy."""
    random.seed(0)
    net, updater, _ = book.NETWORKS[section, what]()
    iters = book.load_data_fashion_mnist()

    def run():
        *_, test_acc = book.epoch_ch3(net, *iters, updater)
        return {'accuracy': test_acc}
    return run, npx.waitall


def chapter(sections):
    """All that the sections train; gives the best test accuracy of 4.3."""
    def run():
        trainings = {section: list(book.trainings(section, 0))
                     for section in sections}
        concise, = trainings['mlp_concise']
        return {'accuracy': max(row[-1] for row in concise.history)}
    return run, npx.waitall
