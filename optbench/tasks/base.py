"""Shared by most tasks: defaults for the Task protocol, and sampled labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, DataSet, Evaluation, MetricScale, Seeds, SumCount, Turn

if TYPE_CHECKING:
    import numpy as np


class BaseTask:
    """Defaults for a task with one player, "model": a subclass writes `loss`, and has the rest of a Task.

    One step per batch; the metric is the loss; scores are means; no measures, pictures or hook; divergence if the loss
    is not finite or too large."""

    metric = "loss"
    direction = "min"
    metric_scale: MetricScale = "real"
    """Any number, unless the task says more."""
    capturable = False
    """True if a loss decides nothing on the host, so that a CUDA graph may repeat it (cuda_graph=true)."""
    loss_bound = math.inf
    """A run has diverged if its training loss exceeds this."""

    def __init__(self, model: nn.Module, data: DataSet, seeds: Seeds) -> None:
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model

    def turns(self, batch: Batch, step: int) -> Iterable[Turn]:
        """Yield one step of the one player."""
        yield Turn("model", batch, self.loss, getattr(self, "sampled_loss", None))

    def loss(self, batch: Batch) -> SumCount:
        """Return the sum over the batch, which has a gradient, and the number of its terms."""
        raise TypeError(f"{type(self).__name__} does not define loss()")

    def evaluate(self, batch: Batch) -> Evaluation:
        """Return the loss, which is also the metric."""
        found = self.loss(batch)
        return {"loss": found, "metric": found}

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
