"""Minimisation of a function whose value and minimum are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, DataSet, Evaluation, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask

DIVERGED_GAP = 1e6  # times the start's height above the minimum


class FunctionData(DataSet, Protocol):
    """A DataSet of kind `function`: batches of "index" (B,) int64, the samples' numbers in the endless stream."""

    def fill(self, draw: Callable[[int, Tensor], Mapping[str, Tensor]], width: int) -> None:
        """Training batches hold what `draw(seed, index)` gives, about `width` random numbers a sample."""


class FunctionValue(BaseTask):
    """One player, "model", which is the function itself (models/functions/base.py says what it has).

    The loss in training is the noisy one, of the batch's samples; what is evaluated is the exact value, the same for
    every split. Trivial is the metric at the start. A run has diverged where its training loss is not finite or more
    than 1e6 times as far above the minimum as the start is."""

    direction = "min"

    def __init__(self, model: nn.Module, data: FunctionData, seeds: Seeds) -> None:
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model
        self.metric = model.metric
        data.fill(model.drawn, model.width)
        with torch.no_grad():
            self.trivial = model.measure().clone()
            self.loss_bound = model.minimum + DIVERGED_GAP * (float(model.value()) - model.minimum)
        self._sampled = self.sampled_loss if model.gives_distribution else None

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """One step of the one player."""
        yield Turn("model", batch, self.loss, self._sampled)

    def loss(self, batch: Batch) -> SumCount:
        """The sum of the batch's functions and their number."""
        return self.model(batch), len(batch["index"])

    def sampled_loss(self, batch: Batch) -> SumCount:
        """The same at targets drawn from the model's own distribution."""
        return self.model.sampled(batch), len(batch["index"])

    def evaluate(self, batch: Batch) -> Evaluation:
        """The exact value, the metric and the metric at the start, whatever the batch."""
        return {"loss": (self.model.value(), 1), "metric": (self.model.measure(), 1), "trivial": (self.trivial, 1)}

    def after_step(self, step: int) -> None:
        """Bring the parameters back to where the function is defined."""
        self.model.project()
