"""Shared by most tasks: defaults for the Task protocol, and sampled labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from optbench.contracts import MetricScale

if TYPE_CHECKING:
    import numpy as np


class BaseTask:
    """Defaults: scores are means; no measures, pictures or hook; divergence if the loss is not finite or too large."""

    metric_scale: MetricScale = "real"
    """Any number, unless the task says more."""
    loss_bound = math.inf
    """A run has diverged if its training loss exceeds this."""

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the means unchanged."""
        return {name: float(value) for name, value in gathered.items()}

    def measures(self) -> dict[str, float]:
        """Return no additional values."""
        return {}

    def pictures(self) -> dict[str, np.ndarray]:
        """Return no images."""
        return {}

    def after_step(self, step: int) -> None:
        """Do nothing."""

    def diverged(self, loss: float) -> str:
        """Return the reason if the loss is not finite or exceeds `loss_bound`, else ""."""
        if not math.isfinite(loss):
            return f"the training loss is {loss}"
        return f"the training loss {loss:.3g} exceeds {self.loss_bound:.3g}" if loss > self.loss_bound else ""


def sampled_labels(logits: Tensor) -> Tensor:
    """Sample labels (...) for logits (..., classes) by the Gumbel-max trick, which accepts NaN."""
    scores = logits.detach().float()
    return (scores - torch.empty_like(scores).exponential_().log_()).argmax(-1)
