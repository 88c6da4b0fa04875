"""Cross-entropy of masked tokens. The task masks them; by hand one would call a collator."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.benches.bare import Loss
from optbench.contracts import Batch
from optbench.tasks.masked_lm import MaskedLM


def loss(task: MaskedLM) -> Loss:
    """Return the loss at the masked positions."""
    model, seed = task.model, task.seed

    def mean(batch: Batch) -> Tensor:
        masked = task.prepared(batch, seed)
        logits = model(masked["inputs"], masked["positions"])
        return cross_entropy(logits.flatten(0, 1).float(), masked["labels"].flatten(), ignore_index=-100)

    return mean
