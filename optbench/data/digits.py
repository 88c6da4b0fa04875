"""Digits: 1,797 handwritten digits of 8x8 grey pixels; the files come with scikit-learn."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from optbench.contracts import Progress, Seeds
from optbench.data.augment import Augment
from optbench.data.in_memory import Images, InMemoryImages, three_splits
from optbench.data.splits import stratified
from optbench.errors import MissingError

FILE = "digits.csv.gz"
TEST_SAMPLES = 360  # a fifth, as is usual for this set


class Digits:
    """The embedded image set."""

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, object]) -> None:
        self.validation = validation
        self.augment = Augment.of(augment)

    def locate(self, root: Path) -> Path:
        """Return scikit-learn's own folder, without importing the package, which takes more than a second."""
        package = importlib.util.find_spec("sklearn")
        if package is None or not package.submodule_search_locations:
            raise MissingError("data=digits needs the package scikit-learn", "pip install scikit-learn")
        return Path(package.submodule_search_locations[0]) / "datasets" / "data"

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the folder; there is nothing to download."""
        return self.locate(root)

    def verify(self, root: Path) -> None:
        """Return None: nothing is published; the package manager verifies the package."""

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """Load the digits with grey levels 0..16 scaled to 0..255."""
        text = gzip.decompress((self.locate(root) / FILE).read_bytes()).decode()
        # 64 pixels and a label per line; as whole numbers they are read seven times as fast as floats
        table = torch.from_numpy(np.loadtxt(text.splitlines(), delimiter=",", dtype=np.uint8)).double()
        images = (table[:, :-1].reshape(-1, 1, 8, 8) * 255 / 16).round().to(torch.uint8)
        digits = Images(images, table[:, -1].long())
        rest, test = stratified(digits.labels, TEST_SAMPLES)
        splits = three_splits(digits.at(rest), digits.at(test), self.validation)
        return InMemoryImages(splits, classes=10, augment=self.augment, seeds=seeds, device=device)
