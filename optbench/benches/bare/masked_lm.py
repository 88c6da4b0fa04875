"""Cross-entropy of the hidden pieces. Masking is the task's own: by hand one would call a collator there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.contracts import Batch


def loss(task: Any) -> Callable[[Batch], Tensor]:
    """Masked tokens and the pieces below."""
    model, seed = task.model, task.seed

    def mean(batch: Batch) -> Tensor:
        masked = task.prepared(batch, seed)
        logits = model(masked["inputs"], masked["positions"])
        return cross_entropy(logits.flatten(0, 1).float(), masked["labels"].flatten(), ignore_index=-100)

    return mean
