"""Packed tokens: documents in a row, each followed by the end piece, cut into samples of equal length.

Nothing is padded; what is left over at the end of a split is dropped. Batch k is a function of (seeds, batch size, k)
alone: the order is an endless stream of permutations of the samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optbench.contracts import Batch, Seeds
from optbench.data.corpus import SPLITS, Corpus, chunks, require_text
from optbench.data.in_memory import Order
from optbench.data.token_cache import CHUNK_CHARACTERS, Entry, entry_of
from optbench.data.tokenizer import Tokenizer, given, trained
from optbench.errors import ConfigError

DEVICE_LIMIT_BYTES = 64 * 2**20  # of tokens on disk: up to here a set lives on the device
TRAINING_CHARACTERS = 200 * 10**6  # of the training part, from its start: what a tokenizer is trained on


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """How text becomes samples; the meanings of the keys stand in conf/data/text.yaml."""

    sequence_length: int
    vocabulary: int
    tokenizer: str | None

    def dataset(self, corpus: Corpus, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """The corpus's samples, by way of the token cache."""
        if self.tokenizer is not None:
            ready = given(self.tokenizer, root)
            entry = entry_of(corpus, ready.sha256, lambda: ready)
        else:
            spec = f"byte-level BPE, {self.vocabulary} pieces of {TRAINING_CHARACTERS} characters"
            entry = entry_of(corpus, spec, lambda: self._trained(corpus))
        return PackedTokens(entry, corpus.name, sequence_length=self.sequence_length, seeds=seeds, device=device)

    def _trained(self, corpus: Corpus) -> Tokenizer:
        require_text(corpus)
        return trained(first_characters(corpus.documents("train")), self.vocabulary, corpus.name)


def first_characters(documents: Iterator[str]) -> Iterator[str]:
    """The documents up to TRAINING_CHARACTERS, in the pieces that are tokenised later."""
    left = TRAINING_CHARACTERS
    for document in documents:
        yield from chunks(document[:left], CHUNK_CHARACTERS)
        left -= len(document)
        if left <= 0:
            return


class PackedTokens:
    """A TextData over an entry of the token cache."""

    verified = True

    def __init__(self, entry: Entry, name: str, *, sequence_length: int, seeds: Seeds, device: torch.device) -> None:
        self.sequence_length = self.tokens_per_sample = sequence_length
        self.seeds, self.device = seeds, device
        self.sizes = {split: entry.tokens[split] // sequence_length for split in SPLITS}
        for split, samples in self.sizes.items():
            if not samples:
                raise ConfigError(
                    f"data.sequence_length={sequence_length}: the {split} part of {name} has "
                    f"{entry.tokens[split]} tokens, less than one sample",
                    "Take shorter sequences or more text",
                )
        self.sha256 = content_sha256(entry, sequence_length)
        self.facts: Mapping[str, Any] = {
            "vocabulary": entry.tokenizer.size,
            "sequence_length": sequence_length,
            "tokens": dict(entry.tokens),
            "tokenizer_sha256": entry.tokenizer.sha256,
        }
        self.vocabulary = entry.tokenizer.vocabulary(torch.from_numpy(entry.counts()))
        samples = {split: self._samples(entry.mapped(split), self.sizes[split]) for split in SPLITS}
        held = sum(rows.nbytes for rows in samples.values()) <= DEVICE_LIMIT_BYTES
        self._rows = {split: Held(rows, device) if held else Mapped(rows, device) for split, rows in samples.items()}

    def _samples(self, tokens: np.ndarray, samples: int) -> np.ndarray:
        return tokens[: samples * self.sequence_length].reshape(samples, self.sequence_length)

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Endless training batches from batch `first_step` on: "tokens" (B, sequence_length) int64; "index" (B,) int64,
        positions in the endless stream of samples."""
        rows = self._rows["train"]
        order = Order(self.sizes["train"], self.seeds.order, rows.order_device)
        first = first_step * batch_size
        while True:
            tokens = rows.take(order.indices(first, batch_size))
            yield {"tokens": tokens, "index": torch.arange(first, first + batch_size, device=self.device)}
            first += batch_size

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Every sample of a split once, in order, or `limit` of them evenly spaced."""
        rows, count = self._rows[split], self.sizes[split]
        chosen = torch.arange(count, device=rows.order_device)
        if limit is not None and limit < count:
            chosen = chosen[torch.linspace(0, count - 1, limit, dtype=torch.float64).long()]
        for part in chosen.split(batch_size):
            yield {"tokens": rows.take(part), "index": part.to(self.device)}


class Held:
    """Samples (N, L) on the device, as int32: torch can index those everywhere."""

    def __init__(self, rows: np.ndarray, device: torch.device) -> None:
        self._rows = torch.from_numpy(rows.astype(np.int32)).to(device)
        self.order_device = device

    def take(self, chosen: Tensor) -> Tensor:
        """int64 (B, L) on the device."""
        return self._rows[chosen].long()


class Mapped:
    """Samples (N, L) on disk, gathered for each batch."""

    def __init__(self, rows: np.ndarray, device: torch.device) -> None:
        self._rows, self._device = rows, device
        self.order_device = torch.device("cpu")

    def take(self, chosen: Tensor) -> Tensor:
        """int64 (B, L) on the device."""
        tokens = torch.from_numpy(self._rows[chosen.numpy()].astype(np.int64))
        if self._device.type != "cuda":
            return tokens.to(self._device)
        return tokens.pin_memory().to(self._device, non_blocking=True)


def content_sha256(entry: Entry, sequence_length: int) -> str:
    """Hash of content, split, tokenizer and length: the tokens of each split are content and split in one."""
    parts = [dict(sorted(entry.sha256.items())), entry.dtype, entry.tokenizer.sha256, sequence_length]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
