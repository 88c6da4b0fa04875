"""Minimisation of a function with known value and minimum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, FunctionData, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask

DIVERGED_GAP = 1e6  # times the gap at the start


class KnownFunction(Protocol):
    """A function as an nn.Module; models/functions/base.py documents the members."""

    metric: str
    minimum: float
    width: int
    gives_distribution: bool

    def __call__(self, batch: Batch) -> Tensor: ...
    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]: ...
    def value(self) -> Tensor: ...
    def sampled(self, batch: Batch) -> Tensor: ...
    def measure(self) -> Tensor: ...
    def project(self) -> None: ...


class FunctionValue(BaseTask):
    """One player, "model": the function itself.

    The training loss is the noisy one of the batch's samples. Evaluation uses the exact value, the same for every
    split. The trivial answer is the metric at the start. A run has diverged if its training loss is not finite or more
    than 1e6 times as far above the minimum as the start."""

    direction = "min"
    metric_scale = "decades"
    capturable = True

    def __init__(self, model: KnownFunction, data: FunctionData, seeds: Seeds) -> None:
        assert isinstance(model, nn.Module)
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model: KnownFunction = model
        self.metric = model.metric
        data.fill(model.drawn, model.width)
        with torch.no_grad():
            self.trivial = model.measure().clone()
            self.loss_bound = model.minimum + DIVERGED_GAP * (float(model.value()) - model.minimum)
        self._sampled = self.sampled_loss if model.gives_distribution else None

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield one step of the one player."""
        yield Turn("model", batch, self.loss, self._sampled)

    def loss(self, batch: Batch) -> SumCount:
        """Return the sum of the samples' functions, and the number of samples."""
        return self.model(batch), len(batch["index"])

    def sampled_loss(self, batch: Batch) -> SumCount:
        """Return the loss at targets sampled from the model's own distribution."""
        return self.model.sampled(batch), len(batch["index"])

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Return the exact value, the metric and the metric at the start, for any batch."""
        return {"loss": (self.model.value(), 1), "metric": (self.model.measure(), 1), "trivial": (self.trivial, 1)}

    def after_step(self, step: int) -> None:
        """Project the parameters onto the function's feasible set."""
        self.model.project()
