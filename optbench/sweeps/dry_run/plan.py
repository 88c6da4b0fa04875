"""The plan of a study: its cells, runs, time and disk, by a timed probe. Nothing is written or locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optbench.errors import OptbenchError
from optbench.sweeps.dry_run.plan_text import STAGES, plan_lines
from optbench.sweeps.dry_run.probe import probe, server_seconds
from optbench.sweeps.dry_run.probe_worker import ProbeResult
from optbench.sweeps.executors.local import placement
from optbench.sweeps.executors.registry import LOCAL, ExecutorChoice, ExecutorRequest
from optbench.sweeps.scheduler.observer import SilentObserver
from optbench.sweeps.scheduler.scheduler import Scheduler, is_prunable, keeps_checkpoint
from optbench.sweeps.search.pruning import NoPruning
from optbench.sweeps.search.search import LEARNING
from optbench.sweeps.study.cells import FINAL, TUNE, Cell
from optbench.sweeps.study.given import dropped_lines
from optbench.sweeps.study.study import Study

Row = Mapping[str, Any]


def plan(
    study: Study,
    cells: Sequence[Cell],
    root: Path,
    *,
    jobs: int | None,
    per_device: int,
    retry: frozenset[str],
    executor: ExecutorChoice | None = None,
) -> tuple[dict[str, Any], OptbenchError | None]:
    """Return the plan of a study, and the first error of a cell that cannot be run. The probe always runs on this
    machine; another executor only changes how many runs there are at a time."""
    pruning = NoPruning() if study.pruner != "none" else None
    scheduler = Scheduler(study, cells, root, SilentObserver(), pruning, retry)
    scheduler.plan()
    probed = [cell for cell in cells if not cell.config.has_own_session]  # nobody knows what a script does
    startup = server_seconds(probed) if probed else 0.0
    configs = [cell.config for cell in cells]
    here = executor is None or executor.name == LOCAL
    count, devices = placement(ExecutorRequest(configs, scheduler.folder, jobs if here else None, per_device, {}))
    results = probe(probed, root, devices or [None] * count) if probed else {}
    if executor is not None and not here:
        count = executor.slots(configs, scheduler.folder, jobs, per_device)
    rows = [row(scheduler, cell, results.get(cell.number)) for cell in cells]
    tree = {
        "study": study.name,
        "folder": str(scheduler.folder),
        "protocol": study.protocol,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "jobs": count,
        "executor": LOCAL if executor is None else executor.name,
        "devices": devices if here else [],
        "stops_early": any(config.stop_at_target for config in configs),
        "cells": rows,
        "dropped": dropped_lines(cells),
        **totals(study, rows, count, startup),
    }
    tree["lines"] = plan_lines(study, tree, root)
    errors = ((cell, error) for cell in cells if isinstance(error := results.get(cell.number), OptbenchError))
    return tree, next((type(e)(f"{cell.label}: {e.args[0]}", e.hint) for cell, e in errors), None)


def row(scheduler: Scheduler, cell: Cell, result: ProbeResult | OptbenchError | None) -> dict[str, Any]:
    """Return the plan of a cell: its box, its runs, and the time, memory and disk of a run, null if unknown."""
    config, study = cell.config, scheduler.study
    found: dict[str, Any] = {
        "cell": cell.label,
        "optimizer": config.optimizer.name,
        "box_name": cell.box_name,
        "box": cell.box.as_dict(),
        "given": list(cell.given),
        "trials": study.tried if len(cell.box) else 0,
        "runs": run_counts(scheduler, cell),
        "steps": config.steps,
        "batch_size": config.batch_size,
        "evaluated_samples": None if config.has_own_session else cell.evaluated_samples,
        "refused": None,
        **dict.fromkeys(("run_seconds", "step_seconds", "resident_bytes", "device_bytes", "disk_bytes", "probe")),
    }
    if isinstance(result, OptbenchError):
        found["refused"] = {"error": result.args[0], "hint": result.hint, "exit_code": result.exit_code}
    elif result is not None:
        found |= {
            "run_seconds": result.seconds(config),
            "step_seconds": result.step_seconds,
            "resident_bytes": result.resident_bytes,
            "device_bytes": result.device_bytes,
            "disk_bytes": {
                stage: result.file_bytes(config, keeps_checkpoint=keeps_checkpoint(config, stage)) for stage in STAGES
            },
            "probe": asdict(result),
        }
    return found


def run_counts(scheduler: Scheduler, cell: Cell) -> dict[str, dict[str, int]]:
    """Return how many runs of each stage a cell has, and how many of them ended in an earlier session.

    Not known yet are the points of a sampler that learns, the shortlisted trials and, with finalists=best, the cell of
    the final runs."""
    study = scheduler.study
    released = [run for run in scheduler.planned_runs if run.cell == cell.number]
    tried = len({run.run_id for run in released if is_prunable(run)}) // study.tune_seeds
    tried = study.tried if len(cell.box) and study.sampler in LEARNING else tried
    shortlisted = min(study.shortlisted, tried) if len(cell.box) else 0
    expected = {
        TUNE: tried * study.tune_seeds + shortlisted * study.shortlist_seeds,
        FINAL: study.seeds if study.finalists == "each" else 0,
    }
    counts = {}
    for stage in STAGES:
        known = [run.run_id for run in released if run.stage == stage]
        ended = sum(run_id in scheduler.outcomes for run_id in known)
        counts[stage] = {"planned": max(len(known), expected[stage]), "ended": ended}
    return counts


def totals(study: Study, rows: Sequence[Row], jobs: int, startup: float) -> dict[str, Any]:
    """Return the number of runs, and the seconds and bytes of those that are left, with `startup` seconds before the
    first; null where those of a cell are unknown. Cells that cannot be run take nothing."""
    runs = {key: sum(r["runs"][stage][key] for r in rows for stage in STAGES) for key in ("planned", "ended")}
    unassigned = study.seeds if study.finalists == "best" and not any(r["runs"][FINAL]["planned"] for r in rows) else 0
    able = [r for r in rows if not r["refused"]]
    work = [(r, stage, runs_left(r, stage)) for r in able for stage in STAGES]
    work += [(r, FINAL, unassigned / len(able)) for r in able]
    samples = [r["evaluated_samples"] for r, _, _ in work]
    evaluated = None if None in samples else sum(count * n for (_, _, count), n in zip(work, samples, strict=True))
    counts = {"runs": {"planned": runs["planned"] + unassigned, "ended": runs["ended"]}, "evaluated_samples": evaluated}
    if any(r["run_seconds"] is None for r in able):
        return {**counts, "start_seconds": startup, **dict.fromkeys(("run_seconds", "seconds", "disk_bytes"))}
    total = sum(count * r["run_seconds"] for r, _, count in work)
    longest = max((sum(r["run_seconds"] for stage in STAGES if runs_left(r, stage)) for r in able), default=0.0)
    return {
        **counts,
        "run_seconds": total,
        "start_seconds": startup,
        "seconds": (startup if total else 0.0) + max(total / jobs, longest),
        "disk_bytes": round(sum(count * r["disk_bytes"][stage] for r, stage, count in work)),
    }


def runs_left(row: Row, stage: str) -> int:
    """Return how many runs of a cell have not ended."""
    return row["runs"][stage]["planned"] - row["runs"][stage]["ended"]
