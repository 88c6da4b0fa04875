"""study.json, brought into its shape: what the rest of the report relies on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TEXTS = ("choices", "workload")


def checked(tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A study with `settings` (a mapping) and `cells` that have their shape, and what was left out, in words."""
    wrong = []
    settings = tree.get("settings")
    if settings is not None and not isinstance(settings, Mapping):
        wrong.append("settings are no mapping")
    listed = tree.get("cells")
    if listed is not None and not isinstance(listed, list):
        wrong.append("cells are no list")
    cells = []
    for number, cell in enumerate(listed if isinstance(listed, list) else []):
        why = fault(cell)
        if why:
            wrong.append(f"cell {number} is left out: {why}")
        else:
            cells.append(cell)
    return {**tree, "settings": settings if isinstance(settings, Mapping) else {}, "cells": cells}, wrong


def fault(cell: Any) -> str:
    """What is wrong with a cell, empty where nothing is."""
    if not isinstance(cell, Mapping) or not isinstance(cell.get("label"), str):
        return "it has no label"
    for name in TEXTS:
        if not is_list_of(cell.get(name), str):
            return f"{name} are no words"
    if not is_list_of(cell.get("dimensions"), Mapping):
        return "dimensions are no mappings"
    edges = cell.get("edges")
    if not is_list_of(edges, list) or any(len(edge) != 2 or not is_list_of(edge, str) for edge in edges or ()):
        return "edges are no pairs of words"
    trials = cell.get("trials")
    if not is_list_of(trials, Mapping) or any(not is_whole(trial) for trial in trials or ()):
        return "trials have no number or no values"
    winner = cell.get("winner")
    return "" if winner is None or type(winner) is int else "the winner is no number"


def is_list_of(value: Any, kind: type) -> bool:
    """Whether a value is a list of such things, or not there."""
    return value is None or (isinstance(value, list) and all(isinstance(inner, kind) for inner in value))


def is_whole(trial: Mapping[str, Any]) -> bool:
    """Whether a trial has its number and a mapping of values."""
    values = trial.get("values")
    return type(trial.get("trial")) is int and isinstance(values, Mapping)


def as_number(value: Any) -> float | None:
    """A hyperparameter as a finite number, None where it is none."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None
