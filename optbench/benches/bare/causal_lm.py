"""Cross-entropy of the next token."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from optbench.benches.bare import Loss
from optbench.contracts import Batch
from optbench.tasks.causal_lm import CausalLM


def loss(task: CausalLM) -> Loss:
    """Return the loss on tokens shifted by one."""
    model = task.model

    def mean(batch: Batch) -> Tensor:
        tokens = batch["tokens"]
        return cross_entropy(model(tokens[:, :-1]).flatten(0, 1).float(), tokens[:, 1:].flatten())

    return mean
