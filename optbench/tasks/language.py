"""What the tasks on text have in common: cross-entropy in nats over target pieces, scored against unigrams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, Evaluation, Seeds, SumCount, TextData, Turn
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask

IGNORED = -100  # the label of a position without a target
DIVERGED_LOSS = 10.0  # times the loss of a uniform guess


class LanguageTask(BaseTask):
    """One player, "model". A subclass says what its batches are (`prepared`) and how the model reads them (`logits`).

    A prepared batch holds "labels" (B, T) int64, IGNORED where there is no target, beside what the model reads; it is
    made once a step, before the batch is divided into micro-batches."""

    metric = "nats_per_token"
    direction = "min"
    evaluation_seed = 20_180_810  # of the random choices in evaluation: the same for every run and optimizer

    def __init__(self, model: nn.Module, data: TextData, seeds: Seeds) -> None:
        if data.sequence_length < 2:
            raise ConfigError(f"data.sequence_length={data.sequence_length}: a sample needs at least 2 tokens")
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model, self.vocabulary, self.seed = model, data.vocabulary, seeds.augment
        self.device = next(model.parameters()).device
        self.unigram_nats = unigram_nats(data.vocabulary.counts).to(self.device)
        self.loss_bound = DIVERGED_LOSS * math.log(data.vocabulary.size)

    def prepared(self, batch: Batch, seed: int) -> Batch:
        """What the model reads and its labels, from "tokens" (B, L) and "index" (B,)."""
        raise NotImplementedError

    def logits(self, batch: Batch) -> Tensor:
        """Scores (B, T, pieces) of a prepared batch."""
        raise NotImplementedError

    def in_metric(self, labels: Tensor) -> Tensor:
        """Which labels the metric counts: bool (B, T)."""
        return labels != IGNORED

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """One step of the one player."""
        yield Turn("model", self.prepared(batch, self.seed), self.loss, self.sampled_loss)

    def loss(self, batch: Batch) -> SumCount:
        """Summed cross-entropy in nats and the number of targets."""
        labels = batch["labels"]
        return nats(self.logits(batch), labels, "sum"), (labels != IGNORED).sum()

    def sampled_loss(self, batch: Batch) -> SumCount:
        """The same at labels drawn from the model's own probabilities (Gumbel's way, which takes nan too). What a
        model reads of earlier targets stays true."""
        logits, labels = self.logits(batch), batch["labels"]
        scores = logits.detach().float()
        drawn = (scores - torch.empty_like(scores).exponential_().log_()).argmax(-1)
        is_target = labels != IGNORED
        return nats(logits, torch.where(is_target, drawn, IGNORED), "sum"), is_target.sum()

    def evaluate(self, batch: Batch) -> Evaluation:
        """Cross-entropy of all targets; of those that the metric counts the same, that of unigrams, and the correct
        predictions."""
        batch = self.prepared(batch, self.evaluation_seed)
        logits, labels = self.logits(batch), batch["labels"]
        each = nats(logits, labels, "none").double()
        counted = self.in_metric(labels)
        count = counted.sum()
        return {
            "loss": (each.sum(), (labels != IGNORED).sum()),
            "metric": (each[counted].sum(), count),
            "trivial": (self.unigram_nats[labels[counted]].sum(), count),
            "accuracy": ((logits.argmax(-1) == labels)[counted].sum(), count),
        }


def nats(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Cross-entropy in float32 of logits (B, T, pieces) at labels (B, T): summed, or (B, T), 0 where IGNORED."""
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction=reduction
    )
    return flat.view_as(labels) if reduction == "none" else flat


def unigram_nats(counts: Tensor) -> Tensor:
    """-log of each piece's share, one added to each count: float64 (size,)."""
    smoothed = counts.double() + 1
    return -(smoothed / smoothed.sum()).log()
