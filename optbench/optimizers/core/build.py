"""Building a configured optimizer for a problem: groups, hyperparameters, declared needs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from optbench.config import imports
from optbench.config.own_optimizer import OWN_DECAY
from optbench.config.user_code import cause, location, user_error
from optbench.config.values import as_typed
from optbench.contracts import Problem
from optbench.errors import ConfigError, OptbenchError, is_out_of_memory
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.first_argument import MATRICES, REST, first_argument, part_of
from optbench.optimizers.core.group_keys import require_group_settings
from optbench.optimizers.core.groups import check_coverage, parameter_groups
from optbench.optimizers.core.interface import Optimizer, check_interface
from optbench.optimizers.core.loss_scaling import let_scaler_skip
from optbench.optimizers.core.matrices_and_rest import MatricesAndRest, adamw_of_rest
from optbench.optimizers.core.ways_out import of_name, way_out

NOT_ARGUMENTS = ("impl", "no_decay")  # settings of ours that a constructor given groups does not take
PROVIDED_NEEDS = ("closure", "single_group", "modules", "curvature", "double_backward", "own_schedule")
PROVIDED_NEEDS += ("sampled_targets",)  # for curvature: gradients at targets drawn from the model
INFINITE = {"inf": math.inf, "-inf": -math.inf}


def build(
    target: Callable[..., Any],
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    problem: Problem,
    needs: list[str],
) -> Optimizer:
    """Build the optimizer of a problem.

    `implementation` may take something other than parameter groups: see `first_argument`. An optimizer that needs
    modules or curvature gets the Problem too. Raises ConfigError with the reason where it cannot be built."""
    check_needs(needs)
    no_decay = None if "single_group" in needs else settings.get("no_decay")
    first = first_argument(problem, settings, implementation, no_decay)
    oracles = {"problem": problem} if first is not problem and {"modules", "curvature"} & set(needs) else {}
    arguments = {**arguments_of(settings, implementation), **oracles}
    if implementation.get("takes") == MATRICES:
        rest = adamw_of_rest(parameter_groups(part_of(problem, REST), None), settings)
        matrices = called(target, first, arguments, implementation) if first else None
        optimizer: Any = MatricesAndRest(matrices, rest)
    else:
        optimizer = called(target, first, arguments, implementation)
    check_coverage(optimizer, problem)
    let_scaler_skip(optimizer)
    if not str(implementation.get("target", "optbench.")).startswith("optbench."):
        begin_training(optimizer)
    if "groups" not in implementation:
        require_group_settings(optimizer, implementation)
    return optimizer


def begin_training(optimizer: Optimizer) -> None:
    """Set the training mode of another library's schedule-free optimizer, which refuses a step before `train()`.

    One without weights to swap before its first step may raise anything."""
    if has_eval_weights(optimizer):
        with suppress(Exception):
            optimizer.train()


def called(
    target: Callable[..., Any], first: object, arguments: Mapping[str, Any], implementation: Mapping[str, Any]
) -> Any:
    """Return what the constructor builds. Raises ConfigError where it refuses its arguments, or builds no optimizer."""
    name, by_name = parameter_for(target)
    try:
        optimizer = target(**{name: first}, **arguments) if by_name else target(first, **arguments)
    except Exception as error:  # whatever a user's constructor raises
        if is_out_of_memory(error) or isinstance(error, OptbenchError):
            raise
        hint = way_out(error, name, implementation)
        if location(error):
            raise user_error("the optimizer refuses its arguments", error, hint) from error
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigError(f"the optimizer refuses its arguments: {kind}{cause(error)}", hint) from error
    try:
        check_interface(optimizer)
    except ConfigError as error:
        raise ConfigError(error.message, error.hint or of_name(name, implementation)) from None
    return optimizer


def parameter_for(target: Callable[..., Any]) -> tuple[str, bool]:
    """Return the name of the argument that takes what to optimize, and True if it has to be given by name."""
    try:
        taken, first = imports.to_optimize(target), next(iter(inspect.signature(target).parameters), None)
    except (TypeError, ValueError):  # a builtin without a signature
        return "params", False
    return (taken.name, taken.kind is taken.KEYWORD_ONLY or taken.name != first) if taken else ("params", False)


def arguments_of(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's keyword arguments: the settings in its words, and what the implementation fixes.

    An implementation `drops` settings that it does not have, `renames` them (ours: theirs), and `requires` values of
    settings that it cannot vary. Another value is refused: it would mean another algorithm. The settings of `groups` go
    there, and those among its `classes` are import paths."""
    check_required(settings, implementation)
    requires, renames = implementation.get("requires", {}), implementation.get("renames", {})
    takes = implementation.get("takes")
    ours = ("impl",) if takes in OWN_DECAY else NOT_ARGUMENTS
    kinds = [*(implementation.get("groups") or ()), *((REST,) if takes == MATRICES else ())]
    not_wanted = {*ours, *kinds, *requires, *implementation.get("drops", ())}
    classes = implementation.get("classes", ())
    values = {key: imported(value) if key in classes else value for key, value in settings.items()}
    values = {key: number(value, implementation.get("valid", {}).get(key)) for key, value in values.items()}
    wanted = {renames.get(key, key): value for key, value in values.items() if key not in not_wanted}
    wanted |= implementation.get("fixed", {})
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in wanted.items()}
    if arguments.get("lr", 0.0) is None:  # the constructor has no learning rate
        del arguments["lr"]
    return arguments


def imported(value: object) -> object:
    """Return the object that an import path names; anything else as it is."""
    return imports.load(value) if isinstance(value, str) and imports.is_path(value) else value


def number(value: object, spec: str | None) -> object:
    """Return infinity for its word, where the setting's spec has it among numbers."""
    words = {part.strip() for part in (spec or "").split("|")}
    return INFINITE[value] if isinstance(value, str) and value in INFINITE and value in words else value


def check_required(settings: Mapping[str, Any], implementation: Mapping[str, Any]) -> None:
    """Raise ConfigError if settings differ from the values that the implementation `requires`."""
    other = {key: value for key, value in implementation.get("requires", {}).items() if settings[key] != value}
    if other:
        only = ", ".join(f"{key}={as_typed(value)} (not {as_typed(settings[key])})" for key, value in other.items())
        words = " ".join(f"optimizer.{key}={as_typed(value)}" for key, value in other.items())
        raise ConfigError(
            f"optimizer.impl={settings['impl']} supports only {only}",
            f"Set {words}, or choose another implementation",
        )


def check_needs(needs: list[str]) -> None:
    """Raise ConfigError for a declared need that no run provides."""
    for need in needs:
        if need not in PROVIDED_NEEDS:
            raise ConfigError(
                f"the optimizer needs '{need}', which a run does not provide", f"Provided: {', '.join(PROVIDED_NEEDS)}"
            )
