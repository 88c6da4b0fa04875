"""study.json, which holds a study's settings, plan and choices; and the lock of its only scheduler.

It lies beside the run folders and is replaced as a whole. It can be made again from the command line and the runs."""

from __future__ import annotations

import itertools
import json
import logging
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, Locked, StorageError
from optbench.records import SCHEMA
from optbench.store import read_json, read_study, storage_errors, write_json
from optbench.sweeps.executors.base import SCHEDULER_LOCK
from optbench.sweeps.scheduler.cell_progress import DONE, CellProgress, Trial
from optbench.sweeps.study.outcomes import PRUNED, Outcome
from optbench.sweeps.study.study import ADDED, BEFORE, CLASSIC, DEFAULT, STUDY_FILE, Study

log = logging.getLogger(__name__)

OWNER = ".scheduler.json"
LOGS = "logs"
OWN = re.compile(rf"{re.escape(SCHEDULER_LOCK)}|{re.escape(STUDY_FILE)}|{LOGS}|optuna\.journal(\..+)?")
"""Names of what a sweep writes beside its runs."""
HISTORY = 20  # earlier settings that are kept


@contextmanager
def scheduler_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a study's scheduler. The system releases the lock of a killed process.

    Raises Locked if another scheduler has it, StorageError if the folder cannot be written."""
    from filelock import FileLock, Timeout

    made = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / SCHEDULER_LOCK, timeout=0)
    try:
        with storage_errors(folder):
            lock.acquire()
    except Timeout:
        owner: Mapping[str, Any] = {}
        with suppress(StorageError):
            owner = read_json(folder / OWNER) or {}
        who = f"process {owner['pid']} on {owner['host']}" if {"pid", "host"} <= owner.keys() else "another process"
        raise Locked(
            f"the study {folder.name} is being run by {who}", "Wait for it, or choose another --study"
        ) from None
    try:
        write_json(folder / OWNER, {"pid": os.getpid(), "host": platform.node()})
        yield
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink()
        if folder in made:
            remove_unused(made)
        lock.release()


def remove_unused(made: Sequence[Path]) -> None:
    """Delete the folders that this sweep made, a study's first, if the sweep was refused before any run began.

    Only files that a sweep writes by itself are deleted; any other entry, such as a run's folder, keeps all."""
    with suppress(OSError):
        entries = list(made[0].iterdir())
        if any(entry.is_symlink() or not OWN.fullmatch(entry.name) for entry in entries):
            return
        logs = [log for entry in entries if entry.name == LOGS for log in entry.iterdir()]
        for file in [*logs, *(entry for entry in entries if entry.name != LOGS)]:
            file.unlink()
        for path in [*(entry for entry in entries if entry.name == LOGS), *made]:
            path.rmdir()


def changed_settings(previous: Mapping[str, Any] | None, study: Study) -> list[str]:
    """Return the differences between the settings of an earlier study.json and those of the study, as text."""
    old = (previous or {}).get("settings")
    if not old:
        return []
    old = {**ADDED, **old}
    if "shortlist" not in old:
        old = {**BEFORE, **old, "protocol": CLASSIC if old.get("protocol") == DEFAULT else old.get("protocol")}
    new = json.loads(json.dumps(study.as_dict()))
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in new if old.get(key) != new.get(key)]


def check_points(previous: Mapping[str, Any] | None, cells: Sequence[CellProgress]) -> None:
    """Raise ConfigError if a trial of an earlier study.json was at another point: reports would take both for one."""
    earlier = {cell["label"]: cell for cell in (previous or {}).get("cells", ())}
    for progress in cells:
        trials = earlier.get(progress.cell.label, {}).get("trials", ())
        known = {trial["trial"]: trial["values"] for trial in trials}
        for trial in progress.trials:
            if known.get(trial.number, trial.values) != trial.values:
                raise ConfigError(
                    f"the study {progress.study.name} has other points for {progress.cell.label}: trial {trial.number} "
                    f"was at {known[trial.number]} and would be at {dict(trial.values)}",
                    "Give this search a name of its own: --study NAME; or keep its sampler, points, seed and boxes",
                )


