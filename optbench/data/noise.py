"""Noise: an endless stream of numbered samples for functions, which draw from their numbers what they need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Batch, Seeds

GENERATOR = "optbench.draws: splitmix64"  # what the content is a function of, besides the run's seed
BLOCK_NUMBERS = 2**16  # random numbers drawn at once, about: 512 KiB
BLOCK_STEPS = 1024  # batches drawn at once, at most

Draw = Callable[[int, Tensor], Mapping[str, Tensor]]


class Noise:
    """The embedded source."""

    def locate(self, root: Path) -> Path:
        """It is nowhere but in this file."""
        return Path(__file__)

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """It is here already."""
        return self.locate(root)

    def verify(self, root: Path) -> list[str]:
        """There is nothing to differ."""
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> Stream:
        """The stream of the run's seed."""
        return Stream(seeds, device)


class Stream:
    """A DataSet of kind `function`: "index" (B,) int64, the sample's number, and what a function draws for it.

    A function has no parts to hold back: its exact value, which draws nothing, is what every split gives. A split has
    one sample, number 0."""

    sha256 = hashlib.sha256(GENERATOR.encode()).hexdigest()
    verified = True
    sizes: Mapping[str, int] = {"train": 1, "validation": 1, "test": 1}
    tokens_per_sample = 0
    facts: Mapping[str, Any] = {"generator": GENERATOR}

    def __init__(self, seeds: Seeds, device: torch.device) -> None:
        self.seeds, self.device = seeds, device
        self._draw: Draw = lambda seed, index: {}
        self._width = 0

    def fill(self, draw: Draw, width: int) -> None:
        """Training batches hold what `draw(seed, index)` gives from now on: tensors (B, ...) that depend on each
        sample's number alone. `width` is how many random numbers a sample takes, about."""
        self._draw, self._width = draw, width

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Batch k holds the samples k B .. (k + 1) B - 1.

        Drawn in blocks of a fixed place in the stream, so that a resumed run computes each of them as a whole too."""
        length = max(1, min(BLOCK_STEPS, BLOCK_NUMBERS // (batch_size * max(1, self._width))))
        number, skipped = divmod(first_step, length)
        while True:
            yield from self._block(number, length, batch_size)[skipped:]
            number, skipped = number + 1, 0

    def _block(self, number: int, length: int, batch_size: int) -> list[Batch]:
        first = number * length * batch_size
        index = torch.arange(first, first + length * batch_size, device=self.device)
        columns = {"index": index, **self._draw(self.seeds.augment, index)}
        parts = zip(*(column.split(batch_size) for column in columns.values()), strict=True)
        return [dict(zip(columns, part, strict=True)) for part in parts]

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """The one sample."""
        yield {"index": torch.zeros(1, dtype=torch.int64, device=self.device)}
