"""Shared by the text tasks: cross-entropy in nats over target pieces, compared with unigrams."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import Batch, Seeds, SumCount, TextData, Turn
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask, sampled_labels
from optbench.tasks.outputs import scores

IGNORED = -100  # the label of a position without a target
DIVERGED_LOSS = 10.0  # times the loss of a uniform guess


class LanguageTask(BaseTask, ABC):
    """One player, "model". A subclass defines its batches (`prepared`) and the model's call (`logits`).

    A prepared batch has "labels" (B, T) int64, IGNORED at positions without a target, and the model's inputs. It is
    made once per step, before the batch is divided into micro-batches."""

    metric = "nats_per_token"
    metric_scale = "positive"
    direction = "min"
    capturable = True
    evaluation_seed = 20_180_810  # of random choices in evaluation: the same for every run and optimizer

    def __init__(self, model: nn.Module, data: TextData, seeds: Seeds) -> None:
        if data.sequence_length < 2:
            raise ConfigError(f"data.sequence_length={data.sequence_length}: a sample needs at least 2 tokens")
        self.players: Mapping[str, nn.Module] = {"model": model}
        self.model, self.vocabulary, self.seed = model, data.vocabulary, seeds.augment
        self.device = next(model.parameters()).device
        self.unigram_nats = unigram_nats(data.vocabulary.counts).to(self.device)
        self.loss_bound = DIVERGED_LOSS * math.log(data.vocabulary.size)

    @abstractmethod
    def prepared(self, batch: Batch, seed: int) -> Batch:
        """Return the model's inputs and labels, from "tokens" (B, L) and "index" (B,)."""

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """Return scores (B, T, pieces) of a prepared batch."""

    def scored(self, output: object, batch: Batch) -> Tensor:
        """Return the scores (B, T, pieces) in a model's output. Raises ConfigError for another shape."""
        shape, pieces = batch["labels"].shape, self.vocabulary.size
        return scores(self.model, output, (*shape, pieces), f"{pieces} pieces of text at {shape[1]} positions")

    def in_metric(self, labels: Tensor) -> Tensor:
        """Return which labels the metric counts: bool (B, T)."""
        return labels != IGNORED

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield one step of the one player."""
        yield Turn("model", self.prepared(batch, self.seed), self.loss, self.sampled_loss)

    def loss(self, batch: Batch) -> SumCount:
        """Return summed cross-entropy in nats and the number of targets."""
        labels = batch["labels"]
        return nats(self.logits(batch), labels, "sum"), (labels != IGNORED).sum()

    def sampled_loss(self, batch: Batch) -> SumCount:
        """Return the loss at labels sampled from the model's own probabilities.

        Earlier targets that the model reads stay the true ones."""
        logits, labels = self.logits(batch), batch["labels"]
        drawn = sampled_labels(logits)
        is_target = labels != IGNORED
        return nats(logits, torch.where(is_target, drawn, IGNORED), "sum"), is_target.sum()

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Return cross-entropy of all targets; of targets in the metric, also unigram nats and correct predictions."""
        batch = self.prepared(batch, self.evaluation_seed)
        logits, labels = self.logits(batch), batch["labels"]
        each = nats(logits, labels, "none").double()
        counted = self.in_metric(labels)
        count = counted.sum()
        unigram = self.unigram_nats[torch.where(counted, labels, 0)]
        return {  # sums of zeros where nothing counts: a selection by a mask would wait for the device
            "loss": (each.sum(), (labels != IGNORED).sum()),
            "metric": (torch.where(counted, each, 0).sum(), count),
            "trivial": (torch.where(counted, unigram, 0).sum(), count),
            "accuracy": (((logits.argmax(-1) == labels) & counted).sum(), count),
        }


def nats(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Return cross-entropy in float32 of logits (B, T, pieces) at labels (B, T): a sum, or (B, T), 0 where IGNORED."""
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction=reduction
    )
    return flat.view_as(labels) if reduction == "none" else flat


def unigram_nats(counts: Tensor) -> Tensor:
    """Return -log of each piece's share, with one added to each count: float64 (size,)."""
    smoothed = counts.double() + 1
    return -(smoothed / smoothed.sum()).log()
