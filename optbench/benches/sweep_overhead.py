"""What does a run of a sweep cost beyond its training, and how long does a sweep take to its first step?

    optbench bench sweep_overhead jobs=2

Runs the same sweep of one-step runs from start to end, in a new process and an empty folder, with one and with several
jobs in turn. The cost of a run is the time between two results without the training that the run's own clock has
measured: the start of a worker, data, model, optimizer, files and scheduler, and evaluation outside the clock. It says
little on a busy machine, so the load is part of the report.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.benches import Report, comma_separated, goal_line
from optbench.benches.sweep_jobs import turns
from optbench.benches.sweeping.commands import results, run_sweep, sweep_overrides
from optbench.config import RunConfig

log = logging.getLogger(__name__)
GOAL_RUN_SECONDS, GOAL_START_SECONDS = 0.08, 4.0  # with one job, on an idle machine


def measure(
    config: RunConfig, optimizers: str = "lion,adamw,sgd", runs: int = 60, jobs: int = 2, rounds: int = 2
) -> Report:
    """Return the seconds that a run takes beyond its training, and the seconds to the first step.

    `optimizers`: names separated by commas. `runs`: runs of a sweep. `jobs`: jobs compared with one. `rounds`: sweeps
    of each."""
    trials = runs // len(comma_separated(optimizers))
    words = [*sweep_overrides(config, optimizers, {"steps": "1"}), "--trials", str(trials), "--seeds", "0"]
    words += ["--shortlist", "0"]
    measured: dict[int, list[Report]] = {1: [], jobs: []}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        for number, count in enumerate(turns(jobs, rounds)):
            root, began = Path(folder) / str(number), time.time()
            run_sweep([*words, "--jobs", str(count)], root)
            measured[count].append(cost_of(root, began, count))
            log.info(f"--jobs {count}: {measured[count][-1]['run_seconds']:.3f} s a run")
    one, several = summary(measured[1]), summary(measured[jobs])
    return {
        "words": words,
        "jobs": jobs,
        "load": load,
        "one": one,
        "several": several,
        "goal": f"<= {GOAL_RUN_SECONDS:g} s a run and <= {GOAL_START_SECONDS:g} s to the first step, with one job",
        "goal_holds": one["run_seconds"] <= GOAL_RUN_SECONDS and one["start_seconds"] <= GOAL_START_SECONDS,
    }


def cost_of(root: Path, began: float, jobs: int) -> Report:
    """Return what a finished sweep took for each run beyond its training, and to its first step."""
    folder = next(root.glob("[!.]*/study.json")).parent
    found = results(root)
    ends = sorted((folder / run_id / "result.json").stat().st_mtime for run_id in found)
    training = statistics.fmean(result["wall_seconds"] for result in found.values())
    first = min(found, key=lambda run_id: (folder / run_id / "run.json").stat().st_mtime)
    return {
        "runs": len(found),
        "run_seconds": (ends[-1] - ends[0]) / (len(ends) - 1) - training / jobs,
        "training_seconds": training,
        "start_seconds": first_step(folder / first) - began,
    }


def first_step(run: Path) -> float:
    """Return the time of a run's first step: run.json is written just before, and its clock starts then."""
    record = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return (run / "run.json").stat().st_mtime + record["wall_seconds"]


def summary(rounds: Sequence[Mapping[str, float]]) -> Report:
    """Return the median of each value over the rounds."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    rows = [(1, report["one"]), (report["jobs"], report["several"])]
    return [
        f"optbench sweep {' '.join(report['words'])}: {report['one']['runs']:.0f} runs",
        f"  load        {report['load']:8.1f} before the first sweep",
        *(
            f"  --jobs {jobs:<4} {row['run_seconds']:8.3f} s a run beyond its {row['training_seconds']:.3f} s of "
            f"training; {row['start_seconds']:.1f} s to the first step"
            for jobs, row in rows
        ),
        goal_line(report),
    ]
