"""Cross-entropy of image labels."""

from __future__ import annotations

from torch.nn.functional import cross_entropy

from optbench.benches.bare import Loss
from optbench.tasks.image_classification import ImageClassification


def loss(task: ImageClassification) -> Loss:
    """Return the loss on inputs and labels."""
    model, smoothing = task.model, task.label_smoothing
    return lambda batch: cross_entropy(model(batch["inputs"]), batch["labels"], label_smoothing=smoothing)
