"""Classification of images: cross-entropy, scored by top-1 accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, SumCount, Turn

DIVERGED_LOSS = 100.0  # times the loss of a uniform guess


class ImageClassification:
    """One player, "model", from images (B, C, H, W) to logits (B, classes)."""

    metric = "accuracy"
    direction = "max"

    def __init__(self, model: nn.Module, *, classes: int, label_smoothing: float) -> None:
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model = model
        self.classes = classes
        self.label_smoothing = label_smoothing

    def turns(self, batch: Batch) -> Iterator[Turn]:
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

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Plain cross-entropy and correct predictions."""
        labels: Tensor = batch["labels"]
        logits = self.model(batch["inputs"]).float()
        correct = (logits.argmax(1) == labels).sum()
        return {
            "loss": (functional.cross_entropy(logits, labels, reduction="sum"), len(labels)),
            "metric": (correct, len(labels)),
        }

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def diverged(self, loss: float) -> str:
        """Not finite, or a hundred times the loss of a uniform guess."""
        if not math.isfinite(loss):
            return f"the training loss is {loss}"
        bound = DIVERGED_LOSS * math.log(self.classes)
        return f"the training loss {loss:.3g} exceeds {bound:.3g}, 100 times a uniform guess" if loss > bound else ""
