"""Cross-entropy of the next piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.contracts import Batch


def loss(task: Any) -> Callable[[Batch], Tensor]:
    """Tokens shifted by one."""
    model = task.model

    def mean(batch: Batch) -> Tensor:
        tokens = batch["tokens"]
        return cross_entropy(model(tokens[:, :-1]).flatten(0, 1).float(), tokens[:, 1:].flatten())

    return mean
