"""Image classification: losses, scores and divergence."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from optbench.contracts import Seeds
from optbench.tasks.image_classification import ImageClassification


def task(smoothing: float = 0.0) -> ImageClassification:
    data: Any = SimpleNamespace(classes=3)
    return ImageClassification(nn.Identity(), data, Seeds(0, 0, 0), label_smoothing=smoothing)


BATCH = {"inputs": torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), "labels": torch.tensor([0, 1])}


def test_loss_and_accuracy_are_sums_with_counts() -> None:
    expected = [math.log(math.e**2 + 2) - 2, math.log(2 + math.e)]
    total, count = task().loss(BATCH)
    assert total.item() == pytest.approx(sum(expected))
    assert count == 2
    scores = task().evaluate(BATCH)
    assert (scores["metric"][0].item(), scores["metric"][1]) == (1, 2)
    assert scores["loss"][0].item() == pytest.approx(sum(expected))


def test_labels_may_be_class_weights() -> None:
    shares = {**BATCH, "labels": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])}
    assert task().loss(shares)[0].item() == pytest.approx(task().loss(BATCH)[0].item())


def test_label_smoothing_affects_only_training() -> None:
    assert task(0.1).loss(BATCH)[0] != task().loss(BATCH)[0]
    assert task(0.1).evaluate(BATCH)["loss"][0] == task().evaluate(BATCH)["loss"][0]


def test_losses_diverge_if_not_finite_or_too_large() -> None:
    assert "nan" in task().diverged(math.nan)
    assert "exceeds" in task().diverged(1e4)
    assert task().diverged(5.0) == ""
