"""A small data set of text for tests: pieces drawn from a fixed distribution, no tokenizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from optbench.contracts import Batch, Vocabulary

PAD, MASK, END = 0, 1, 2
SIZE, LENGTH = 40, 24


def text_data(length: int = LENGTH, size: int = SIZE) -> Any:
    """Return the data properties that models and tasks read."""
    counts = torch.arange(size)
    counts[[PAD, MASK]] = 0
    lengths = torch.full((size,), 2)
    lengths[:3] = 0
    pieces = Vocabulary(size, PAD, MASK, END, (PAD, MASK, END), counts, lengths, lambda pieces: str(list(pieces)))
    return SimpleNamespace(vocabulary=pieces, sequence_length=length, tokens_per_sample=length)


def text_batch(samples: int, length: int = LENGTH, size: int = SIZE, first: int = 0) -> Batch:
    """Return samples of ordinary pieces with some end pieces; sample k is the same in every batch."""
    rows = []
    for index in range(first, first + samples):
        generator = torch.Generator().manual_seed(index)
        row = torch.randint(3, size, (length,), generator=generator)
        row[torch.randint(length, (1,), generator=generator)] = END
        rows.append(row)
    return {"tokens": torch.stack(rows), "index": torch.arange(first, first + samples)}
