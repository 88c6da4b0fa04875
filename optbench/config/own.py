"""Choices without a YAML file: an object of the user's own (`./file.py:Name`, `package.Name`), or one of another
library by its name there (`LIBRARY/NAME`).

Each group has a module whose `describe(path)` returns what the YAML file of the choice would hold: settings with their
defaults, and `about`. Each library has a module whose `describe(name)` does so, or returns None for an unknown name.
The modules are named here as text: they lie above this package, and import torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from typing import Any

from optbench.config import imports
from optbench.config.trees import Node
from optbench.config.values import shown
from optbench.contracts import ROLES
from optbench.errors import ConfigError

SCRIPT, TASK = "script", "task"
OWN = {
    "optimizer": "optbench.config.own_optimizer",
    "model": "optbench.models.own",
    "data": "optbench.data.own",
    "schedule": "optbench.training.own_schedule",
    "clip": "optbench.clipping.own",
    TASK: "optbench.tasks.own",
}
"""The module that describes a user's own object, by group."""
LIBRARIES = {"optimizer": "optbench.peers", "model": "optbench.models.libraries"}
"""The package with a module for each library, by group."""
SCRIPTS = "optbench.scripts.describe"
"""Its `describe(command)` returns the nodes of the groups that a training script stands for, by group."""


ALIASES = {TASK: "model.task", SCRIPT: "model"}
"""What the keys below `task` and `script` are short for: a task and a script are parts of the model."""


def check_alias(key: str, text: str, chosen: Collection[str]) -> None:
    """Raise ConfigError for a setting of a script where none is chosen."""
    if key.partition(".")[0] == SCRIPT != key and SCRIPT not in chosen:
        raise ConfigError(f"{shown(text)}: there is no script", f"Add {SCRIPT}=./train.py")


def aliased(key: str) -> str:
    """Return the key in full: model.task.label_smoothing for task.label_smoothing."""
    head, dot, rest = key.partition(".")
    return f"{ALIASES[head]}.{rest}" if dot and head in ALIASES else key


def own_node(group: str, name: str) -> Node | None:
    """Return the node of a choice without a YAML file; None for a name that is neither a path nor a library's."""
    if imports.is_path(name):
        module = OWN.get(group)
        return describer(module)(name) if module and is_module(module) else None
    library, _, inner = name.partition("/")
    home = f"{LIBRARIES.get(group)}.{library}"
    if group not in LIBRARIES or not library.isidentifier() or not inner or not is_module(home):
        return None
    describe = vars(imports.dotted_module(home, home)).get("describe")  # a library may offer no names
    return describe(inner) if describe else None


def with_roles(node: Node) -> Node:
    """Return the node of a model with the keys `roles.ROLE`: names or patterns of the parameters that have the role."""
    about: Node = node["about"]
    valid = {**about.get("valid", {}), **{f"roles.{role}": "list str" for role in ROLES}}
    roles = {**dict.fromkeys(ROLES), **node.get("roles", {})}
    return {**node, "roles": roles, "about": {**about, "valid": valid}}


def script_nodes(command: str) -> dict[str, Node]:
    """Return the nodes that a training script stands for: those of "model" and "data"."""
    return describer(SCRIPTS)(command)


def describer(module: str) -> Callable[[str], Any]:
    """Return the function `describe` of a module, importing it."""
    return getattr(imports.dotted_module(module, module), "describe")  # noqa: B009  # its type is known to us alone


def is_module(name: str) -> bool:
    """Return True for the name of a module that exists."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def name_of(node: Node) -> str:
    """Return the short name of a choice without a YAML file."""
    about: Node = node["about"]
    return str(about.get("name") or about.get("algorithm"))
