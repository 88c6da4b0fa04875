"""T5's pretraining task: the decoder writes the spans that were removed from a sample; see optbench/tasks/spans.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, Seeds, TextData
from optbench.errors import ConfigError
from optbench.tasks.language import LanguageTask
from optbench.tasks.spans import corrupt, span_shape


class SpanCorruption(LanguageTask):
    """From inputs (B, L - N + S + 1) and the shifted targets to logits (B, N + S + 1, pieces + sentinels).

    The loss counts every target. The metric leaves out sentinels and the closing end, which have little to do with
    text. A document's end inside a span counts like any other piece."""

    def __init__(
        self, model: nn.Module, data: TextData, seeds: Seeds, *, noise_density: float, mean_span: float
    ) -> None:
        super().__init__(model, data, seeds)
        self.shape = span_shape(data.sequence_length, noise_density, mean_span)
        available = model.sentinels
        assert isinstance(available, int)
        if self.shape.spans > available:
            raise ConfigError(
                f"model.sentinels={available} is too small for samples with {self.shape.spans} spans",
                f"Set model.sentinels={self.shape.spans}, or a larger model.task.mean_span",
            )

    def prepared(self, batch: Batch, seed: int) -> Batch:
        """Return inputs, targets, and decoder inputs: the targets after a start piece (the padding piece, as in T5)."""
        vocabulary = self.vocabulary
        inputs, targets = corrupt(
            batch["tokens"],
            batch["index"],
            seed,
            self.shape,
            first_sentinel=vocabulary.size,
            end=vocabulary.end,
        )
        start = targets.new_full((len(targets), 1), vocabulary.pad)
        return {"inputs": inputs, "decoder_inputs": torch.cat([start, targets[:, :-1]], 1), "labels": targets}

    def logits(self, batch: Batch) -> Tensor:
        """Return scores of each target, given those before it."""
        return self.model(batch["inputs"], batch["decoder_inputs"])

    def in_metric(self, labels: Tensor) -> Tensor:
        """Return which labels are pieces of the sample."""
        counted = labels < self.vocabulary.size
        counted[:, -1] = False
        return counted
