"""Cross-entropy of what was cut out. Corruption is the task's own: by hand one would call a collator there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.contracts import Batch


def loss(task: Any) -> Callable[[Batch], Tensor]:
    """Corrupted inputs and the targets behind the start piece."""
    model, seed = task.model, task.seed

    def mean(batch: Batch) -> Tensor:
        corrupted = task.prepared(batch, seed)
        logits = model(corrupted["inputs"], corrupted["decoder_inputs"])
        return cross_entropy(logits.flatten(0, 1).float(), corrupted["labels"].flatten())

    return mean
