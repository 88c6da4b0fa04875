"""The function's value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from optbench.contracts import Batch


def loss(task: Any) -> Callable[[Batch], Tensor]:
    """The mean of the batch's functions."""
    model = task.model
    return lambda batch: model(batch) / len(batch["index"])
