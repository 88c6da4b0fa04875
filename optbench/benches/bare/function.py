"""The value of a synthetic function."""

from __future__ import annotations

from optbench.benches.bare import Loss
from optbench.tasks.function import FunctionValue


def loss(task: FunctionValue) -> Loss:
    """Return the mean of the batch's functions."""
    model = task.model
    return lambda batch: model(batch) / len(batch["index"])
