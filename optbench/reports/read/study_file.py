"""study.json, checked: the cells of a study, as the rest of the report relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Required, TypedDict, TypeGuard


class CellEntry(TypedDict, total=False):
    """The part of study.json about one cell that a report needs."""

    label: Required[str]
    choices: list[str]
    workload: list[str]
    evaluations_per_step: object
    stage: object
    winner: int | None
    edges: list[list[str]]
    box_name: object
    box: object


class StudyFile(TypedDict):
    """study.json."""

    settings: Mapping[str, object]
    cells: list[CellEntry]


Cells = Mapping[tuple[str, str], CellEntry]
"""Cells by study and label."""


def check_study_file(tree: Mapping[str, object]) -> tuple[StudyFile, list[str]]:
    """Return the settings and the well-formed cells of a study file, and a reason for everything left out."""
    wrong = []
    settings = tree.get("settings")
    if settings is not None and not isinstance(settings, Mapping):
        wrong.append("settings is not a mapping")
    listed = tree.get("cells")
    if listed is not None and not isinstance(listed, list):
        wrong.append("cells is not a list")
    cells: list[CellEntry] = []
    for number, cell in enumerate(listed if isinstance(listed, list) else []):
        reason = fault_of(cell)
        if reason:
            wrong.append(f"cell {number} is left out: {reason}")
        elif is_cell(cell):
            cells.append(cell)
    return {"settings": settings if isinstance(settings, Mapping) else {}, "cells": cells}, wrong


def cells_of(studies: Mapping[str, StudyFile]) -> dict[tuple[str, str], CellEntry]:
    """Return the cells of every study.json by study and label."""
    return {
        (study, cell["label"]): cell for study, tree in studies.items() for cell in tree["cells"] if "label" in cell
    }


def planned_runs(cell: Mapping[str, object]) -> frozenset[str]:
    """Return the ids of the runs that a cell of study.json lists; none where it lists none, or nothing readable."""
    trials = cell.get("trials")
    parts = [trial.get("runs") for trial in trials if isinstance(trial, Mapping)] if isinstance(trials, list) else []
    lists = [part for part in (*parts, cell.get("finals")) if isinstance(part, list)]
    return frozenset(run for listed in lists for run in listed if isinstance(run, str))


def is_cell(cell: object) -> TypeGuard[CellEntry]:
    """Return True if a cell has the expected shape."""
    return not fault_of(cell)


def fault_of(cell: object) -> str:
    """Return what is wrong with a cell, empty if nothing is."""
    if not isinstance(cell, Mapping) or not isinstance(cell.get("label"), str):
        return "it has no label"
    for name in ("choices", "workload"):
        if not is_list_of(cell.get(name), str):
            return f"{name} is not a list of words"
    edges = cell.get("edges")
    if not is_list_of(edges, list) or any(len(edge) != 2 or not is_list_of(edge, str) for edge in edges or ()):
        return "edges is not a list of pairs of words"
    winner = cell.get("winner")
    return "" if winner is None or type(winner) is int else "winner is not a whole number"


def is_list_of(value: object, kind: type) -> bool:
    """Return True for None and for a list of values of one type."""
    return value is None or (isinstance(value, list) and all(isinstance(inner, kind) for inner in value))
