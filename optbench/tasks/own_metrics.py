"""Losses and metrics that are functions of (model, batch): what they return, and which way a metric is better."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Batch, SumCount
from optbench.errors import ConfigError
from optbench.records import COLUMNS

WORDS = {
    "max": "accuracy acc f1 auc auroc iou dice psnr ssim r2 precision recall bleu",
    "min": "loss error err mse mae rmse nll perplexity nats bits fid wer cer",
}
DIRECTIONS = {word: direction for direction, words in WORDS.items() for word in words.split()}
"""The direction of metrics by a word of their name: "max" where larger is better."""
RESERVED = ("loss", "metric", "trivial")  # names that every task's scores have
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Metric:
    """A metric of the user's: its name, its direction ("max" or "min") and its function of (model, batch)."""

    name: str
    direction: str
    function: Callable[[Any, Batch], Any]


def metrics_of(metrics: object, where: str) -> list[Metric]:
    """Return the metrics of a mapping from names to functions, or to (function, "max" or "min").

    Raises ConfigError for a mapping of another form; the message begins with `where`."""
    if not isinstance(metrics, Mapping):
        raise ConfigError(
            f"{where}: metrics is of type {type(metrics).__name__}", 'Say metrics = {"accuracy": accuracy}'
        )
    return [metric_of(name, value, where) for name, value in metrics.items()]


def metric_of(name: object, value: object, where: str) -> Metric:
    """Return one metric."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{where}: metric name {str(name)[:60]!r}", "Use letters, digits and _, e.g. top5_accuracy")
    if name in RESERVED or name in COLUMNS:
        raise ConfigError(f"{where}: the metric '{name}' has the name of a column of records", "Choose another name")
    function, direction = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if not callable(function):
        hint = f'Say metrics = {{"{name}": function}} or {{"{name}": (function, "max")}}'
        raise ConfigError(f"{where}: the metric '{name}' is of type {type(function).__name__}, not a function", hint)
    return Metric(name, direction_of(name, direction or getattr(function, "direction", None), where), function)


def direction_of(name: str, direction: object, where: str) -> str:
    """Return the direction as given, else by the words of the name. Raises ConfigError where neither says it."""
    found = {DIRECTIONS[word] for word in name.lower().split("_") if word in DIRECTIONS}
    if direction is None and len(found) == 1:
        return found.pop()
    if direction not in WORDS:
        problem = "which way is better?" if direction is None else f"direction {direction!r}"
        raise ConfigError(
            f"{where}: the metric '{name}': {problem}",
            f'Say metrics = {{"{name}": (function, "max")}} or (function, "min")',
        )
    return str(direction)


def sum_and_count(value: object, batch: Batch, what: str) -> SumCount:
    """Return (sum, count) as a function returned it, or a mean over the samples times their number.

    Raises ConfigError, beginning with `what`, for anything else."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return scalar(value[0], f"{what} returns, as its sum,"), count_of(value[1], what)
    samples = len(next(iter(batch.values())))
    return scalar(value, f"{what} returns") * samples, samples


def scalar(value: object, what: str) -> Tensor:
    """Return a scalar as a tensor of shape (), in at least float32."""
    number = torch.as_tensor(value) if isinstance(value, (Tensor, float, int)) else None
    if number is None or number.numel() != 1 or number.is_complex():
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        kind = "None" if value is None else f"a {type(value).__name__}{shape}"
        raise ConfigError(f"{what} {kind}", "Return (sum, count), or the mean over the samples as a scalar tensor")
    return number.reshape(()).to(torch.promote_types(number.dtype, torch.float32))


def count_of(count: object, what: str) -> Tensor | int:
    """Return a count: an int above 0, or a tensor with one element, whose value isn't read here."""
    if isinstance(count, Tensor) and count.numel() == 1:
        return count.reshape(())
    if isinstance(count, (int, float)) and count > 0 and count == int(count):
        return int(count)
    text = f"{tuple(count.shape)}" if isinstance(count, Tensor) else str(count)
    raise ConfigError(f"{what} returns the count {text[:60]}", "The count is the number of terms in the sum, above 0")
