"""Noise: an endless stream of numbered samples. Functions draw what they need from the numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from optbench.contracts import Batch, FunctionData, Progress, Seeds

GENERATOR = "optbench.draws: splitmix64"  # hashed: the content depends only on this and the run's seed
BLOCK_NUMBERS = 2**16  # random numbers drawn at once, about: 512 KiB
BLOCK_STEPS = 1024  # batches drawn at once, at most

Draw = Callable[[int, Tensor], Mapping[str, Tensor]]


class Noise:
    """The embedded source."""

    def locate(self, root: Path) -> Path:
        """Return this file, since the samples are computed."""
        return Path(__file__)

    def get(self, root: Path, progress: Progress) -> Path:
        """Return this file; there is nothing to download."""
        return self.locate(root)

    def verify(self, root: Path) -> None:
        """Return None: the samples are computed."""

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> NoiseStream:
        """Return the stream of the run's seed."""
        return NoiseStream(seeds, device)


class NoiseStream(FunctionData):
    """Batches of "index" (B,) int64, the samples' numbers, and the tensors that a function draws for them.

    A function has no data to hold out: every split evaluates its exact value, which draws nothing. A split has one
    sample, number 0."""

    sha256 = hashlib.sha256(GENERATOR.encode()).hexdigest()
    verified = True
    sizes: Mapping[str, int] = {"train": 1, "validation": 1, "test": 1}
    tokens_per_sample = 0
    facts: Mapping[str, object] = {"generator": GENERATOR}

    def __init__(self, seeds: Seeds, device: torch.device) -> None:
        self.seeds, self.device = seeds, device
        self._draw: Draw = lambda seed, index: {}
        self._width = 0

    def fill(self, draw: Draw, width: int) -> None:
        """Add the tensors (B, ...) of `draw(seed, index)` to every training batch from now on.

        They must depend only on the seed and each sample's number. `width`: about how many random numbers a sample
        takes."""
        self._draw, self._width = draw, width

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end; batch k has the samples k B .. (k + 1) B - 1.

        Blocks start at fixed positions in the stream, so that a resumed run also computes whole blocks."""
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
        """Yield the one sample."""
        yield {"index": torch.zeros(1, dtype=torch.int64, device=self.device)}
