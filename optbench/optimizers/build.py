"""From a configured optimizer to an object: groups, hyperparameters, and what it declares to need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optbench.contracts import Problem
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.optimizers.groups import assert_covered, parameter_groups

NOT_ARGUMENTS = ("impl", "no_decay")  # settings of ours, not of the constructor
PROVIDED_NEEDS = ("closure", "single_group", "modules")


def build(
    target: Callable[..., Any],
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    problem: Problem,
    needs: list[str],
) -> Any:
    """The optimizer of a problem.

    `implementation` may fix further arguments (`fixed`) and may ask for the Problem itself instead of parameter groups
    (`takes: problem`). Raises ConfigError with the reason where it cannot be built."""
    refuse_unknown(needs)
    arguments = {key: value for key, value in settings.items() if key not in NOT_ARGUMENTS}
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    if arguments.get("lr", 0.0) is None:  # the constructor names no learning rate
        del arguments["lr"]
    groups = parameter_groups(problem, None if "single_group" in needs else settings.get("no_decay"))
    first: Any = problem if implementation.get("takes") == "problem" else groups
    modules = {"modules": problem.modules} if "modules" in needs else {}
    try:
        optimizer = target(first, **arguments, **implementation.get("fixed", {}), **modules)
    except Exception as error:  # whatever somebody's constructor raises
        if is_out_of_memory(error):
            raise
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigError(f"the optimizer refuses its arguments: {kind}{first_line(error)}") from error
    check_interface(optimizer)
    if implementation.get("takes") != "problem":
        assert_covered(optimizer, problem)
    return optimizer


def refuse_unknown(needs: list[str]) -> None:
    """ConfigError for a declared need that no run provides."""
    for need in needs:
        if need not in PROVIDED_NEEDS:
            raise ConfigError(
                f"the optimizer needs '{need}', which a run does not provide", f"Provided: {', '.join(PROVIDED_NEEDS)}"
            )


def check_interface(optimizer: Any) -> None:
    """ConfigError unless the object can be driven as a torch optimizer."""
    for name in ("step", "zero_grad", "state_dict", "load_state_dict"):
        if not callable(getattr(optimizer, name, None)):
            raise ConfigError(f"{type(optimizer).__name__} is no optimizer: it has no method '{name}'")
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise ConfigError(f"{type(optimizer).__name__} is no optimizer: it has no list 'param_groups'")


def takes_closure(optimizer: Any) -> bool:
    """Whether `optimizer.step` accepts a closure."""
    return "closure" in inspect.signature(optimizer.step).parameters


def requires_closure(optimizer: Any) -> bool:
    """Whether `optimizer.step` cannot be called without a closure."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def engine_of(optimizer: Any, implementation: Mapping[str, Any]) -> str:
    """What runs the rule: eager, compiled, fused, ... as the optimizer or its YAML says."""
    return str(getattr(optimizer, "engine", None) or implementation.get("engine", "eager"))
