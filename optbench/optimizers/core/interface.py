"""The interface of an optimizer object: its methods, its use of a closure, its engine."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from optbench.errors import ConfigError


class Optimizer(Protocol):
    """The methods of torch's optimizers that a run calls; other libraries' optimizers have them too."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of "params" with their hyperparameters; a schedule sets "lr"."""
        ...

    @property
    def step(self) -> Callable[..., Any]:
        """The method that changes the parameters, with or without a closure as its argument."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore a state."""


def check_interface(optimizer: object) -> None:
    """Raise ConfigError unless the object has the methods and groups of a torch optimizer."""
    kind = type(optimizer).__name__
    for name in ("step", "zero_grad", "state_dict", "load_state_dict"):
        if not callable(getattr(optimizer, name, None)):
            raise ConfigError(f"{kind} is not an optimizer: it has no method '{name}'")
    groups = getattr(optimizer, "param_groups", None)
    if not isinstance(groups, list):
        raise ConfigError(f"{kind} is not an optimizer: it has no list 'param_groups'")
    if any(group.get("lr", 0.0) is None for group in groups):
        raise ConfigError(
            f"{kind} needs a learning rate: without one, no schedule can scale its steps", "Set optimizer.lr=..."
        )
    if inspect.unwrap(getattr(type(optimizer), "step", check_step)) is inspect.unwrap(torch.optim.Optimizer.step):
        raise ConfigError(
            f"{kind} has no step() of its own: it moves the parameters while gradients are computed, "
            "which a run does itself",
            "Train it by a script of yours: script=./train.py",
        )
    check_step(kind, optimizer.step)  # pyright: ignore[reportAttributeAccessIssue]


def check_step(kind: str, step: Callable[..., Any]) -> None:
    """Raise ConfigError for a method `step` with an argument that no run gives."""
    parameters = inspect.signature(step).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    wanted = [p.name for p in named if p.default is inspect.Parameter.empty and p.name != "closure"]
    if wanted:
        raise ConfigError(
            f"{kind}.step needs '{wanted[0]}': a run calls step(), or step(closure), which evaluates the loss again",
            "Call the argument closure if it is that; else give it a default",
        )


def takes_closure(optimizer: Optimizer) -> bool:
    """Return True if `optimizer.step` accepts a closure."""
    return "closure" in step_parameters(optimizer)


def requires_closure(optimizer: Optimizer) -> bool:
    """Return True if `optimizer.step` cannot be called without a closure."""
    closure = step_parameters(optimizer).get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def step_parameters(optimizer: Optimizer) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of `optimizer.step` by name."""
    return parameters_of(getattr(optimizer.step, "__func__", optimizer.step))


@functools.lru_cache(maxsize=256)  # inspecting takes as long as the step of a small tensor
def parameters_of(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """Return a function's parameters by name, those of the function that it wraps if it wraps one."""
    return inspect.signature(function).parameters


def warm_up(optimizer: Optimizer) -> None:
    """Compile the optimizer's rule now, if it has a method `warm_up` for that, as optimizers of optbench do."""
    getattr(optimizer, "warm_up", lambda: None)()


def engine_of(optimizer: Optimizer, implementation: Mapping[str, object]) -> str:
    """Return how the rule runs: eager, compiled, fused, ... as the optimizer or its YAML file declares it.

    A declaration may differ by device type."""
    declared = getattr(optimizer, "engine", None) or implementation.get("engine", "eager")
    if not isinstance(declared, Mapping):
        return str(declared)
    devices = [tensor.device.type for group in optimizer.param_groups for tensor in group["params"]]
    return str(declared[devices[0]] if devices[0] in declared else declared["cpu"])
