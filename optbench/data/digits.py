"""Digits: 1,797 handwritten digits of 8x8 grey pixels; the files come with scikit-learn."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from optbench.contracts import Seeds
from optbench.data.augment import Augment
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.splits import stratified
from optbench.errors import ConfigError, MissingError

FILE = "digits.csv.gz"
TEST_SAMPLES = 360  # a fifth, as is usual for this set


class Digits:
    """The embedded set."""

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, Any]) -> None:
        self.validation = validation
        self.augment = Augment(**augment)

    def locate(self, root: Path) -> Path:
        """scikit-learn's own folder; the package itself, a second and a half to import, is not needed."""
        package = importlib.util.find_spec("sklearn")
        if package is None or not package.submodule_search_locations:
            raise MissingError(
                "data=digits comes with scikit-learn, which is not installed", "pip install scikit-learn"
            )
        return Path(package.submodule_search_locations[0]) / "datasets" / "data"

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """It is here already."""
        return self.locate(root)

    def verify(self, root: Path) -> list[str]:
        """There is no checksum but the package's."""
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """Grey levels 0..16 scaled to 0..255."""
        import numpy

        table = torch.from_numpy(numpy.loadtxt(self.locate(root) / FILE, delimiter=","))  # 64 pixels and a label a line
        images = (table[:, :-1].reshape(-1, 1, 8, 8) * 255 / 16).round().to(torch.uint8)
        labels = table[:, -1].long()
        rest, test = stratified(labels, TEST_SAMPLES)
        try:
            train, held = stratified(labels[rest], self.validation)
        except ValueError as error:
            raise ConfigError(f"data.validation={self.validation}: {error}") from None
        chosen = {"train": rest[train], "validation": rest[held], "test": test}
        splits = {name: Images(images[index], labels[index]) for name, index in chosen.items()}
        return InMemoryImages(splits, classes=10, augment=self.augment, seeds=seeds, device=device)
