"""What a study comes to before it is run: cells, runs, time and disk, by a timed probe. Nothing is written, and nobody
is kept from running it meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optbench.errors import OptbenchError
from optbench.sweeps.display.live import Live
from optbench.sweeps.dry_run.probe import Answer, Measured, probe, server_seconds
from optbench.sweeps.executors.local import available_bytes, places
from optbench.sweeps.executors.registry import LOCAL, Asked, Chosen
from optbench.sweeps.scheduler.cell_progress import ROUNDS_OF_EXTENSION
from optbench.sweeps.scheduler.scheduler import Conductor
from optbench.sweeps.search.points import LEARNING
from optbench.sweeps.study.cells import FINAL, TUNE, Cell
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import Study

STAGES = (TUNE, FINAL)


class Unasked:
    """A Pruning that decides nothing: with one, runs that were pruned before count as ended."""

    def measured(self, run: Any, evaluation: int, value: float | None, direction: str) -> str:
        """Goes on."""
        return ""

    def ended(self, run: Any, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def hopeless(self, run: Any) -> str:
        """Nothing is."""
        return ""


def plan(
    study: Study,
    cells: Sequence[Cell],
    root: Path,
    *,
    jobs: int | None,
    per_device: int,
    retry: frozenset[str],
    executor: Chosen | None = None,
) -> tuple[dict[str, Any], OptbenchError | None]:
    """The plan of a study, and the first error of a cell that cannot be run. Another executor than this machine's
    changes how many run at a time; the probe is made here all the same."""
    pruning = Unasked() if study.pruner != "none" else None
    conductor = Conductor(study, cells, root, Live(0, 1, quiet=True), pruning, retry)
    conductor.plan()
    overhead = server_seconds(cells)
    configs = [cell.config for cell in cells]
    here = executor is None or executor.name == LOCAL
    asked = Asked(configs, conductor.folder, jobs if here else None, per_device, {})
    count, devices = places(asked)
    answers = probe(cells, devices or [None] * count)
    if executor is not None and not here:
        count = executor.slots(configs, conductor.folder, jobs, per_device)
    rows = [row(conductor, cell, answers[cell.number]) for cell in cells]
    tree = {
        "study": study.name,
        "folder": str(conductor.folder),
        "protocol": study.protocol,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "jobs": count,
        "executor": LOCAL if executor is None else executor.name,
        "stops_early": any(config.stop_at_target for config in configs),
        "cells": rows,
        **totals(study, rows, count, overhead),
    }
    tree["lines"] = lines(study, tree, root)
    return tree, next((named(c, a) for c in cells if isinstance(a := answers[c.number], OptbenchError)), None)


# -- one cell --------------------------------------------------------------------------------------------------------


def row(conductor: Conductor, cell: Cell, answer: Answer) -> dict[str, Any]:
    """A cell: what is searched, how many runs, and what a run of it takes."""
    config, study = cell.config, conductor.study
    found: dict[str, Any] = {
        "cell": cell.label,
        "optimizer": config.optimizer.name,
        "box": cell.box.as_dict(),
        "trials": study.trials if len(cell.box) else 0,
        "runs": run_counts(conductor, cell),
        "steps": config.steps,
        "batch_size": config.batch_size,
        "evaluated_samples": cell.evaluated_samples,
        "refused": refusal(answer) if isinstance(answer, OptbenchError) else None,
        **dict.fromkeys(("run_seconds", "step_seconds", "resident_bytes", "disk_bytes", "probe")),
    }
    if isinstance(answer, Measured):
        found |= {
            "run_seconds": answer.seconds(config),
            "step_seconds": answer.step_seconds,
            "resident_bytes": answer.resident_bytes,
            "disk_bytes": {
                stage: answer.file_bytes(config, keeps_checkpoint=keeps_checkpoint(cell, stage)) for stage in STAGES
            },
            "probe": asdict(answer),
        }
    return found


def run_counts(conductor: Conductor, cell: Cell) -> dict[str, dict[str, int]]:
    """Runs of a cell by stage: how many there are to be, and how many of them have ended before. A sampler that learns
    has not told its points yet; final runs of the best cell alone are nobody's until it is known."""
    study = conductor.study
    released = [run for run in conductor.planned_runs if run.cell == cell.number]
    expected = {
        TUNE: study.trials * study.tune_seeds if len(cell.box) and study.sampler in LEARNING else 0,
        FINAL: study.seeds if study.finalists == "each" else 0,
    }
    counts = {}
    for stage in STAGES:
        known = [run.run_id for run in released if run.stage == stage]
        ended = sum(run_id in conductor.outcomes for run_id in known)
        counts[stage] = {"planned": max(len(known), expected[stage]), "ended": ended}
    return counts


def keeps_checkpoint(cell: Cell, stage: str) -> bool:
    """Whether a run's folder keeps its checkpoint: runs of the tuning only where that is asked for (see conduct)."""
    given = {text.partition("=")[0] for text in cell.config.overrides}
    return cell.config.keep_checkpoint and (stage != TUNE or "keep_checkpoint" in given)


