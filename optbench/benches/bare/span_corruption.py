"""Cross-entropy of the removed spans. The task corrupts the text; by hand one would call a collator."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.benches.bare import Loss
from optbench.contracts import Batch
from optbench.tasks.span_corruption import SpanCorruption


def loss(task: SpanCorruption) -> Loss:
    """Return the loss of the removed spans, given the corrupted inputs."""
    model, seed = task.model, task.seed

    def mean(batch: Batch) -> Tensor:
        corrupted = task.prepared(batch, seed)
        logits = model(corrupted["inputs"], corrupted["decoder_inputs"])
        return cross_entropy(logits.flatten(0, 1).float(), corrupted["labels"].flatten())

    return mean
