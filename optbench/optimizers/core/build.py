"""Building a configured optimizer for a problem: groups, hyperparameters, declared needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optbench.contracts import ROLES, Problem
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.optimizers.core.groups import check_coverage, parameter_groups
from optbench.optimizers.core.interface import Optimizer, check_interface
from optbench.optimizers.core.rule import ParamGroup

NOT_ARGUMENTS = ("impl", "no_decay")  # settings of ours that a constructor given groups does not take
PROVIDED_NEEDS = ("closure", "single_group", "modules", "curvature", "double_backward", "own_schedule")
PROVIDED_NEEDS += ("sampled_targets",)  # for curvature: gradients at targets drawn from the model


def build(
    target: Callable[..., Any],
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    problem: Problem,
    needs: list[str],
) -> Optimizer:
    """Build the optimizer of a problem.

    `implementation` may take something other than parameter groups (`takes`): `problem`, the Problem itself, or
    `roles`, one group per role with its "role". An optimizer that needs modules or curvature gets the Problem too.
    Raises ConfigError with the reason where it cannot be built."""
    check_needs(needs)
    whole = implementation.get("takes") == "problem"
    no_decay = None if "single_group" in needs else settings.get("no_decay")
    forms: dict[str, Callable[[], object]] = {
        "problem": lambda: problem,
        "roles": lambda: groups_by_role(problem, no_decay),
    }
    first = forms.get(implementation.get("takes", ""), lambda: parameter_groups(problem, no_decay))()
    oracles = {"problem": problem} if not whole and {"modules", "curvature"} & set(needs) else {}
    try:
        optimizer = target(first, **arguments_of(settings, implementation), **oracles)
    except Exception as error:  # whatever a user's constructor raises
        if is_out_of_memory(error):
            raise
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigError(f"the optimizer refuses its arguments: {kind}{first_line(error)}") from error
    check_interface(optimizer)
    check_coverage(optimizer, problem)
    return optimizer


def groups_by_role(problem: Problem, no_decay: Sequence[str] | None) -> list[ParamGroup]:
    """Return parameter groups that hold one role each, named in their "role"."""
    parts = {role: [p for p in problem.parameters if p.role == role] for role in ROLES}
    return [
        {**group, "role": role}
        for role, part in parts.items()
        if part
        for group in parameter_groups(Problem(tuple(part)), no_decay)
    ]


def arguments_of(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's keyword arguments: the settings in its words, and what the implementation fixes.

    An implementation `drops` settings that it does not have, `renames` them (ours: theirs), and `requires` values of
    settings that it cannot vary. Another value is refused: it would mean another algorithm."""
    check_required(settings, implementation)
    requires, renames = implementation.get("requires", {}), implementation.get("renames", {})
    ours = ("impl",) if implementation.get("takes") == "problem" else NOT_ARGUMENTS
    not_wanted = {*ours, *requires, *implementation.get("drops", ())}
    wanted = {renames.get(key, key): value for key, value in settings.items() if key not in not_wanted}
    wanted |= implementation.get("fixed", {})
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in wanted.items()}
    if arguments.get("lr", 0.0) is None:  # the constructor has no learning rate
        del arguments["lr"]
    return arguments


def check_required(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> None:
    """Raise ConfigError if a setting differs from the value that the implementation `requires`."""
    for key, value in implementation.get("requires", {}).items():
        if settings[key] != value:
            raise ConfigError(
                f"optimizer.impl={settings['impl']} supports only {key}={value}, not {key}={settings[key]}",
                f"Set optimizer.{key}={value}, or choose another implementation",
            )


def check_needs(needs: list[str]) -> None:
    """Raise ConfigError for a declared need that no run provides."""
    for need in needs:
        if need not in PROVIDED_NEEDS:
            raise ConfigError(
                f"the optimizer needs '{need}', which a run does not provide", f"Provided: {', '.join(PROVIDED_NEEDS)}"
            )
