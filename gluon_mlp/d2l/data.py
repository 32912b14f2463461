"""The book's data iterators, over arrays in memory (3.2, 3.3, 3.5)."""
import copy

import numpy as onp
from mxnet import cpu, current_context, nd, np, npx

from . import fashion_mnist

npx.set_np()

CHUNK = 2048  # examples


class ArrayIter:
    """Minibatches of arrays in memory, as tuples of MXNet arrays.

    `arrays` are MXNet's or NumPy's and have the same first axis. With
    `shuffle` each pass has a new order. It is drawn as the book's
    `DataLoader` draws it: one permutation from NumPy's global generator. The
    last batch may be smaller. Bytes are images and become float32 in [0, 1].
    Raises `ValueError` for a batch size below 1, for arrays of different
    lengths, and for arrays without examples.

    The iterator keeps arrays of MXNet on the device that trains. MXNet takes
    the batches from them while Python goes on. MXNet's arrays and read-only
    arrays of NumPy share their memory with the iterator. Others are copied.

    Set `part` to (k, n) to get the k-th of n parts of each batch only.
    """
    part = 0, 1

    def __init__(self, arrays, batch_size, shuffle):
        self.arrays = [_to_mxnet(a) for a in arrays]
        self.batch_size, self.shuffle = batch_size, shuffle
        self.num_examples = len(self.arrays[0])
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}, not 1 or more')
        if len({len(a) for a in self.arrays}) > 1:
            raise ValueError('arrays of different lengths: '
                             + ', '.join(str(len(a)) for a in self.arrays))
        if self.num_examples == 0:
            raise ValueError('no examples')

    def __len__(self):
        return -(-self.num_examples // self.batch_size)

    def __iter__(self):
        order = onp.arange(self.num_examples)
        if self.shuffle:
            onp.random.shuffle(order)
        batch_size = self.batch_size
        if self.part != (0, 1):
            order, batch_size = self._take_part(order)
        ctx = current_context()
        self.arrays = [a.as_in_ctx(ctx) for a in self.arrays]
        order = np.array(order, dtype='int32', ctx=ctx)
        # Many batches are taken at once, and each is a view: that costs a
        # tenth of taking each batch.
        step = max(CHUNK // batch_size, 1) * batch_size
        for i in range(0, len(order), step):
            rows = order[i:i + step]
            chunk = [np.take(a, rows, axis=0, mode='clip')
                     for a in self.arrays]
            for j in range(0, len(rows), batch_size):
                yield tuple(a[j:j + batch_size] for a in chunk)

    def first(self, n):
        """The first `n` examples, in the order of the arrays."""
        return tuple(a[:n].as_in_ctx(current_context()) for a in self.arrays)

    def _take_part(self, order):
        """Our part of each batch, and its size in a whole batch."""
        k, n = self.part
        batches = [order[i:i + self.batch_size]
                   for i in range(0, len(order), self.batch_size)]
        # A smaller last batch must not have a larger part than the others.
        parts = [onp.array_split(batch, n)[k] for batch in batches]
        return onp.concatenate(parts), len(parts[0])


def in_chunks(data_iter):
    """The examples of an `ArrayIter` in batches of thousands.

    A few large operators then compute what is summed over all of them. Other
    iterators stay as they are.
    """
    if not isinstance(data_iter, ArrayIter):
        return data_iter
    chunks = copy.copy(data_iter)
    chunks.batch_size = max(CHUNK, data_iter.batch_size)
    return chunks


def _to_mxnet(a):
    if isinstance(a, np.ndarray):
        return a
    if a.dtype == onp.uint8:
        a = fashion_mnist.to_float(a)
    if a.flags.writeable or not a.flags.c_contiguous:
        return np.array(a, dtype=a.dtype, ctx=cpu())
    return nd.from_numpy(a).as_np_ndarray()  # of the same memory


def load_array(data_arrays, batch_size, is_train=True):
    """The minibatches of `data_arrays`, shuffled if `is_train` (3.3)."""
    return ArrayIter(data_arrays, batch_size, shuffle=is_train)


def synthetic_data(w, b, num_examples):
    """Draw y = Xw + b + noise of scale 0.01 (3.2).

    `w` (d, 1). Returns X float32 (n, d), standard normal, and y (n, 1).
    """
    X = np.random.normal(0, 1, (num_examples, len(w)))
    y = np.dot(X, w) + b
    y += np.random.normal(0, 0.01, y.shape)
    return X, y.reshape(-1, 1)


def load_data_fashion_mnist(batch_size):
    """The train and test iterators of Fashion-MNIST (3.5).

    Batches are `(X, y)`: X float32 (batch, 1, 28, 28) in [0, 1], y int32
    (batch,). Raises `DataError` if the data cannot be found.
    """
    data = fashion_mnist.load()
    return (ArrayIter([data.train_images, data.train_labels], batch_size,
                      shuffle=True),
            ArrayIter([data.test_images, data.test_labels], batch_size,
                      shuffle=False))


def get_fashion_mnist_labels(labels):
    """The names of the classes `labels`, a sequence of 0 to 9 (3.5)."""
    names = ['t-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal',
             'shirt', 'sneaker', 'bag', 'ankle boot']
    return [names[int(i)] for i in labels]
