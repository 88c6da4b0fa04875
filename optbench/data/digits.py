"""Digits: 1,797 handwritten digits of 8x8 grey pixels; the files come with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from optbench.contracts import Seeds
from optbench.data.augment import Augment
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.splits import stratified
from optbench.errors import ConfigError

TEST_SAMPLES = 360  # a fifth, as is usual for this set


class Digits:
    """The embedded set."""

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, Any]) -> None:
        self.validation = validation
        self.augment = Augment(**augment)

    def locate(self, root: Path) -> Path:
        """scikit-learn's own folder."""
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "data"

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """It is here already."""
        return self.locate(root)

    def verify(self, root: Path) -> list[str]:
        """There is no checksum but the package's."""
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """Grey levels 0..16 scaled to 0..255."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = (torch.tensor(bunch.images)[:, None] * 255 / 16).round().to(torch.uint8)
        labels = torch.tensor(bunch.target, dtype=torch.long)
        rest, test = stratified(labels, TEST_SAMPLES)
        try:
            train, held = stratified(labels[rest], self.validation)
        except ValueError as error:
            raise ConfigError(f"data.validation={self.validation}: {error}") from None
        chosen = {"train": rest[train], "validation": rest[held], "test": test}
        splits = {name: Images(images[index], labels[index]) for name, index in chosen.items()}
        return InMemoryImages(splits, classes=10, augment=self.augment, seeds=seeds, device=device)
