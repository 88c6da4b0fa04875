"""The task that the data's labels ask for: classes, numbers, or the next pieces of text."""

from __future__ import annotations

from typing import Any

from torch import nn

from optbench.contracts import DataSet, Seeds
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask
from optbench.tasks.causal_lm import CausalLM
from optbench.tasks.image_classification import ImageClassification
from optbench.tasks.regression import Regression

OWN = "Choose a task of your own that knows what they mean: task=./loss.py:loss"


def supervised(model: nn.Module, data: DataSet, seeds: Seeds, *, label_smoothing: float) -> BaseTask:
    """Return the task for the data: of classes, of numbers to predict, or of text.

    Raises ConfigError for labels that need a task of their own."""
    known: Any = data
    if label_smoothing and (hasattr(data, "label_mean") or hasattr(data, "vocabulary")):
        raise ConfigError(f"task.label_smoothing={label_smoothing:g} is for classes, which this data does not have")
    if hasattr(data, "vocabulary"):
        return CausalLM(model, known, seeds)
    if hasattr(data, "label_mean"):
        return Regression(model, known, seeds)
    shape = tuple(getattr(data, "label_shape", ()))
    if shape:
        raise ConfigError(f"The labels are whole numbers of shape {shape} for each sample", OWN)
    if not hasattr(data, "classes"):
        raise ConfigError("The data has no labels, so nothing says what the model should learn", OWN)
    return ImageClassification(model, known, seeds, label_smoothing=label_smoothing)
