"""Classification of images: cross-entropy, scored by top-1 accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, ImageData, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask, sampled_labels
from optbench.tasks.outputs import scores

DIVERGED_LOSS = 100.0  # times the loss of a uniform guess


class ImageClassification(BaseTask):
    """One player, "model", from images (B, C, H, W) to logits (B, classes)."""

    metric = "accuracy"
    metric_scale = "share"
    direction = "max"
    capturable = True

    def __init__(self, model: nn.Module, data: ImageData, seeds: Seeds, *, label_smoothing: float) -> None:
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model
        self.classes, self.meaning = data.classes, f"{data.classes} classes"
        self.label_smoothing = label_smoothing
        self.loss_bound = DIVERGED_LOSS * math.log(data.classes)

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield one step of the one player."""
        yield Turn("model", batch, self.loss, self.sampled_loss)

    def logits(self, batch: Batch) -> Tensor:
        """Return scores (B, classes)."""
        inputs = batch["inputs"]
        return scores(self.model, self.model(inputs), (len(inputs), self.classes), self.meaning)

    def loss(self, batch: Batch) -> SumCount:
        """Return summed cross-entropy in nats and the number of samples.

        Labels are classes (B,) or class weights (B, classes)."""
        labels = batch["labels"]
        logits = self.logits(batch)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction="sum")
        return loss, len(labels)

    def sampled_loss(self, batch: Batch) -> SumCount:
        """Return the loss at labels sampled from the model's own probabilities, without smoothing."""
        logits = self.logits(batch)
        labels = sampled_labels(logits)
        return functional.cross_entropy(logits, labels, reduction="sum"), len(labels)

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Return cross-entropy without smoothing, correct predictions, and the frequency of each class."""
        labels = batch["labels"]
        logits = self.logits(batch).float()
        classes = torch.arange(self.classes, device=labels.device)  # torch.bincount would wait for the device
        return {
            "loss": (functional.cross_entropy(logits, labels, reduction="sum"), len(labels)),
            "metric": ((logits.argmax(1) == labels).sum(), len(labels)),
            "classes": ((labels[:, None] == classes).sum(0), len(labels)),
        }

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Return loss, accuracy, and the trivial accuracy of always predicting the most frequent class."""
        loss, metric, classes = (gathered[name] for name in ("loss", "metric", "classes"))
        return {"loss": float(loss), "metric": float(metric), "trivial": float(classes.max())}
