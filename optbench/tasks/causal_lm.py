"""Causal language modelling: every piece of a sample but the first is predicted from those before it."""

from __future__ import annotations

import math

from torch import Tensor, nn

from optbench.contracts import Batch, Seeds, SumCount, TextData
from optbench.tasks.language import LanguageTask


class CausalLM(LanguageTask):
    """From tokens (B, L - 1) to logits (B, L - 1, pieces) of the next ones, within each sample."""

    def __init__(self, model: nn.Module, data: TextData, seeds: Seeds) -> None:
        super().__init__(model, data, seeds)
        self.byte_lengths = data.vocabulary.byte_lengths.to(self.device)

    def prepared(self, batch: Batch, seed: int) -> Batch:
        """Return inputs and labels; nothing is random."""
        return {"inputs": batch["tokens"][:, :-1], "labels": batch["tokens"][:, 1:]}

    def logits(self, batch: Batch) -> Tensor:
        """Return scores of the next piece at each position."""
        return self.scored(self.model(batch["inputs"]), batch)

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Add bits per byte of text, which are comparable between vocabularies.

        As usual, they include the cost of pieces without text, such as the end of a document."""
        scores = super().evaluate(batch)
        total, _ = scores["loss"]
        length = self.byte_lengths[batch["tokens"][:, 1:]].sum()
        return {**scores, "bits_per_byte": (total / math.log(2), length)}
