"""The split of training samples into training and validation, the same for every run."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optbench.errors import ConfigError

SPLIT_SEED = 20260101  # a constant: the split belongs to the data set, not to a run


def stratified(labels: Tensor, held_out: int) -> tuple[Tensor, Tensor]:
    """Return sorted indices of the remaining and of the held-out samples; each class gives its share, rounded.

    Raises ValueError if there are too few samples."""
    if not 0 < held_out < len(labels):
        raise ValueError(f"cannot take {held_out} validation samples from {len(labels)}")
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    # sorted by class, then every n-th sample: each class gives its share to within one
    by_class = order[torch.argsort(labels[order], stable=True)]
    picks = (torch.arange(held_out, dtype=torch.float64) + 0.5) * (len(labels) / held_out)
    is_held_out = torch.zeros(len(labels), dtype=torch.bool)
    is_held_out[by_class[picks.long()]] = True
    return torch.nonzero(~is_held_out)[:, 0], torch.nonzero(is_held_out)[:, 0]


def train_and_validation(labels: Tensor, validation: float) -> tuple[Tensor, Tensor]:
    """Return sorted indices of training and validation samples. `validation` is a number of samples or a share.

    Raises ConfigError if there are too few samples."""
    samples = len(labels)
    try:
        return stratified(labels, validation if isinstance(validation, int) else round(validation * samples))
    except ValueError as error:
        least = str(max(1, samples // 10)) if isinstance(validation, int) else shortest_share(samples)
        raise ConfigError(
            f"data.validation={validation}: {error}",
            f"Set data.validation={least}, or add samples: each of the three splits needs at least one"
            if samples > 1
            else "Add samples: each of the three splits needs at least one",
        ) from None


def shortest_share(samples: int) -> str:
    """Return the smallest share, in few digits, that gives at least one of the samples."""
    return f"{math.ceil(100 / samples) / 100:g}" if samples <= 100 else f"{1 / samples:.1g}"
