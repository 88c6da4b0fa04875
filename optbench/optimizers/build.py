"""From a configured optimizer to an object: groups, hyperparameters, and what it declares to need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optbench.contracts import Problem
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.optimizers.groups import assert_covered, parameter_groups

NOT_ARGUMENTS = ("impl", "no_decay")  # settings of ours, not of a constructor that is given groups
PROVIDED_NEEDS = ("closure", "single_group", "modules", "curvature", "double_backward", "own_schedule")


def build(
    target: Callable[..., Any],
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    problem: Problem,
    needs: list[str],
) -> Any:
    """The optimizer of a problem.

    `implementation` may ask for the Problem itself instead of parameter groups (`takes: problem`); an optimizer that
    needs modules or curvature is given the Problem too. Raises ConfigError with the reason where it cannot be built."""
    refuse_unknown(needs)
    whole = implementation.get("takes") == "problem"
    first: Any = problem
    if not whole:
        first = parameter_groups(problem, None if "single_group" in needs else settings.get("no_decay"))
    oracles = {"problem": problem} if not whole and {"modules", "curvature"} & set(needs) else {}
    try:
        optimizer = target(first, **arguments_of(settings, implementation), **oracles)
    except Exception as error:  # whatever somebody's constructor raises
        if is_out_of_memory(error):
            raise
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigError(f"the optimizer refuses its arguments: {kind}{first_line(error)}") from error
    check_interface(optimizer)
    assert_covered(optimizer, problem)
    return optimizer


def arguments_of(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's keyword arguments: the settings as this implementation understands them, and what it fixes.

    An implementation `drops` settings that it has no use for, `renames` them (ours: theirs), and `requires` values of
    those that it cannot vary: another value is refused, for it would mean another algorithm."""
    requires, renames = implementation.get("requires", {}), implementation.get("renames", {})
    for key, value in requires.items():
        if settings[key] != value:
            raise ConfigError(
                f"optimizer.impl={settings['impl']} has {key}={value} alone, and {key}={settings[key]} is asked for",
                f"Say optimizer.{key}={value}, or take another implementation",
            )
    ours = ("impl",) if implementation.get("takes") == "problem" else NOT_ARGUMENTS
    not_wanted = {*ours, *requires, *implementation.get("drops", ())}
    wanted = {renames.get(key, key): value for key, value in settings.items() if key not in not_wanted}
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in wanted.items()}
    if arguments.get("lr", 0.0) is None:  # the constructor names no learning rate
        del arguments["lr"]
    return {**arguments, **implementation.get("fixed", {})}


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
