"""Calling what an import path of the configuration names: a task, a model, a data set. A name that is none of these is
refused before it is called; an error of the user's own code is one line."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from optbench.config import imports
from optbench.config.user_code import user_error
from optbench.errors import ConfigError, first_line

KINDS: dict[str, Sequence[str]] = {
    "task": ("metric", "direction", "players", "turns", "evaluate", "score"),
    "model": (),
    "data set": ("load",),
}
"""The attributes of each kind; the interfaces are in optbench/contracts.py. For models, see models/own.py."""


def make(kind: str, path: str, /, *arguments: object, **settings: object) -> Any:
    """Return what the object at an import path builds. Raises ConfigError for an object of another kind."""
    target = imports.load(path)
    names = ", ".join([*(type(a).__name__ for a in arguments), *(f"{key}=" for key in settings)])
    try:
        inspect.signature(target).bind(*arguments, **settings)
    except (TypeError, ValueError) as error:
        reason = f"{path} builds no {kind}: it cannot be called with ({names}): {first_line(error)}"
        raise ConfigError(reason, "optbench/contracts.py describes what it must take") from None
    try:
        made = target(*arguments, **settings)
    except (Exception, SystemExit) as error:
        if path.startswith("optbench."):
            raise
        raise user_error(f"{path}: building the {kind} raised an error", error) from error
    missing = [name for name in KINDS[kind] if not hasattr(made, name)]
    if missing:
        raise ConfigError(
            f"{path} builds no {kind}: {type(made).__name__} has no '{missing[0]}'",
            f"A {kind} has {', '.join(KINDS[kind])}",
        )
    return made
