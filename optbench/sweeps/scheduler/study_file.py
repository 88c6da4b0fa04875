"""study.json: what was asked for, and what has been planned and chosen so far; and the lock of the one scheduler.

It lies beside the run folders, is written whole or not at all, and holds nothing that could not be made again from the
command line and the runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optbench.errors import Locked
from optbench.records import SCHEMA
from optbench.store import explained, read_json, write_json
from optbench.sweeps.scheduler.cell_progress import DONE, Course, Trial
from optbench.sweeps.study.outcomes import PRUNED, Outcome
from optbench.sweeps.study.study import Study

FILE, LOCK, OWNER = "study.json", ".scheduler.lock", ".scheduler.json"
HISTORY = 20  # earlier plans that are kept


@contextmanager
def scheduling(folder: Path) -> Iterator[None]:
    """Be the one scheduler of a study. The system drops the lock of a killed process by itself.

    Raises Locked where another one is at it, ConfigError where the folder cannot be written."""
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
        raise Locked(
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
    measured = next((o for t in course.trials for o in outcomes_of(t, course) if o is not None and o.metric), None)
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
        "metric": measured.metric if measured else None,
        "direction": measured.direction if measured else None,
        "box": course.box.as_dict(),
        "dimensions": [asdict(dimension) for dimension in course.box.dimensions],
        "stage": course.stage,
        "trials": [
            {
                "trial": trial.number,
                "group": trial.number % course.study.groups,
                "values": dict(trial.values),
                "runs": [run.run_id for run in trial.runs],
                **ending(outcomes_of(trial, course)),
                "score": trial.score,
            }
            for trial in course.trials
        ],
        "winner": winner.number if winner else None,
        "edges": [list(edge) for edge in course.edges()],
        "extensions": course.extensions,
        "finals": [run.run_id for run in course.finals],
    }


def outcomes_of(trial: Trial, course: Course) -> list[Outcome | None]:
    """The outcomes of a trial's runs, None for one that has not ended."""
    return [course.outcomes.get(run.run_id) for run in trial.runs]


def ending(outcomes: Sequence[Outcome | None]) -> dict[str, Any]:
    """How a trial ended: open, done, pruned or failed; and the mean of its runs' metric where all have succeeded."""
    if None in outcomes:
        return {"state": "open", "value": None}
    values = [o.val for o in outcomes if o is not None and o.score is not None and o.val is not None]
    if len(values) == len(outcomes):
        return {"state": "done", "value": sum(values) / len(values)}
    pruned = any(o is not None and o.status == PRUNED for o in outcomes)
    return {"state": "pruned" if pruned else "failed", "value": None}


def is_done(tree: Mapping[str, Any] | None, study: Study) -> bool:
    """Whether a study.json tells of these very settings, and that nothing was left to run."""
    return bool(tree) and not changes(tree, study) and all(cell["stage"] == DONE for cell in tree["cells"])


def write_ledger(folder: Path, tree: Mapping[str, Any]) -> None:
    """Write study.json."""
    write_json(folder / FILE, tree)


def read_ledger(folder: Path) -> dict[str, Any] | None:
    """study.json, or None where there is none."""
    return read_json(folder / FILE)
