"""A task of the user's own: a class, or a function that gives the loss.

    def loss(model, batch, *, margin=1.0):           # `margin` is a setting: task.margin
        return (model(batch["inputs"]) - batch["labels"]).abs().mean()

    metrics = {"accuracy": accuracy, "lag": (lag, "min")}     # functions of (model, batch) too; the first one counts

A function returns (sum, count) or the mean over the samples. `metrics`, `trivial` (the score of an answer that has
learned nothing, a function of (model, batch)) and `metric_scale` are attributes of the function, or names in its file.
A class takes (model, data, seeds, **settings); `BaseTask` has defaults for all but its loss.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.config import imports
from optbench.config.signature import own_node, required_of
from optbench.config.trees import Node
from optbench.contracts import Batch, DataSet, MetricScale, Seeds, SumCount
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask
from optbench.tasks.own_metrics import Metric, metrics_of, sum_and_count

CLASS, FUNCTION = 3, 2  # positional parameters: (model, data, seeds), and (model, batch)
EVALUATION_SEED = 20261130  # of losses and metrics that draw random numbers: the same in every evaluation
NO_TARGETS = "a loss of your own says nothing of a distribution to draw targets from"


def describe(path: str) -> Node:
    """Return the configuration node of a task: its parameters with their defaults."""
    given = required_of(path)
    if given not in ((CLASS,) if isinstance(imports.load(path), type) else (CLASS, FUNCTION)):
        raise ConfigError(
            f"{path} is no task: positional parameters without a default: {given}",
            "Give loss(model, batch), or a class of (model, data, seeds); settings have defaults",
        )
    node = own_node(path, given)
    if given == FUNCTION:
        node["about"]["lacks"] = {"sampled_targets": NO_TARGETS}
    return node


def task_of(path: str, target: Any) -> Callable[..., Any]:
    """Return what builds a task from (model, data, seeds, **settings): a class does, and a loss is wrapped."""
    if isinstance(target, type) or required_of(path) != FUNCTION:
        return target
    return functools.partial(FunctionTask, path)


class FunctionTask(BaseTask):
    """A loss that is a function of (model, batch), with metrics likewise; without metrics, the loss is the metric."""

    def __init__(self, path: str, model: nn.Module, data: DataSet, seeds: Seeds, **settings: Any) -> None:
        super().__init__(model, data, seeds)
        self.path, self.settings = path, settings
        function = imports.load(path)
        self.function = function
        inspect.signature(function).bind(model, {}, **settings)
        self.metrics = metrics_of(self._fact("metrics", {}), path)
        self.metric, self.direction = (
            (self.metrics[0].name, self.metrics[0].direction) if self.metrics else ("loss", "min")
        )
        self.trivial = self._fact("trivial", None)
        self.capturable = self._fact("capturable", False)
        self.metric_scale = self._fact("metric_scale", "real")
        if self.metric_scale not in get_args(MetricScale):
            known = ", ".join(get_args(MetricScale))
            raise ConfigError(f"{path}: metric_scale={str(self.metric_scale)[:60]!r}", f"Choose from {known}")

    def _fact(self, name: str, default: Any) -> Any:
        """Return an attribute of the function, or of the file that it is in."""
        module = sys.modules.get(getattr(self.function, "__module__", ""))
        found = getattr(self.function, name, getattr(module, name, default))
        return default if inspect.ismodule(found) else found

    def loss(self, batch: Batch) -> SumCount:
        """Return the function's sum and count. Raises ConfigError for a loss without a gradient."""
        total, count = sum_and_count(self.function(self.model, batch, **self.settings), batch, f"the loss {self.path}")
        if torch.is_grad_enabled() and not total.requires_grad:
            hint = "Compute it from model(...) with torch, without .item(), .detach() or torch.no_grad()"
            raise ConfigError(f"the loss {self.path} has no gradient", hint)
        return total, count

    def evaluate(self, batch: Batch) -> dict[str, SumCount]:
        """Return the loss and all metrics. What they draw at random depends on the batch's first sample alone."""
        devices = sorted({p.device for p in self.model.parameters() if p.device.type == "cuda"}, key=str)
        with torch.random.fork_rng(devices):
            counter_rng.seed_torch(counter_rng.mixed_seed(EVALUATION_SEED, first_index(batch)))
            found = {"loss": self.loss(batch), **{m.name: self._measured(m, batch) for m in self.metrics}}
            if self.trivial is not None:
                found["trivial"] = self._measured(Metric("trivial", self.direction, self.trivial), batch)
        found["metric"] = found.pop(self.metric) if self.metrics else found["loss"]
        return found

    def _measured(self, metric: Metric, batch: Batch) -> SumCount:
        taken = inspect.signature(metric.function).parameters
        settings = {key: value for key, value in self.settings.items() if key in taken}
        value = metric.function(self.model, batch, **settings)
        return sum_and_count(value, batch, f"the metric '{metric.name}' of {self.path}")


def first_index(batch: Batch) -> int:
    """Return the number of a batch's first sample in its split; 0 if the batch does not have it."""
    index = batch.get("index")
    return int(index.flatten()[0]) if isinstance(index, Tensor) and index.numel() else 0
