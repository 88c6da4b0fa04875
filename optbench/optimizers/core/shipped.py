"""A library's optimizer as it ships, to compare its defaults with what our YAML file pins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optbench.optimizers.core.build import arguments_of, check_required

SHIPPED_SETTINGS = ("lr", "weight_decay")  # the arguments that a user sets at least


def shipped_target(target: Callable[..., object]) -> Callable[..., object]:
    """Return the library's own class behind an adapter, or the target itself."""
    return getattr(target, "optbench_target", target)


def shipped_arguments(
    settings: Mapping[str, Any], implementation: Mapping[str, Any], target: Callable[..., object]
) -> dict[str, Any]:
    """Return the arguments to build `shipped_target(target)` as its library ships it.

    These are learning rate and weight decay in the library's words, nothing else. Raises ConfigError where `requires`
    is not met."""
    check_required(settings, implementation)
    renames = implementation.get("renames", {})
    accepted = inspect.signature(shipped_target(target)).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    ours = {renames.get(key, key): settings[key] for key in SHIPPED_SETTINGS if key in settings}
    return {key: value for key, value in ours.items() if key in accepted or anything}


def library_defaults(target: Callable[..., object]) -> dict[str, object]:
    """Return the defaults of the library's constructor, under the library's names.

    Placeholders for "not given" (bare objects) are left out."""
    parameters = list(inspect.signature(shipped_target(target)).parameters.values())[1:]
    declared = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    defaults = declared | getattr(target, "hidden", {})
    return {name: value for name, value in defaults.items() if type(value) is not object}


def pinned_differences(
    settings: Mapping[str, Any], implementation: Mapping[str, Any], target: Callable[..., object]
) -> list[str]:
    """Return one text per argument pinned to another value than the library's default.

    For example "max_grad_norm 1.0 (pinned: null)". Learning rate and weight decay are left out."""
    translate = getattr(target, "library_arguments", dict)
    pinned = translate(arguments_of(settings, implementation))
    given = shipped_arguments(settings, implementation, target)
    return [
        f"{name} {as_yaml(default)} (pinned: {as_yaml(pinned[name])})"
        for name, default in library_defaults(target).items()
        if name in pinned and name not in given and pinned[name] != default
    ]


def as_yaml(value: object) -> str:
    """Return a value as YAML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(as_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a function" if callable(value) else str(value)
