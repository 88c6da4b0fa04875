"""The model of a run as it is built: from the data, on its device, with roles; checked before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from optbench.config import RunConfig
from optbench.config.notices import say_once
from optbench.config.user_code import user_error
from optbench.contracts import Batch, DataSet, Task
from optbench.errors import ConfigError
from optbench.models.facts import pieces, scored
from optbench.models.own import arguments, require_module
from optbench.models.own_roles import assign_roles
from optbench.sessions.make import make

WHOLE = (torch.float32, torch.float64)
"""The types of trained parameters; `precision` chooses that of the forward pass."""


def new_model(config: RunConfig, data: DataSet, device: torch.device) -> nn.Module:
    """Build the model of a run on its device."""
    path = config.model.target
    settings = {key: value for key, value in config.model.settings.items() if key not in ("task", "roles")}
    given = arguments(path, data, config.data.name, config.task_name, settings)
    model = require_module(make("model", path, **given), path)
    empty = [name for name, tensor in model.named_parameters() if tensor.is_meta]
    if empty:
        raise ConfigError(f"{path}: {empty[0]} is on the device 'meta' and has no values", "Build it with values")
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if config.channels_last else model  # pyright: ignore[reportCallIssue]


def finish_model(config: RunConfig, model: nn.Module, task: Task, data: DataSet) -> None:
    """Give lazy layers their shapes, and parameters the roles that the model doesn't mark itself."""
    if any(map(is_lazy, model.parameters())):
        fill_lazy_layers(config, model, task, data)
    told: Mapping[str, Any] | None = config.model.settings.get("roles")
    if told is None:
        return
    notice = assign_roles(model, told, scored(data), pieces(data) is not None)
    if notice:
        say_once(f"model={config.model.name}: {notice}")


def fill_lazy_layers(config: RunConfig, model: nn.Module, task: Task, data: DataSet) -> None:
    """Run the model once, on two samples, which gives lazy layers their shapes. Raises ConfigError for those left."""
    batch = next(iter(data.eval_batches("validation", 2, 2)))
    try:
        with torch.no_grad():
            task.evaluate(batch)
    except Exception as error:
        raise user_error(first_batch_of(config, batch), error) from error
    left = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if left:
        raise ConfigError(
            f"model={config.model.name}: the lazy parameter {left[0]} has no shape after a forward pass",
            "Remove the layer that it belongs to, or use it in forward",
        )


def check_model(config: RunConfig, model: nn.Module, device: torch.device) -> None:
    """Raise ConfigError for a model that can't be trained: nothing to train, NaN, another device, a short type."""
    who = f"model={config.model.name}"
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ConfigError(f"{who} has no parameters to train", "Layers in a plain list need nn.ModuleList")
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"{who}: all of its {len(parameters)} parameters are frozen", "Leave some with requires_grad")
    for name, parameter in parameters.items():
        if parameter.device.type != device.type:
            raise ConfigError(f"{who}: {name} is on {parameter.device}, and the run is on {device}")
        if parameter.requires_grad and parameter.dtype not in WHOLE:
            kind = str(parameter.dtype).removeprefix("torch.")
            hint = "Keep the weights in float32; precision=bf16 or fp16 makes forward passes short"
            raise ConfigError(f"{who}: the parameter {name} is {kind}, and a run trains float32", hint)
        if not parameter.isfinite().all():
            raise ConfigError(
                f"{who}: the initial values of {name} are not finite", "torch.empty leaves them undefined"
            )


def first_batch_of(config: RunConfig, batch: Batch) -> str:
    """Return the words that name a model, the data and the shapes of a batch, for a message."""
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in batch.items())
    return f"model={config.model.name} on the first batch of data={config.data.name} ({shapes})"
