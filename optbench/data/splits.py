"""The split of training samples into training and validation, the same for every run."""

from __future__ import annotations

import torch
from torch import Tensor

SPLIT_SEED = 20260101  # a constant: the split belongs to the data set, not to a run


def stratified(labels: Tensor, validation: int) -> tuple[Tensor, Tensor]:
    """Sorted indices of the training and the validation samples; each class gives its share, rounded, of `validation`.

    Raises ValueError where the data is too small for that."""
    if not 0 < validation < len(labels):
        raise ValueError(f"{validation} validation samples cannot be taken from {len(labels)}")
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    # sorted by class, then every len/validation-th sample: each class gives its share to within one
    by_class = order[torch.argsort(labels[order], stable=True)]
    picks = (torch.arange(validation, dtype=torch.float64) + 0.5) * (len(labels) / validation)
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[by_class[picks.long()]] = True
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]
