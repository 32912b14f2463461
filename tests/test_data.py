"""The iterators give what the book's `DataLoader` gives."""
import numpy as onp
import pytest
from gluon_mlp.d2l.data import (
    ArrayIter,
    get_fashion_mnist_labels,
    in_chunks,
    load_array,
    load_data_fashion_mnist,
    synthetic_data,
)
from mxnet import gluon, np
from mxnet.gluon.data.vision import transforms


def test_images_are_bitwise_those_of_to_tensor():
    """All 256 bytes become bitwise what MXNet's `ToTensor` makes of them."""
    images = onp.random.RandomState(0).permutation(onp.tile(
        onp.arange(256, dtype=onp.uint8), 49)).reshape(16, 1, 28, 28)
    (X,), = ArrayIter([images], 16, shuffle=False)
    to_tensor = transforms.ToTensor()
    for x, image in zip(X, images):
        reference = to_tensor(np.array(image.transpose(1, 2, 0),
                                       dtype='uint8'))
        assert x.dtype == reference.dtype == onp.float32
        assert (x.asnumpy() == reference.asnumpy()).all()
    assert (X.min(), X.max()) == (0, 1)


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('batch_size', [1, 3, 10, 11])
def test_same_batches_as_data_loader(shuffle, batch_size):
    """The same seed gives MXNet's `DataLoader`'s batches, in two passes."""
    X, y = np.random.normal(size=(10, 2)), np.arange(10, dtype='int32')
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), batch_size,
                                   shuffle=shuffle)
    data_iter = load_array((X, y), batch_size, is_train=shuffle)
    passes = []
    for batches in (loader, data_iter):
        onp.random.seed(5)
        passes.append([[a.asnumpy() for a in batch]
                       for _ in range(2) for batch in batches])
    assert len(data_iter) == len(loader) == -(-10 // batch_size)
    assert len(passes[0]) == len(passes[1])
    for reference, batch in zip(*passes):
        for a, b in zip(reference, batch):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert (a == b).all()


def test_each_pass_has_every_example_in_a_new_order():
    """Shuffled passes are permutations, and not the same one."""
    data_iter = ArrayIter([onp.arange(100)], 30, shuffle=True)
    first, second = ([int(i) for batch, in data_iter for i in batch]
                     for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_a_batch_is_not_a_view_of_the_data():
    """Writing into a batch leaves the data as they are."""
    X = onp.ones((4, 2), onp.float32)
    for batch, in ArrayIter([X], 4, shuffle=False):
        batch[:] = 0
    assert (X == 1).all()


def test_memory_is_shared_with_read_only_arrays_alone():
    """Many iterators keep Fashion-MNIST once; other arrays are copied."""
    X = onp.ones((4, 2), onp.float32)
    own, = ArrayIter([X], 2, shuffle=False).arrays
    X.flags.writeable = False
    shared, = ArrayIter([X], 2, shuffle=False).arrays
    again, = ArrayIter([shared], 2, shuffle=True).arrays
    X.flags.writeable = True
    X[:] = 3
    assert (own == 1).all() and (shared == 3).all() and again is shared


@pytest.mark.parametrize('arrays, batch_size, message', [
    ([onp.ones(3)], 0, 'batch_size is 0'),
    ([onp.ones(3)], -1, 'batch_size is -1'),
    ([onp.ones(3), onp.ones(4)], 2, 'different lengths: 3, 4'),
    ([onp.ones(0)], 2, 'no examples')])
def test_wrong_arguments(arrays, batch_size, message):
    """Wrong batch sizes and arrays are refused, with the reason."""
    with pytest.raises(ValueError, match=message):
        ArrayIter(arrays, batch_size, shuffle=True)


@pytest.mark.parametrize('batch_size, sizes', [
    (256, [2048, 2048, 904]), (4500, [4500, 500])])
def test_chunks_have_the_same_examples(batch_size, sizes):
    """In the same order, in larger batches; the iterator keeps its own."""
    data_iter = ArrayIter([onp.arange(5000)], batch_size, shuffle=False)
    chunks = [X.asnumpy() for X, in in_chunks(data_iter)]
    assert [len(X) for X in chunks] == sizes
    assert onp.concatenate(chunks).tolist() == list(range(5000))
    assert len(next(iter(data_iter))[0]) == batch_size
    batches = [(X,) for X, in data_iter]
    assert in_chunks(batches) is batches  # no iterator of ours


def test_synthetic_data_is_linear_with_small_noise():
    """y - Xw - b has mean 0 and scale 0.01 (within 5 standard errors)."""
    w = np.array([[2.0], [-3.4]])
    X, y = synthetic_data(w, 4.2, 2000)
    assert X.shape == (2000, 2) and y.shape == (2000, 1)
    noise = y.asnumpy() - X.asnumpy() @ w.asnumpy() - 4.2
    assert abs(noise.mean()) < 5 * 0.01 / 2000 ** 0.5
    assert abs(noise.std() / 0.01 - 1) < 5 / 4000 ** 0.5
    assert abs(X.asnumpy().mean()) < 5 / 4000 ** 0.5
    assert abs(X.asnumpy().std() - 1) < 5 / 8000 ** 0.5


def test_fashion_mnist_batches(real_data):
    """The batches have the book's shapes and types; the last is kept."""
    train_iter, test_iter = load_data_fashion_mnist(256)
    X, y = next(iter(train_iter))
    assert X.shape == (256, 1, 28, 28) and X.dtype == onp.float32
    assert y.shape == (256,) and y.dtype == onp.int32
    assert 0 <= X.min() and X.max() == 1
    *_, (X, y) = test_iter
    assert len(X) == len(y) == 10000 % 256
    assert len(train_iter) == 235 and len(test_iter) == 40
    assert (y.asnumpy() == real_data.test_labels[-len(y):]).all()


def test_only_training_data_are_shuffled(real_data):
    """The test set keeps its order, the training set does not."""
    train_iter, test_iter = load_data_fashion_mnist(100)
    labels = [next(iter(data_iter))[1].asnumpy()
              for data_iter in (train_iter, test_iter)]
    assert (labels[0] != real_data.train_labels[:100]).any()
    assert (labels[1] == real_data.test_labels[:100]).all()


def test_labels_have_the_published_names():
    """The ten names are those that MXNet's edition of the book uses."""
    from d2l import mxnet as d2l
    labels = list(range(10))
    assert (get_fashion_mnist_labels(labels)
            == d2l.get_fashion_mnist_labels(labels))
    assert get_fashion_mnist_labels(np.array([9, 0])) == ['ankle boot',
                                                          't-shirt']
