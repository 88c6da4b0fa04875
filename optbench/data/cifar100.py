"""CIFAR-100: a hundred classes, 500 training and 100 test images each."""

from __future__ import annotations

from optbench.data.cifar import Cifar, CifarLayout
from optbench.data.download import PublishedFiles


class Cifar100(Cifar):
    """CIFAR-100 with its fine labels, as published, in cifar-100-python/."""

    layout = CifarLayout(
        files=PublishedFiles(
            "cifar100",
            "cifar-100-python",
            {
                "train": "16019d7e3df5f24257cddd939b257f8d",
                "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            },
        ),
        train=("train",),
        test=("test",),
        labels="fine_labels",
        classes=100,
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    )
