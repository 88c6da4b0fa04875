"""The documents of runs and studies, checked as they are read: another version, an editor or a stranger wrote them.

Only what the commands rely on is checked, and a key that is missing or null passes unless it is required."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

from optbench.errors import StorageError, printable
from optbench.records import Status
from optbench.store.json_files import Document, read_json

LARGEST = 1e300  # numbers must be smaller, so that any arithmetic and format takes them
Kind: TypeAlias = tuple[str, Callable[[Any], bool]]
"""A kind of value in words, and its test."""
Shape: TypeAlias = Mapping[str, Kind]


def is_number(value: object) -> bool:
    """Return True for a number that is not too large; JSON has whole numbers of any size, and nan."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) >= LARGEST


def is_whole(value: object) -> bool:
    """Return True for a whole number."""
    return is_number(value) and isinstance(value, int)


def mapping_of(test: Callable[[Any], bool]) -> Callable[[object], bool]:
    """Return a test for mappings whose values pass `test` or are null."""
    return lambda tree: (
        isinstance(tree, dict) and all(v is None or test(v) for v in cast("dict[str, object]", tree).values())
    )


def list_of(test: Callable[[Any], bool]) -> Callable[[object], bool]:
    """Return a test for lists whose items pass `test`."""
    return lambda items: isinstance(items, list) and all(map(test, cast("list[object]", items)))


def is_text(value: object) -> bool:
    """Return True for text."""
    return isinstance(value, str)


def is_mapping(value: object) -> bool:
    """Return True for a mapping."""
    return isinstance(value, dict)


TEXT: Kind = ("text", is_text)
NUMBER: Kind = ("a number", is_number)
WHOLE: Kind = ("a whole number", is_whole)
MAPPING: Kind = ("a mapping", is_mapping)
NUMBERS: Kind = ("a mapping of numbers", mapping_of(is_number))
TEXTS: Kind = ("a list of texts", list_of(is_text))
STATUS: Kind = (f"one of {', '.join(Status)}", lambda value: value in tuple(Status))
DIRECTION: Kind = ("min or max", lambda value: value in ("min", "max"))

RUN: Shape = {
    **dict.fromkeys(("run_id", "engine", "algorithm", "implementation", "metric", "started_at"), TEXT),
    **dict.fromkeys(("config", "data", "hardware", "versions", "git", "sweep", "init"), MAPPING),
    "modifiers": TEXTS,
    "config.optimizer_d": MAPPING,
    "data.sha256": TEXT,
}
RESULT: Shape = {
    **dict.fromkeys(("run_id", "reason", "metric", "data_sha256"), TEXT),
    **dict.fromkeys(("final", "best", "seconds", "throughput"), NUMBERS),
    **dict.fromkeys(("wall_seconds", "train_seconds", "target.value"), NUMBER),
    **dict.fromkeys(("bytes", "target"), MAPPING),
    **dict.fromkeys(("bytes.parameters", "bytes.frozen_parameters", "bytes.resident"), NUMBER),
    **dict.fromkeys(("bytes.peak_allocated", "bytes.peak_reserved", "bytes.evaluation_peak_allocated"), NUMBER),
    "bytes.optimizer_state": NUMBERS,
    "best.step": WHOLE,
    "target.step": WHOLE,
    "status": STATUS,
    "direction": DIRECTION,
    "resumed_from_steps": ("a list of whole numbers", list_of(is_whole)),
}
PRUNED: Shape = {"reason": TEXT, "metric": TEXT, "direction": DIRECTION, "value": NUMBER}
TRIAL: Shape = {"trial": WHOLE, "values": MAPPING, "runs": TEXTS, "state": TEXT, "score": NUMBER}
DIMENSION: Shape = {"key": TEXT, "low": NUMBER, "high": NUMBER}
CELL: Shape = {
    "label": TEXT,
    "trials": ("a list of trials", list_of(lambda trial: is_mapping(trial) and not fault(trial, TRIAL, TRIAL_KEYS))),
    "dimensions": ("a list of dimensions", list_of(lambda one: is_mapping(one) and not fault(one, DIMENSION, ()))),
    "edges": ("a list of pairs of texts", list_of(lambda edge: list_of(is_text)(edge) and len(edge) == 2)),
    "finals": TEXTS,
    "winner": WHOLE,
    "extensions": WHOLE,
    "metric": TEXT,
    "direction": DIRECTION,
    "stage": TEXT,
}
STUDY: Shape = {
    "settings": MAPPING,
    "settings.trials": WHOLE,
    "settings.protocol": TEXT,
    "cells": ("a list of cells", list_of(lambda cell: is_mapping(cell) and not fault(cell, CELL, CELL_KEYS))),
    "history": ("a list of mappings", list_of(is_mapping)),
}
TRIAL_KEYS, CELL_KEYS = ("trial", "values", "runs"), ("label", "trials")


def fault(tree: Mapping[str, Any], shape: Shape, required: tuple[str, ...]) -> str:
    """Return what is wrong with a document, empty if nothing is."""
    for key, (words, test) in shape.items():
        section, _, name = key.rpartition(".")
        inside = tree.get(section) if section else tree
        value = cast("Mapping[str, object]", inside).get(name) if is_mapping(inside) else None
        if value is None:
            if key in required:
                return f"{key} is missing"
        elif not test(value):
            return f"{key} is {printable(value)[:60]}, not {words}"
    return ""


def checked(file: Path, shape: Shape, required: tuple[str, ...] = ()) -> Document | None:
    """Return a document that has a shape, None if it is missing or damaged. Raises StorageError for other content."""
    tree = read_json(file)
    wrong = fault(tree, shape, required) if tree is not None else ""
    if wrong:
        raise StorageError(f"{file}: {wrong}", f"Move {file.parent} away to make it again")
    return tree


def read_run(file: Path) -> Document | None:
    """Return run.json; see `checked`."""
    return checked(file, RUN)


def read_result(file: Path) -> Document | None:
    """Return result.json; see `checked`."""
    return checked(file, RESULT, ("run_id", "status"))


def read_pruned(file: Path) -> Document | None:
    """Return pruned.json; see `checked`."""
    return checked(file, PRUNED, ("reason",))


def read_study(file: Path) -> Document | None:
    """Return study.json, None if it is missing or in any way unreadable: it can be made again."""
    try:
        return checked(file, STUDY)
    except StorageError:
        return None