def content_of(study: Study, cells: Sequence[CellProgress], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the content of study.json."""
    history = list((previous or {}).get("history", []))
    if previous and changed_settings(previous, study):
        history = [*history, previous["settings"]][-HISTORY:]
    return {
        "schema": SCHEMA,
        "study": study.name,
        "settings": study.as_dict(),
        "cells": [cell_content(cell) for cell in cells],
        "history": history,
    }


def cell_content(progress: CellProgress) -> dict[str, object]:
    """Return the part of a cell: its choices, its budget, its trials and its winner."""
    cell, winner = progress.cell, progress.winner
    outcomes = (outcome for trial in progress.trials for outcome in outcomes_of(trial, progress))
    measured = next((outcome for outcome in outcomes if outcome is not None and outcome.metric), None)
    return {
        "label": cell.label,
        "choices": list(cell.choices),
        "optimizer": cell.config.optimizer.name,
        "implementation": cell.config.optimizer.settings["impl"],
        "model": cell.config.model.name,
        "data": cell.config.data.name,
        "workload": list(cell.workload),
        "given": list(cell.given),
        "budget": cell.budget,
        "steps": cell.config.steps,
        "batch_size": cell.config.batch_size,
        "evaluations_per_step": cell.evaluations,
        "metric": measured.metric if measured else None,
        "direction": measured.direction if measured else None,
        "box_name": cell.box_name,
        "box": progress.box.as_dict(),
        "dimensions": [{**asdict(d), "values": list(d.values)} for d in progress.box.dimensions],
        "stage": progress.stage,
        "trials": [
            {
                "trial": trial.number,
                "group": trial.group,
                "values": dict(trial.values),
                "runs": [run.run_id for run in trial.runs],
                **trial_state(outcomes_of(trial, progress)),
                "score": trial.score,
            }
            for trial in progress.trials
        ],
        "winner": winner.number if winner else None,
        "edges": [list(edge) for edge in progress.edges()],
        "extensions": progress.extensions,
        "finals": [run.run_id for run in progress.finals],
    }


def outcomes_of(trial: Trial, progress: CellProgress) -> list[Outcome | None]:
    """Return the outcomes of a trial's runs, None for each that has not ended."""
    return [progress.outcomes.get(run.run_id) for run in trial.runs]


def trial_state(outcomes: Sequence[Outcome | None]) -> dict[str, object]:
    """Return a trial's state (open, done, pruned or failed), and its runs' mean metric if all have succeeded."""
    if None in outcomes:
        return {"state": "open", "value": None}
    values = [o.val for o in outcomes if o is not None and o.score is not None and o.val is not None]
    if len(values) == len(outcomes):
        return {"state": "done", "value": sum(values) / len(values)}
    pruned = any(o is not None and o.status == PRUNED for o in outcomes)
    return {"state": "pruned" if pruned else "failed", "value": None}


def is_done(content: Mapping[str, Any] | None, study: Study) -> bool:
    """Return True if a study.json has these settings and nothing is left to run."""
    if not content or changed_settings(content, study):
        return False
    return all(cell["stage"] == DONE for cell in content["cells"])


def write_study_json(folder: Path, content: Mapping[str, Any]) -> None:
    """Write study.json."""
    write_json(folder / STUDY_FILE, content)


def read_study_json(folder: Path) -> dict[str, Any] | None:
    """Return the content of study.json, or None if there is none that can be read."""
    return read_study(folder / STUDY_FILE)


def set_aside_unreadable(folder: Path) -> None:
    """Rename a study.json that cannot be read: the sweep writes a new one. What it said of earlier settings is lost."""
    file = folder / STUDY_FILE
    if read_study(file) is not None or not os.path.lexists(file):
        return
    numbers = (number for number in itertools.count(1) if not os.path.lexists(folder / f"study.unreadable-{number}"))
    aside = folder / f"study.unreadable-{next(numbers)}"
    with storage_errors(file):
        file.rename(aside)
    log.warning(f"{file} cannot be read and is made again; the old one is kept as {aside.name}")
