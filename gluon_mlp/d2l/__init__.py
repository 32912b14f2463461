"""What the book's own package gives the chapter, under the book's names.

`from gluon_mlp import d2l` stands for `from d2l import mxnet as d2l`. Each
module is imported once a name of it is asked for.
"""
import importlib
import re
from importlib.resources import files

_NAMES = {
    'data': ('ArrayIter', 'get_fashion_mnist_labels', 'load_array',
             'load_data_fashion_mnist', 'synthetic_data'),
    'training': ('Accumulator', 'Updater', 'accuracy', 'evaluate_accuracy',
                 'evaluate_loss', 'linreg', 'predict_ch3', 'sgd',
                 'squared_loss', 'train_ch3', 'train_epoch_ch3'),
    'plotting': ('Animator', 'plot', 'plt', 'save_figure', 'set_axes',
             'show_images'),
    'diagram': ('draw_computational_graph', 'draw_dropout', 'draw_network'),
}
_MODULE_OF = {name: module for module, names in _NAMES.items()
              for name in names}


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f'gluon_mlp.d2l has no {name!r}{_place(name)}')
    module = importlib.import_module(f'.{_MODULE_OF[name]}', __name__)
    return getattr(module, name)


def _place(name):
    """Where the book defines `name`, as its own package notes it."""
    try:
        book = files('d2l').joinpath('mxnet.py').read_text('utf-8')
    except (ImportError, OSError):
        return ''
    found = re.search(r'# Defined in file: \./chapter_(\S+)\.md\n'
                      rf'(?:def|class) {re.escape(name)}\b', book)
    return (f': the book defines it in {found[1]}, and its own package has it'
            if found else '')


def __dir__():
    return sorted({*globals(), *_MODULE_OF})
