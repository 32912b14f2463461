"""The book's PyTorch code as its reader runs it: its own loop and loader.

Only what would read the images is ours, because the book leaves that to
torchvision, whose releases fit few of PyTorch's. It does the same to each
image.
"""
import sys
import types

import numpy as np
import torch
from PIL import Image

from ..d2l import fashion_mnist
from .pytorch import network_of


def _import_d2l():
    """The book's package, which imports torchvision at its top."""
    vision = types.ModuleType('torchvision')
    vision.transforms = types.ModuleType('torchvision.transforms')
    sys.modules.update({'torchvision': vision,
                        'torchvision.transforms': vision.transforms})
    from d2l import torch as d2l
    return d2l


class FashionMNIST(torch.utils.data.Dataset):
    """What torchvision makes of an image: Pillow's, then `ToTensor`'s."""

    def __init__(self, images, labels):
        self.images, self.labels = map(torch.tensor, (images, labels))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = np.array(Image.fromarray(self.images[i].numpy()))
        X = torch.from_numpy(image).view(28, 28, 1).permute(2, 0, 1)
        return X.contiguous().float().div(255), int(self.labels[i])


def epoch(network, batch_size):
    """One epoch, training and evaluation; gives the test accuracy."""
    d2l = _import_d2l()
    torch.manual_seed(0)
    (X, y, *test), _ = fashion_mnist.fetch(fashion_mnist.cache_folder())
    train_iter, test_iter = (torch.utils.data.DataLoader(
        FashionMNIST(*arrays), batch_size, shuffle=arrays[0] is X,
        num_workers=d2l.get_dataloader_workers())
        for arrays in ((X, y), test))
    lr = network.pop('lr')
    net = torch.nn.Sequential(torch.nn.Flatten(), network_of(**network))
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr)

    def run():
        d2l.train_epoch_ch3(net, train_iter, loss, optimizer)
        return {'accuracy': d2l.evaluate_accuracy(net, test_iter)}
    return run, lambda: None
