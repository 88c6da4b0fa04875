"""study.json: what was asked for, and what has been planned and chosen so far; and the lock of the one scheduler.

It lies beside the run folders, is written whole or not at all, and holds nothing that could not be made again from the
command line and the runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optbench.errors import NotHeld
from optbench.records import SCHEMA
from optbench.store import explained, read_json, write_json
from optbench.sweep.course import Course
from optbench.sweep.study import Study

FILE, LOCK, OWNER = "study.json", ".scheduler.lock", ".scheduler.json"
HISTORY = 20  # earlier plans that are kept


@contextmanager
def scheduling(folder: Path) -> Iterator[None]:
    """Be the one scheduler of a study. The system drops the lock of a killed process by itself.

    Raises NotHeld where another one is at it, ConfigError where the folder cannot be written."""
    from filelock import FileLock, Timeout

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
    try:
        with explained(folder):
            lock.acquire()
    except Timeout:
        owner = read_json(folder / OWNER) or {}
        who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
        raise NotHeld(
            f"the study {folder.name} is being run by {who}", "Wait for it, or choose another --study"
        ) from None
    try:
        write_json(folder / OWNER, {"pid": os.getpid(), "host": platform.node()})
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def changes(before: Mapping[str, Any] | None, study: Study) -> list[str]:
    """What differs between the settings that a study had and those it is to have, in words."""
    old = (before or {}).get("settings")
    if not old:
        return []
    new = json.loads(json.dumps(study.as_dict()))
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in new if old.get(key) != new.get(key)]


def tree_of(study: Study, courses: Sequence[Course], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content of study.json."""
    history = list((before or {}).get("history", []))
    if before and changes(before, study):
        history = [*history, before["settings"]][-HISTORY:]
    return {
        "schema": SCHEMA,
        "study": study.name,
        "settings": study.as_dict(),
        "cells": [cell_tree(course) for course in courses],
        "history": history,
    }


def cell_tree(course: Course) -> dict[str, Any]:
    """One cell: what sets it apart, its budget, its trials and what was chosen."""
    cell, winner = course.cell, course.winner
    return {
        "label": cell.label,
        "choices": list(cell.choices),
        "optimizer": cell.config.optimizer.name,
        "implementation": cell.config.optimizer.settings["impl"],
        "model": cell.config.model.name,
        "data": cell.config.data.name,
        "workload": list(cell.workload),
        "budget": cell.budget,
        "steps": cell.config.steps,
        "batch_size": cell.config.batch_size,
        "evaluations_per_step": cell.evaluations,
        "box": course.box.as_dict(),
        "stage": course.stage,
        "trials": [
            {
                "trial": trial.number,
                "group": trial.number % course.study.groups,
                "values": dict(trial.values),
                "runs": [run.run_id for run in trial.runs],
                "score": trial.score,
            }
            for trial in course.trials
        ],
        "winner": winner.number if winner else None,
        "edges": [list(edge) for edge in course.edges()],
        "extensions": course.extensions,
        "finals": [run.run_id for run in course.finals],
    }


def write_ledger(folder: Path, tree: Mapping[str, Any]) -> None:
    """Write study.json."""
    write_json(folder / FILE, tree)


def read_ledger(folder: Path) -> dict[str, Any] | None:
    """study.json, or None where there is none."""
    return read_json(folder / FILE)
