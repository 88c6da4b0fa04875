"""T5's pretraining task: what was cut out of a sample is written by the decoder; see optbench/tasks/spans.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, Seeds, TextData
from optbench.errors import ConfigError
from optbench.tasks.language import LanguageTask
from optbench.tasks.spans import corrupted, span_shape


class SpanCorruption(LanguageTask):
    """From inputs (B, L - N + S + 1) and the shifted targets to logits (B, N + S + 1, pieces + sentinels).

    The loss counts every target; the metric leaves out sentinels and the closing end, which tell little of text. A
    document's end inside of a span is text like any other."""

    def __init__(
        self, model: nn.Module, data: TextData, seeds: Seeds, *, noise_density: float, mean_span: float
    ) -> None:
        super().__init__(model, data, seeds)
        self.shape = span_shape(data.sequence_length, noise_density, mean_span)
        available = int(model.sentinels)
        if self.shape.spans > available:
            raise ConfigError(
                f"model.sentinels={available} do not suffice for samples of {self.shape.spans} spans",
                f"Set model.sentinels={self.shape.spans}, or a larger model.task.mean_span",
            )

    def prepared(self, batch: Batch, seed: int) -> Batch:
        """Inputs, targets, and the targets behind a start piece (the padding piece, as in T5)."""
        vocabulary = self.vocabulary
        inputs, targets = corrupted(
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
        """Scores of each target, given those before it."""
        return self.model(batch["inputs"], batch["decoder_inputs"])

    def in_metric(self, labels: Tensor) -> Tensor:
        """Pieces of the sample."""
        counted = labels < self.vocabulary.size
        counted[:, -1] = False
        return counted
