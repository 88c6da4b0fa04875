"""From a configured optimizer to an object: groups, hyperparameters, and what it declares to need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optbench.contracts import ROLES, Problem
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.optimizers.core.groups import assert_covered, parameter_groups

NOT_ARGUMENTS = ("impl", "no_decay")  # settings of ours, not of a constructor that is given groups
PROVIDED_NEEDS = ("closure", "single_group", "modules", "curvature", "double_backward", "own_schedule")
PROVIDED_NEEDS += ("sampled_targets",)  # of curvature: gradients at targets that are drawn from the model


def build(
    target: Callable[..., Any],
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    problem: Problem,
    needs: list[str],
) -> Any:
    """The optimizer of a problem.

    `implementation` may ask for something else than parameter groups (`takes`): `problem`, the Problem itself, or
    `roles`, groups apart by role, each with its "role". An optimizer that needs modules or curvature is given the
    Problem too. Raises ConfigError with the reason where it cannot be built."""
    refuse_unknown(needs)
    whole = implementation.get("takes") == "problem"
    no_decay = None if "single_group" in needs else settings.get("no_decay")
    forms = {"problem": lambda: problem, "roles": lambda: groups_by_role(problem, no_decay)}
    first: Any = forms.get(implementation.get("takes", ""), lambda: parameter_groups(problem, no_decay))()
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


def groups_by_role(problem: Problem, no_decay: Sequence[str] | None) -> list[dict[str, Any]]:
    """Parameter groups that hold one role each, named in their "role"."""
    parts = {role: [p for p in problem.parameters if p.role == role] for role in ROLES}
    return [
        {**group, "role": role}
        for role, part in parts.items()
        if part
        for group in parameter_groups(Problem(tuple(part)), no_decay)
    ]


def arguments_of(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's keyword arguments: the settings as this implementation understands them, and what it fixes.

    An implementation `drops` settings that it has no use for, `renames` them (ours: theirs), and `requires` values of
    those that it cannot vary: another value is refused, for it would mean another algorithm."""
    refuse_unmet(settings, implementation)
    requires, renames = implementation.get("requires", {}), implementation.get("renames", {})
    ours = ("impl",) if implementation.get("takes") == "problem" else NOT_ARGUMENTS
    not_wanted = {*ours, *requires, *implementation.get("drops", ())}
    wanted = {renames.get(key, key): value for key, value in settings.items() if key not in not_wanted}
    wanted |= implementation.get("fixed", {})
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in wanted.items()}
    if arguments.get("lr", 0.0) is None:  # the constructor names no learning rate
        del arguments["lr"]
    return arguments


def refuse_unmet(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> None:
    """ConfigError where a setting has another value than the one that the implementation `requires`."""
    for key, value in implementation.get("requires", {}).items():
        if settings[key] != value:
            raise ConfigError(
                f"optimizer.impl={settings['impl']} has {key}={value} alone, and {key}={settings[key]} is asked for",
                f"Say optimizer.{key}={value}, or take another implementation",
            )


# -- a library's optimizer as it ships, for the comparison with what is pinned -----------------------------------------

SHIPPED_SETTINGS = ("lr", "weight_decay")  # what one gives a library's constructor at the least


def shipped_target(target: Callable[..., Any]) -> Callable[..., Any]:
    """The library's own class behind an adapter, or the target itself."""
    return getattr(target, "optbench_target", target)


def shipped_arguments(
    settings: Mapping[str, Any], implementation: Mapping[str, Any], target: Callable[..., Any]
) -> dict[str, Any]:
    """The arguments with which to build `shipped_target(target)` as its library ships it: learning rate and weight
    decay in its words, and nothing else. Raises ConfigError where `requires` is not met."""
    refuse_unmet(settings, implementation)
    renames = implementation.get("renames", {})
    accepted = inspect.signature(shipped_target(target)).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    ours = {renames.get(key, key): settings[key] for key in SHIPPED_SETTINGS if key in settings}
    return {key: value for key, value in ours.items() if key in accepted or anything}


def library_defaults(implementation: Mapping[str, Any], target: Callable[..., Any]) -> dict[str, Any]:
    """What the library's constructor takes for every argument that is not given, under the library's names.

    Placeholders for "not given" (bare objects) are left out: they say nothing."""
    parameters = list(inspect.signature(shipped_target(target)).parameters.values())[1:]
    declared = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    defaults = declared | getattr(target, "hidden", {})
    return {name: value for name, value in defaults.items() if type(value) is not object}


def pinned_differences(
    settings: Mapping[str, Any], implementation: Mapping[str, Any], target: Callable[..., Any]
) -> list[str]:
    """One sentence for every argument that is pinned to another value than the library's default, as in
    "max_grad_norm 1.0 (pinned: null)"; learning rate and weight decay apart."""
    translate = getattr(target, "theirs", dict)
    pinned = translate(arguments_of(settings, implementation))
    given = shipped_arguments(settings, implementation, target)
    return [
        f"{name} {in_words(default)} (pinned: {in_words(pinned[name])})"
        for name, default in library_defaults(implementation, target).items()
        if name in pinned and name not in given and pinned[name] != default
    ]


def in_words(value: Any) -> str:
    """A value as YAML says it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_words, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a function" if callable(value) else str(value)


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
    if any(group.get("lr", 0.0) is None for group in optimizer.param_groups):
        raise ConfigError(
            f"{type(optimizer).__name__} without a learning rate takes steps of its own, which no schedule can scale",
            "Say optimizer.lr=...",
        )


def takes_closure(optimizer: Any) -> bool:
    """Whether `optimizer.step` accepts a closure."""
    return "closure" in inspect.signature(optimizer.step).parameters


def requires_closure(optimizer: Any) -> bool:
    """Whether `optimizer.step` cannot be called without a closure."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def engine_of(optimizer: Any, implementation: Mapping[str, Any]) -> str:
    """What runs the rule: eager, compiled, fused, ... as the optimizer or its YAML says, there by device if need be."""
    declared = getattr(optimizer, "engine", None) or implementation.get("engine", "eager")
    if not isinstance(declared, Mapping):
        return str(declared)
    devices = [tensor.device.type for group in optimizer.param_groups for tensor in group["params"]]
    return str(declared[devices[0]] if devices[0] in declared else declared["cpu"])
