"""Cross-entropy of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.contracts import Batch


def loss(task: Any) -> Callable[[Batch], Tensor]:
    """Logits and labels."""
    model, smoothing = task.model, task.label_smoothing
    return lambda batch: cross_entropy(model(batch["inputs"]), batch["labels"], label_smoothing=smoothing)
