"""The splits that the user doesn't give: cut from the training samples, the same for every run."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.data.notices import counted
from optbench.data.splits import stratified
from optbench.errors import ConfigError


def cut(where: str, classes: Tensor | None, samples: int, wanted: dict[str, float]) -> dict[str, Tensor]:
    """Return sorted indices of the training samples by split. `wanted`: the share or number of each one to cut.

    With `classes` (N,), each class gives its share; a class keeps at least one training sample. Raises ConfigError
    where a split would be empty."""
    sizes = {split: size if isinstance(size, int) else max(1, round(size * samples)) for split, size in wanted.items()}
    total = sum(sizes.values())
    if total >= samples:
        told = " and ".join(
            f"{counted(n, f'{split} sample')} (data.{split}={wanted[split]:g})" for split, n in sizes.items()
        )
        raise ConfigError(
            f"{where}: {counted(samples, 'training sample')} cannot give {told} and keep one",
            "Add samples, or give a smaller share: each of the three splits needs at least one",
        )
    groups = torch.zeros(samples, dtype=torch.long) if classes is None else classes
    left = torch.arange(samples)
    parts: dict[str, Tensor] = {}
    for split, size in sizes.items():
        kept, held = stratified(groups[left], size)
        missing = torch.isin(groups[left[held]], groups[left[kept]], invert=True)
        if missing.any() and not missing.all():  # a class with no training sample left gives its own back
            kept = torch.cat([kept, held[missing]]).sort().values
            held = held[~missing]
        parts[split], left = left[held], left[kept]
    return {"train": left, **parts}
