"""Regression: numbers to predict, trained by the mean squared error, scored by its root in the labels' own unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, DataSet, Seeds, SumCount, Turn
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask

DIVERGED_LOSS = 1e4  # squared standard deviations of the labels; predicting their mean has 1


class NumberData(DataSet, Protocol):
    """A DataSet whose "labels" (B, ...) are numbers, with their mean and standard deviation over the training split."""

    label_mean: Tensor
    label_std: Tensor


class Regression(BaseTask):
    """One player, "model", from inputs to as many numbers for each sample as its label has.

    The model predicts labels in standard deviations from the training split's mean, and the loss is in squared ones, so
    that learning rates do not depend on the labels' unit. The metric, rmse, is in that unit, over all numbers of all
    samples. The trivial answer is the mean of the training labels."""

    metric = "rmse"
    metric_scale = "positive"
    direction = "min"
    capturable = True
    loss_bound = DIVERGED_LOSS

    def __init__(self, model: nn.Module, data: NumberData, seeds: Seeds) -> None:
        if not hasattr(data, "label_mean"):
            raise ConfigError(
                "The task regression predicts numbers, but the labels of this data are not real numbers",
                "Choose task=supervised, which looks at the labels, or data.kind_of_label=numbers",
            )
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model
        self.mean, self.std = data.label_mean, data.label_std

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield one step of the one player."""
        yield Turn("model", batch, self.loss, self.sampled_loss)

    def predicted(self, batch: Batch) -> Tensor:
        """Return the model's outputs in the shape of the labels. Raises ConfigError for another number of them."""
        found, labels = self.model(batch["inputs"]), batch["labels"]
        if found.numel() != labels.numel():
            raise ConfigError(
                f"The model gives outputs of shape {tuple(found.shape)}, but the labels have {tuple(labels.shape)}",
                "Let the model give as many numbers for each sample as its label has (data.outputs)",
            )
        return found.reshape(labels.shape)

    def standard(self, labels: Tensor) -> Tensor:
        """Return labels in standard deviations from the mean."""
        return (labels - self.mean) / self.std

    def loss(self, batch: Batch) -> SumCount:
        """Return the sum of squared errors in variances of the labels, and the number of predictions."""
        target = self.standard(batch["labels"])
        return functional.mse_loss(self.predicted(batch), target, reduction="sum"), target.numel()

    def sampled_loss(self, batch: Batch) -> SumCount:
        """Return the loss at labels sampled from the normal distribution whose likelihood the loss is."""
        found = self.predicted(batch)
        target = found.detach() + math.sqrt(0.5) * torch.randn_like(found)
        return functional.mse_loss(found, target, reduction="sum"), target.numel()

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Return the loss, and squared errors of the predictions and of the training mean in the labels' own unit."""
        labels = batch["labels"].double()
        found = self.predicted(batch).double()
        count = labels.numel()
        error = found * self.std + self.mean - labels
        return {
            "loss": ((found - self.standard(labels)).square().sum(), count),
            "metric": (error.square().sum(), count),
            "trivial": ((labels - self.mean).square().sum(), count),
        }

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the loss, the rmse, and the rmse of the training mean."""
        roots = {name: math.sqrt(gathered[name]) for name in ("metric", "trivial")}
        return {"loss": float(gathered["loss"]), **roots}
