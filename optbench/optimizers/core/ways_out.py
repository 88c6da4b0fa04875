"""What to write where an optimizer refuses what a run gives it: read from its words, or the line that failed."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import Any

from optbench.config import imports
from optbench.config.own_optimizer import declared
from optbench.config.user_code import cause
from optbench.optimizers.core.group_keys import demanded, groups_with

GROUPS_OF = ("params", "parameters", "param_groups", "args", "kwargs")
"""Names of a first argument that takes parameter groups."""
OTHERWISE = (
    "A run passes parameter groups as '{name}'. Name a function that makes anything else of them: "
    "def build(params, lr): ...  (optimizer=./file.py:build)"
)
MATRICES = re.compile(r"\b[23][- ]?d\b|dimension|ndim|matri(x|ces)|\bshape", re.I)


def way_out(error: Exception, name: str, implementation: Mapping[str, Any]) -> str:
    """Return the way out that a constructor's error suggests, or "". `name` is that of its first argument."""
    if implementation.get("takes"):
        return ""
    missing = re.search(r"missing .*required .*argument.*'(\w+)'", cause(error))
    if missing:
        key = missing[1]
        return f"Give it a value in the file: {key}: VALUE; an import path of a class with about: {{classes: [{key}]}}"
    return of_name(name, implementation) or of_words(error, implementation)


def of_name(name: str, implementation: Mapping[str, Any]) -> str:
    """Return the way out for a first argument that takes something other than parameter groups, or ""."""
    if name in GROUPS_OF or implementation.get("takes"):
        return ""
    return OTHERWISE.format(name=name)


def of_words(error: Exception, implementation: Mapping[str, Any]) -> str:
    """Return the way out that the words of an error, or its failing line, suggest; or ""."""
    text, target = cause(error), imports.load(implementation["target"]) if "target" in implementation else None
    keys = demanded(target, error) if "groups" not in implementation else []
    if keys and isinstance(target, type):
        return f"Say what its groups hold: {declared(groups_with(target, keys, everywhere=True), implementation)}"
    if re.search(r"does not require grad|no attribute 'grad_fn'", text):
        needs = {"needs": ["double_backward"]}
        return f"If its step differentiates the gradients: {declared(needs, implementation)}"
    if re.search(r"no attribute '(named_)?(parameters|modules|children)'", text):
        return f"If it wants the model itself: {declared({'takes': 'model'}, implementation)}"
    if MATRICES.search(text):
        found = declared({"takes": "matrices"}, implementation)
        return f"If it is for matrices alone (AdamW trains the rest): {found}"
    if re.search(r"param(eter)?[ _]?groups?|per-parameter", text, re.I):
        found = declared({"needs": ["closure", "single_group"]}, implementation)
        return f"If it takes one group alone: optimizer.no_decay=[], or {found}"
    tested = re.search(r"isinstance\((\w+)", text)
    return OTHERWISE.format(name=tested[1]) if tested and tested[1] in GROUPS_OF else ""


def out_of_step(error: Exception, implementation: Mapping[str, Any]) -> str:
    """Return the way out of an error that an optimizer's step raised; "" for any other error, or without one."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    of_step = [frame for frame in frames if frame.f_code.co_name == "step"]
    if not any(hasattr(frame.f_locals.get("self"), "param_groups") for frame in of_step):
        return ""
    return "" if implementation.get("takes") else of_words(error, implementation)
