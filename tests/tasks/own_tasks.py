"""Tasks of a user: functions with and without metrics, and classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from optbench.tasks.base import BaseTask


def plain(model: Any, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch["inputs"]), batch["labels"])


def loss(model: Any, batch: Any, *, smoothing: float = 0) -> tuple[Tensor, int]:
    logits = model(batch["inputs"])
    found = functional.cross_entropy(logits, batch["labels"], label_smoothing=smoothing, reduction="sum")
    return found, len(logits)


def accuracy(model: Any, batch: Any) -> tuple[Tensor, int]:
    right = model(batch["inputs"]).argmax(1) == batch["labels"]
    return right.sum(), len(right)


def most_frequent(model: Any, batch: Any) -> tuple[Tensor, int]:
    return (batch["labels"] == 3).sum(), len(batch["labels"])


def smoothness(model: Any, batch: Any, *, smoothing: float) -> float:
    return smoothing


loss.metrics = {"accuracy": accuracy, "smoothness": (smoothness, "max")}  # type: ignore[attr-defined]
loss.trivial = most_frequent  # type: ignore[attr-defined]
loss.metric_scale = "share"  # type: ignore[attr-defined]


def noisy(model: Any, batch: Any) -> Tensor:
    inputs = batch["inputs"] + torch.randn_like(batch["inputs"])
    return functional.cross_entropy(model(inputs), batch["labels"])


class Task(BaseTask):
    metric, direction, metric_scale = "accuracy", "max", "share"

    def __init__(self, model: Any, data: Any, seeds: Any, *, smoothing: float = 0.0) -> None:
        super().__init__(model, data, seeds)
        self.smoothing = smoothing

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        return loss(self.model, batch, smoothing=self.smoothing)

    def evaluate(self, batch: Any) -> dict[str, Any]:
        return {"loss": loss(self.model, batch), "metric": accuracy(self.model, batch)}
