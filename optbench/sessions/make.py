"""Calling what an import path of the configuration names: a task, a model, a data set. A name that is none of these is
refused before it is called; an error of the user's own code is one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optbench.clipping.own import clip_of
from optbench.config import imports
from optbench.config.user_code import user_error
from optbench.errors import ConfigError, first_line
from optbench.tasks.own import task_of

TASK = ("metric", "direction", "metric_scale", "players", "turns", "evaluate", "score", "measures", "pictures")
KINDS: dict[str, Sequence[str]] = {
    "task": (*TASK, "after_step", "diverged"),
    "model": (),
    "data set": ("load",),
    "clip": ("__call__", "state_dict", "load_state_dict"),
}
"""The attributes of each kind; the interfaces are in optbench/contracts.py. For models, see models/own.py."""
BASES = {"task": "optbench.tasks.base.BaseTask", "clip": "optbench.clipping.Clip"}
"""The class from which an object of a kind may inherit defaults."""
BUILDERS: Mapping[str, Callable[[str, Any], Any]] = {"task": task_of, "clip": clip_of}
"""What turns (path, object at it) into the function that builds: a plain function may be the loss, or the clip."""


def make(kind: str, path: str, /, *arguments: object, **settings: object) -> Any:
    """Return what the object at an import path builds. Raises ConfigError for an object of another kind."""
    target = imports.load(path)
    target = BUILDERS[kind](path, target) if kind in BUILDERS else target
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
        base = f"; inherit from {BASES[kind]}" if kind in BASES else ""
        raise ConfigError(
            f"{path} builds no {kind}: {type(made).__name__} has no '{missing[0]}'",
            f"A {kind} has {', '.join(KINDS[kind])}{base}",
        )
    return made
