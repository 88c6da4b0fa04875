"""Models by import path: their settings, and what the data fills in.

A model is a class or a function that returns a torch.nn.Module. A parameter with the name of a fact of the data, such
as `classes`, is filled in from the data of the run, and one named `data` gets the data set itself. All others are
settings, model.NAME.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from optbench.config import imports
from optbench.config.notices import say_once
from optbench.config.own import with_roles
from optbench.config.signature import is_setting, parameters_of, spec_of_parameter
from optbench.config.trees import Node, is_list
from optbench.config.values import as_typed, same
from optbench.contracts import DataSet
from optbench.errors import ConfigError, suggest
from optbench.models.facts import FACTS, TEXT

OBJECTS = (DATA, TASK_NAME) = "data", "task_name"
"""What a builder may take by name besides facts and settings."""
TEXT_DATA = "pydocs"  # of a model that takes a fact of text, where no override chooses the data
USED = "optbench_used"  # of a model that was built before
RESERVED = ("task", "roles", "about", "name", "target")
"""Keys of a model's node that are no parameters of the model."""


def describe(path: str) -> Node:
    """Return the configuration node of a model: its parameters with their defaults; null for what the data fills in."""
    settings: Node = {}
    valid: dict[str, str] = {}
    for parameter in parameters(path):
        name, default = parameter.name, parameter.default
        spec = FACTS[name][1] if name in FACTS else spec_of_parameter(parameter)
        if name in FACTS:
            settings[name] = None
        elif default is parameter.empty and name not in OBJECTS:
            check_free(path, name)
            settings[name] = "???"
        elif name not in (*RESERVED, *OBJECTS) and is_setting(default, spec):
            settings[name] = list(default) if is_list(default) else default
        valid |= {name: spec} if spec and name in settings else {}
    about = {"name": re.split(r"[.:]", path)[-1], "target": path, "shardable": True, "valid": valid}
    prefers = {"data": TEXT_DATA} if TEXT & settings.keys() else {}
    return with_roles({**settings, "about": {**about, **prefers}})


def parameters(path: str) -> list[inspect.Parameter]:
    """Return the named parameters of what builds a model. Raises ConfigError for an object that builds none."""
    target = imports.load(path)
    if isinstance(target, nn.Module):
        raise ConfigError(
            f"{path} is a model that is built already: runs would share its weights",
            f"Give its class ({type(target).__name__}), or a function that builds it",
        )
    if not callable(target):
        raise ConfigError(
            f"{path} is of type {type(target).__name__}: it builds no model", "Give a class or a function"
        )
    return parameters_of(path)


def check_free(path: str, name: str) -> None:
    """Raise ConfigError for a required parameter with the name of another key of the node."""
    if name in RESERVED:
        hint = "Rename the parameter, or fix its value in a function of your own"
        raise ConfigError(f"{path}: its parameter '{name}' can't be a setting: model.{name} is taken", hint)


def arguments(path: str, data: DataSet, data_name: str, task_name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of what builds a model: its settings, and what the data (and the task's name) fill in.

    Raises ConfigError for a fact that the model requires and the data lacks, and for an unknown setting."""
    taken = {parameter.name: parameter for parameter in parameters(path)}
    left_over = [key for key in settings if key not in taken]
    signature = inspect.signature(imports.load(path)).parameters.values()
    if left_over and not any(p.kind is p.VAR_KEYWORD for p in signature):
        raise ConfigError(
            f"{path} builds no model from these settings: it takes no '{left_over[0]}'", suggest(left_over[0], taken)
        )
    found = dict(settings)
    for name, parameter in taken.items():
        if name in OBJECTS:
            found[name] = data if name == DATA else task_name
        elif name in FACTS and found.get(name) is None:
            found.pop(name, None)
            found |= fact(path, parameter, data, data_name)
    return found


def fact(path: str, parameter: inspect.Parameter, data: DataSet, data_name: str) -> dict[str, Any]:
    """Return a parameter with the value that the data has; empty where it has none and the parameter has a default."""
    name, default = parameter.name, parameter.default
    value = FACTS[name][0](data)
    if value is None and default is parameter.empty:
        raise ConfigError(
            f"{path} takes '{name}', which data={data_name} does not have",
            f"Choose other data, or set model.{name}=...",
        )
    if value is None:
        return {}
    if default not in (parameter.empty, None) and not same(default, value):
        say_once(
            f"{path}: {name}={as_typed(list(value)) if isinstance(value, tuple) else value} from data={data_name}; "
            f"model.{name}={default} keeps its default"
        )
    return {name: value}


def require_module(model: object, path: str) -> nn.Module:
    """Return what was built. Raises ConfigError unless it is a model with parameters on a device."""
    if isinstance(model, type):
        raise ConfigError(f"{path} gives the class {model.__name__}, not a model", f"Return {model.__name__}(...)")
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{path} gives {type(model).__name__}, not a torch.nn.Module", "Return the model alone")
    if getattr(model, USED, False):
        raise ConfigError(f"{path} gives a model that a run has trained already", "Build a new one in each call")
    setattr(model, USED, True)
    return model
