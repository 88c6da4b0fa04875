"""The CIFAR sets (Krizhevsky, 2009): 60,000 colour images of 32x32 pixels in pickles of uint8 rows."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from optbench.contracts import Progress, Seeds
from optbench.data.augment import Augment
from optbench.data.download import PublishedFiles, download, unpack
from optbench.data.in_memory import Images, InMemoryImages, three_splits
from optbench.errors import MissingError

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class CifarLayout:
    """The files of one CIFAR set, its label column and its archive."""

    files: PublishedFiles
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str
    classes: int
    url: str
    archive_md5: str


class Cifar:
    """A CIFAR set; a subclass sets its layout."""

    layout: ClassVar[CifarLayout]

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, object]) -> None:
        self.validation, self.verify_mode = validation, verify
        self.augment = Augment.of(augment)

    def locate(self, root: Path) -> Path | None:
        """Return the folder of pickles."""
        return self.layout.files.locate(root)

    def get(self, root: Path, progress: Progress) -> Path:
        """Download and unpack the published archive unless the files exist."""
        found = self.locate(root)
        if found:
            return found
        archive = root / self.layout.url.rsplit("/", 1)[1]
        if not archive.is_file():
            download(self.layout.url, archive, self.layout.archive_md5, progress, name=self.layout.files.name)
        unpack(archive, root)
        return self.layout.files.require(root)

    def verify(self, root: Path) -> list[str]:
        """Return the differences from the published MD5s."""
        return self.layout.files.differences(self.layout.files.require(root))

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """Load the images; `validation` training samples, the same share of each class, become the validation split."""
        layout = self.layout
        folder = layout.files.require(root)
        verified = layout.files.is_verified(folder, self.verify_mode)
        splits = three_splits(self._read(folder, layout.train), self._read(folder, layout.test), self.validation)
        return InMemoryImages(
            splits, classes=layout.classes, augment=self.augment, seeds=seeds, device=device, verified=verified
        )

    def _read(self, folder: Path, files: tuple[str, ...]) -> Images:
        parts = [read_pickle(folder / file) for file in files]
        try:
            rows = np.concatenate([part["data"] for part in parts])
            labels = [int(label) for part in parts for label in part[self.layout.labels]]
            images = torch.from_numpy(rows.reshape(-1, 3, 32, 32).astype(np.uint8))
        except (KeyError, ValueError, TypeError) as error:
            raise MissingError(f"{folder}: the files do not hold CIFAR's rows and labels ({error})") from error
        return Images(images, torch.tensor(labels, dtype=torch.long))


class ArraysOnly(pickle.Unpickler):
    """Unpickles only arrays, lists and strings; any other class in a pickle could run code."""

    def find_class(self, module: str, name: str) -> object:
        """Return one of the few constructors that an array needs."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(file: Path) -> dict[str, Any]:
    """Read the dictionary in a CIFAR pickle. Raises MissingError with the name of any other file."""
    try:
        with open(file, "rb") as stream:
            tree = ArraysOnly(stream, encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise not_cifar(file, str(error) or type(error).__name__) from error
    if not isinstance(tree, dict):
        raise not_cifar(file, "it has no dictionary")
    return tree


def not_cifar(file: Path, reason: str) -> MissingError:
    """Describe a file that is not a CIFAR pickle."""
    return MissingError(f"{file} is not a CIFAR file: {reason}", "Delete it and download the data again")
