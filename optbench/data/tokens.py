"""Packed tokens: documents in sequence, each followed by the end piece, cut into samples of equal length.

Nothing is padded; the incomplete sample at the end of a split is dropped. Batch k depends only on (seeds, batch size,
k): the order is an endless stream of permutations of the samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from optbench.contracts import Batch, Seeds, TextData
from optbench.data.corpus import MORE_TEXT, SPLITS
from optbench.data.notices import counted
from optbench.data.sample_order import SampleOrder
from optbench.data.sending import send
from optbench.data.token_cache import TokenFiles
from optbench.errors import ConfigError

DEVICE_LIMIT_BYTES = 64 * 2**20  # of tokens on disk: up to this size all samples are kept on the device


class PackedTokens(TextData):
    """Samples from token files of the cache."""

    kind = "text"

    def __init__(
        self, files: TokenFiles, name: str, *, sequence_length: int, seeds: Seeds, device: torch.device
    ) -> None:
        self.verified = True
        self.sequence_length = self.tokens_per_sample = sequence_length
        self.seeds, self.device = seeds, device
        self.sizes = {split: files.tokens[split] // sequence_length for split in SPLITS}
        require_samples(files.tokens, name, sequence_length)
        self.sha256 = content_sha256(files, sequence_length)
        self.facts = {
            "vocabulary": files.tokenizer.size,
            "sequence_length": sequence_length,
            "tokens": dict(files.tokens),
            "tokenizer_sha256": files.tokenizer.sha256,
        }
        self.vocabulary = files.tokenizer.vocabulary(torch.from_numpy(files.counts()))
        samples = {split: self._samples(files.mapped(split), self.sizes[split]) for split in SPLITS}
        on_device = sum(rows.nbytes for rows in samples.values()) <= DEVICE_LIMIT_BYTES
        self._rows: dict[str, Rows] = {
            split: DeviceRows(rows, device) if on_device else MappedRows(rows, device)
            for split, rows in samples.items()
        }

    def _samples(self, tokens: np.ndarray, samples: int) -> np.ndarray:
        return tokens[: samples * self.sequence_length].reshape(samples, self.sequence_length)

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end: "tokens" (B, sequence_length) int64; "index" (B,) int64, positions in the
        endless stream of samples."""
        rows = self._rows["train"]
        order = SampleOrder(self.sizes["train"], self.seeds.order, rows.order_device)
        first = first_step * batch_size
        while True:
            tokens = rows.take(order.indices(first, batch_size))
            yield {"tokens": tokens, "index": torch.arange(first, first + batch_size, device=self.device)}
            first += batch_size

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Yield every sample of a split once, in order, or `limit` of them, evenly spaced."""
        rows, count = self._rows[split], self.sizes[split]
        chosen = torch.arange(count, device=rows.order_device)
        if limit is not None and limit < count:
            chosen = send(torch.linspace(0, count - 1, limit, dtype=torch.float64).long(), rows.order_device)
        for part in chosen.split(batch_size):
            yield {"tokens": rows.take(part), "index": send(part, self.device)}


def require_samples(tokens: Mapping[str, int], name: str, sequence_length: int) -> None:
    """Raise ConfigError if a split has less than one sample; the hint says which length would do."""
    split = min(SPLITS, key=lambda split: tokens[split])
    if tokens[split] >= sequence_length:
        return
    shorter = f"Set data.sequence_length={tokens[split]} or less. " if tokens[split] >= 2 else ""
    raise ConfigError(
        f"data.sequence_length={sequence_length}: the {split} split of {name} has only "
        f"{counted(tokens[split], 'token')}, less than one sample",
        shorter + MORE_TEXT,
    )


class Rows(Protocol):
    """Samples (N, L) of one split."""

    order_device: torch.device
    """The device on which `take` expects its indices."""

    def take(self, chosen: Tensor) -> Tensor:
        """Return the chosen samples, int64 (B, L), on the run's device."""
        ...


class DeviceRows:
    """Samples (N, L) on the device as int32, the smallest type that torch can index on every device."""

    def __init__(self, rows: np.ndarray, device: torch.device) -> None:
        self._rows = torch.from_numpy(rows.astype(np.int32)).to(device)
        self.order_device = device

    def take(self, chosen: Tensor) -> Tensor:
        """Return the chosen samples, int64 (B, L), on the device."""
        return self._rows[chosen].long()


class MappedRows:
    """Samples (N, L) on disk, gathered for each batch."""

    def __init__(self, rows: np.ndarray, device: torch.device) -> None:
        self._rows, self._device = rows, device
        self.order_device = torch.device("cpu")

    def take(self, chosen: Tensor) -> Tensor:
        """Return the chosen samples, int64 (B, L), on the device."""
        return send(torch.from_numpy(self._rows[chosen.numpy()].astype(np.int64)), self._device)


def content_sha256(files: TokenFiles, sequence_length: int) -> str:
    """Hash content, split, tokenizer and sequence length; the tokens of each split determine the first two."""
    parts = [dict(sorted(files.sha256.items())), files.dtype, files.tokenizer.sha256, sequence_length]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