def named(cell: Cell, error: OptbenchError) -> OptbenchError:
    """The error with the cell's name."""
    return type(error)(f"{cell.label}: {error.args[0]}", error.hint)


def refusal(error: OptbenchError) -> dict[str, Any]:
    """Why a cell cannot be run."""
    return {"error": error.args[0], "hint": error.hint, "exit_code": error.exit_code}


# -- the study -------------------------------------------------------------------------------------------------------


def totals(study: Study, rows: Sequence[Mapping[str, Any]], jobs: int, overhead: float) -> dict[str, Any]:
    """Runs of the study, and what those that are left take in seconds and bytes, with `overhead` seconds
    before the first; cells that cannot be run take nothing."""
    runs = {key: sum(r["runs"][stage][key] for r in rows for stage in STAGES) for key in ("planned", "ended")}
    unclaimed = study.seeds if study.finalists == "best" and not any(r["runs"][FINAL]["planned"] for r in rows) else 0
    work = [(r, stage, left(r, stage)) for r in rows if not r["refused"] for stage in STAGES]
    able = [r for r in rows if not r["refused"]]
    work += [(r, FINAL, unclaimed / len(able)) for r in able]
    total = sum(count * r["run_seconds"] for r, _, count in work)
    chain = max((sum(r["run_seconds"] for s in STAGES if left(r, s)) for r in able), default=0.0)
    return {
        "runs": {"planned": runs["planned"] + unclaimed, "ended": runs["ended"]},
        "run_seconds": total,
        "start_seconds": overhead,
        "seconds": (overhead if total else 0.0) + max(total / jobs, chain),
        "disk_bytes": round(sum(count * r["disk_bytes"][stage] for r, stage, count in work)),
        "evaluated_samples": sum(count * r["evaluated_samples"] for r, _, count in work),
    }


def left(row: Mapping[str, Any], stage: str) -> int:
    """Runs of a cell that have not ended."""
    return row["runs"][stage]["planned"] - row["runs"][stage]["ended"]


def lines(study: Study, tree: Mapping[str, Any], root: Path) -> list[str]:
    """The plan in sentences."""
    from optbench.trackers.console import duration, size

    runs, able = tree["runs"], [r for r in tree["cells"] if not r["refused"]]
    said = [f"{runs['planned']} runs, {runs['ended']} of them have ended before"]
    if able:
        said.append(
            f"about {duration(tree['seconds'])} with {tree['jobs']} at a time, "
            f"{size(tree['disk_bytes'])} of disk; by a timed probe of every cell's first steps"
        )
    said += [f"{r['cell']} cannot be run: {r['refused']['error']}" for r in tree["cells"] if r["refused"]]
    said += provisos(study, tree)
    free, available = free_bytes(root), available_bytes()
    if tree["disk_bytes"] > free:
        said.append(f"not enough disk: {size(free)} are free")
    memory = tree["jobs"] * max((r["resident_bytes"] for r in able), default=0)
    if tree["executor"] == LOCAL and available is not None and memory > available:
        said.append(f"not enough memory for all {tree['jobs']}: {size(memory)}, and {size(available)} are free")
    return said


def provisos(study: Study, tree: Mapping[str, Any]) -> list[str]:
    """What can make it more or less."""
    said = []
    if study.pruner != "none":
        said.append(f"--pruner {study.pruner} ends hopeless runs early, which makes it less")
    if tree["stops_early"]:
        said.append("stop_at_target=true ends runs at the target, which makes it less")
    if study.extend_edges:
        more = ROUNDS_OF_EXTENSION * max(1, study.trials // 2)
        said.append(f"--extend-edges may add up to {more} trials to every cell")
    return said


def free_bytes(root: Path) -> int:
    """Free space on the disk of the results folder, which need not exist yet."""
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


# -- for people ------------------------------------------------------------------------------------------------------


def table_rows(tree: Mapping[str, Any]) -> list[dict[str, str]]:
    """The cells as a table."""
    return [table_row(cell) for cell in tree["cells"]]


def table_row(cell: Mapping[str, Any]) -> dict[str, str]:
    """One cell."""
    from optbench.trackers.console import duration, size

    counts = " + ".join(str(cell["runs"][stage]["planned"]) for stage in STAGES)
    ended = sum(cell["runs"][stage]["ended"] for stage in STAGES)
    refused, seconds = cell["refused"], cell["run_seconds"]
    shown = {
        "cell": cell["cell"],
        "box": ", ".join(f"{key.partition('.')[2]} {box}" for key, box in cell["box"].items()) or "-",
        "trials": str(cell["trials"]),
        "runs (tune + final)": f"{counts}, {ended} done" if ended else counts,
        "steps": f"{cell['steps']:,}",
        "samples x evaluations": f"{cell['evaluated_samples']:,.0f}",
    }
    if refused:
        return {**shown, "a run takes": "cannot be run", "memory": "-", "disk": "-"}
    took = f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
    disk = " + ".join(size(cell["disk_bytes"][stage]) for stage in STAGES)
    return {**shown, "a run takes": took, "memory": size(cell["resident_bytes"]), "disk": disk}
