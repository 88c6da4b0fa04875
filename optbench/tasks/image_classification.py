"""Classification of images: cross-entropy, scored by top-1 accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, Evaluation, ImageData, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask

DIVERGED_LOSS = 100.0  # times the loss of a uniform guess


class ImageClassification(BaseTask):
    """One player, "model", from images (B, C, H, W) to logits (B, classes)."""

    metric = "accuracy"
    direction = "max"

    def __init__(self, model: nn.Module, data: ImageData, seeds: Seeds, *, label_smoothing: float) -> None:
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model
        self.classes = data.classes
        self.label_smoothing = label_smoothing
        self.loss_bound = DIVERGED_LOSS * math.log(data.classes)

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """One step of the one player."""
        yield Turn("model", batch, self.loss, self.sampled_loss)

    def loss(self, batch: Batch) -> SumCount:
        """Summed cross-entropy in nats and the number of samples; labels are classes (B,) or shares (B, classes)."""
        labels = batch["labels"]
        logits = self.model(batch["inputs"])
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction="sum")
        return loss, len(labels)

    def sampled_loss(self, batch: Batch) -> SumCount:
        """The same at labels drawn from the model's own probabilities (Gumbel's way, which takes nan too), without
        smoothing."""
        logits = self.model(batch["inputs"])
        scores = logits.detach().float()
        labels = (scores - torch.empty_like(scores).exponential_().log_()).argmax(1)
        return functional.cross_entropy(logits, labels, reduction="sum"), len(labels)

    def evaluate(self, batch: Batch) -> Evaluation:
        """Plain cross-entropy, correct predictions, and how often each class occurs."""
        labels: Tensor = batch["labels"]
        logits = self.model(batch["inputs"]).float()
        return {
            "loss": (functional.cross_entropy(logits, labels, reduction="sum"), len(labels)),
            "metric": ((logits.argmax(1) == labels).sum(), len(labels)),
            "classes": (torch.bincount(labels, minlength=self.classes), len(labels)),
        }

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Loss and accuracy; trivial is the accuracy of saying the most frequent class."""
        loss, metric, classes = (gathered[name] for name in ("loss", "metric", "classes"))
        return {"loss": float(loss), "metric": float(metric), "trivial": float(classes.max())}
