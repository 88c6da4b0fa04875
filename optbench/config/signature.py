"""The settings of a user's own object, read from its signature: names, defaults, and the values that they may have."""

from __future__ import annotations

import inspect
import re
from typing import Any

from optbench.config import imports
from optbench.config.schema import conform, spec_of
from optbench.config.trees import Node, is_list
from optbench.errors import ConfigError

RESERVED = ("about", "name", "target")
"""Keys of a node that are no settings."""
KINDS = {"int": "int (-inf, inf)", "float": "(-inf, inf)", "bool": "bool", "str": "str", "None": "null"}
"""The values that an annotation allows, in the grammar of config/schema.py."""
LISTED = re.compile(r"(?:list|tuple|Sequence)\[(\w+)(?:, \.\.\.)?\]", re.IGNORECASE)
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def own_node(path: str, given: int) -> Node:
    """Return the configuration node of a user's own object: its parameters after the first `given`, and `about`."""
    settings: Node = {}
    valid: dict[str, str] = {}
    for parameter in parameters_of(path)[given:]:
        name, default = parameter.name, parameter.default
        spec = spec_of_parameter(parameter)
        required = default is parameter.empty
        if not (required or is_setting(default, spec)):
            continue
        if name in RESERVED:
            hint = "Rename the parameter, or fix its value in a function of your own"
            raise ConfigError(
                f"{path}: its parameter '{name}' can't be a setting: the name has a meaning already", hint
            )
        settings[name] = "???" if required else list(default) if is_list(default) else default
        valid |= {name: spec} if spec else {}
    return {**settings, "about": {"name": re.split(r"[.:]", path)[-1], "target": path, "valid": valid}}


def parameters_of(path: str) -> list[inspect.Parameter]:
    """Return the parameters of what a path names, without `*args` and `**kwargs`. Raises ConfigError where it has none.

    Those of a class are its constructor's, without `self`."""
    target: Any = imports.load(path)
    if not callable(target):
        raise ConfigError(
            f"{path}, a value of type {type(target).__name__}, cannot be called", "Give a class or a function"
        )
    try:
        found = inspect.signature(target).parameters.values()
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} has no readable signature: {error}", "Wrap it in a function of your own") from None
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def required_of(path: str) -> int:
    """Return the number of positional parameters without a default."""
    return sum(p.kind in POSITIONAL and p.default is p.empty for p in parameters_of(path))


def is_setting(default: object, spec: str | None) -> bool:
    """Return True for a default that the configuration can hold. Others, e.g. nn.ReLU, stay as they are."""
    value = list(default) if is_list(default) else default
    try:
        conform(value, spec, value)
    except ValueError:
        return False
    return True


def spec_of_parameter(parameter: inspect.Parameter) -> str | None:
    """Return the values that a parameter may have; None to take them from the type of its default."""
    default = parameter.default
    spec = spec_of_annotation(parameter.annotation)
    if is_list(default) and not (spec or "").startswith("list "):
        return f"list {spec_of(default[0])}" if default else "list any"
    return spec


def spec_of_annotation(annotation: object) -> str | None:
    """Return the values that an annotation allows, as in `about.valid`; None for an annotation that doesn't say."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    text = str(annotation) if not text or "[" in str(annotation) or "|" in str(annotation) else text
    text = re.sub(r"\b(?:typing|collections\.abc|t)\.", "", text.replace("NoneType", "None"))
    text = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)
    if listed := LISTED.fullmatch(text):
        return f"list {KINDS[listed[1]]}" if listed[1] in KINDS else None
    if text.startswith("Literal["):
        return " | ".join(re.findall(r"['\"](\w+)['\"]", text)) or None
    parts = [part.strip() for part in text.split("|")]
    return " | ".join(KINDS[part] for part in parts) if set(parts) <= KINDS.keys() else None
