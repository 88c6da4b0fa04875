"""The CIFAR sets (Krizhevsky, 2009): 60,000 colour images of 32x32 pixels in pickles of uint8 rows."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optbench.contracts import Seeds
from optbench.data.augment import Augment
from optbench.data.download import Progress, Published, download, unpack
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.splits import stratified
from optbench.errors import ConfigError, MissingError

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Facts:
    """What tells one CIFAR set from the other."""

    files: Published
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str
    classes: int
    url: str
    archive_md5: str


class Cifar:
    """A CIFAR set; a subclass gives its facts."""

    facts: Facts

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, Any]) -> None:
        self.validation, self.verify_mode = validation, verify
        self.augment = Augment(**augment)

    def locate(self, root: Path) -> Path | None:
        """The folder of pickles."""
        return self.facts.files.locate(root)

    def get(self, root: Path, progress: Progress) -> Path:
        """Download and unpack upstream's archive, unless it is here."""
        found = self.locate(root)
        if found:
            return found
        archive = root / self.facts.url.rsplit("/", 1)[1]
        if not archive.is_file():
            download(self.facts.url, archive, self.facts.archive_md5, progress, name=self.facts.files.name)
        unpack(archive, root)
        return self.facts.files.require(root)

    def verify(self, root: Path) -> list[str]:
        """Differences from the published MD5s."""
        return self.facts.files.differences(self.facts.files.require(root))

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """The last `validation` samples' share of each class of the training part becomes the validation part."""
        facts = self.facts
        folder = facts.files.require(root)
        verified = facts.files.checked(folder, self.verify_mode)
        train, test = self._read(folder, facts.train), self._read(folder, facts.test)
        try:
            kept, held = stratified(train.labels, self.validation)
        except ValueError as error:
            raise ConfigError(f"data.validation={self.validation}: {error}") from None
        splits = {
            "train": Images(train.images[kept], train.labels[kept]),
            "validation": Images(train.images[held], train.labels[held]),
            "test": test,
        }
        return InMemoryImages(
            splits, classes=facts.classes, augment=self.augment, seeds=seeds, device=device, verified=verified
        )

    def _read(self, folder: Path, files: tuple[str, ...]) -> Images:
        parts = [read_pickle(folder / file) for file in files]
        try:
            rows = np.concatenate([part["data"] for part in parts])
            labels = [int(label) for part in parts for label in part[self.facts.labels]]
            images = torch.from_numpy(rows.reshape(-1, 3, 32, 32).astype(np.uint8))
        except (KeyError, ValueError, TypeError) as error:
            raise MissingError(f"{folder}: the files do not hold CIFAR's rows and labels ({error})") from error
        return Images(images, torch.tensor(labels, dtype=torch.long))


class ArraysOnly(pickle.Unpickler):
    """Unpickles arrays, lists and strings; a pickle that names anything else is refused, since it could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """The few constructors that an array needs."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(file: Path) -> dict[str, Any]:
    """The dictionary in a CIFAR pickle. MissingError names a file that does not hold one."""
    try:
        with open(file, "rb") as stream:
            tree = ArraysOnly(stream, encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise MissingError(
            f"{file} is no CIFAR file: {str(error) or type(error).__name__}", "Delete it and fetch the set again"
        ) from error
    if not isinstance(tree, dict):
        raise MissingError(f"{file} is no CIFAR file: it holds no dictionary", "Delete it and fetch the set again")
    return tree
