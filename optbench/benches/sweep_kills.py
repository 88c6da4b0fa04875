"""Does a sweep whose workers and scheduler are killed again and again reach the same results as an undisturbed one?

    optbench bench sweep_kills least=1 most=3

Sends SIGKILL, which no process can catch, at random times to a random worker or to the scheduler. A killed scheduler is
restarted at once with the same command, while its workers may still be writing checkpoints. The goal is the same final
table, the same weights of every run, bit for bit, and runs that resumed from a checkpoint.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from optbench.benches import Report, goal_line
from optbench.benches.sweeping.commands import (
    FinishedSweep,
    read_sweep,
    results,
    run_sweep,
    start_sweep,
    sweep_overrides,
)
from optbench.config import RunConfig
from optbench.errors import ExpectationFailed, MissingError

log = logging.getLogger(__name__)
SCHEDULER_SHARE = 0.25  # of the kills; the others hit workers
STARTING_SHARE = 0.05  # while the scheduler has no workers yet: kills before any training show little
STARTS = 200  # of the scheduler, at most


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw,sgd",
    trials: int = 8,
    seeds: int = 2,
    jobs: int = 2,
    least: float = 1.0,
    most: float = 3.0,
    kill_seed: int = 0,
) -> Report:
    """Return the number of kills, and whether the results are the same.

    `optimizers`: names separated by commas. `trials`: trials of each. `seeds`: final seeds. `jobs`: workers. `least`,
    `most`: seconds between two kills. `kill_seed`: seed of times and targets."""
    if not Path("/proc/self/stat").exists():
        raise MissingError("bench sweep_kills finds the workers in /proc, which this system does not have", "Use Linux")
    words = sweep_overrides(config, optimizers, {"steps": "4000", "checkpoint_seconds": "0.2"})
    words += ["--trials", str(trials), "--seeds", str(seeds), "--jobs", str(jobs)]
    with tempfile.TemporaryDirectory() as folder:
        calm = run_sweep(words, Path(folder) / "calm")
        log.info(f"undisturbed: {calm.seconds:.1f} s")
        killed_folder = Path(folder) / "killed"
        killed, kills, starts = sweep_with_kills(words, killed_folder, least, most, random.Random(kill_seed))
        resumed = {run_id: result["resumed_from_steps"] for run_id, result in results(killed_folder).items()}
    resumed_runs = sum(any(step > 0 for step in steps) for steps in resumed.values())
    same_weights, same_table = calm.weights == killed.weights, calm.table == killed.table
    return {
        "words": words,
        "runs": len(calm.weights),
        "calm_seconds": calm.seconds,
        "wild_seconds": killed.seconds,
        "killed_workers": kills["worker"],
        "killed_schedulers": kills["scheduler"],
        "starts": starts,
        "resumed_runs": resumed_runs,
        "resumed_times": sum(map(len, resumed.values())),
        "same_weights": same_weights,
        "same_table": same_table,
        "goal": "same weights, same table, and at least one run resumed from a step above zero",
        "goal_holds": same_weights and same_table and resumed_runs > 0,
    }


def sweep_with_kills(
    words: Sequence[str], root: Path, least: float, most: float, draw: random.Random
) -> tuple[FinishedSweep, Counter[str], int]:
    """Run a sweep under kills; return it, the number of kills by kind, and the number of starts of the scheduler."""
    kills: Counter[str] = Counter()
    began = time.perf_counter()
    for starts in range(1, STARTS + 1):
        scheduler = start_sweep(words, root)
        code = kill_at_random(scheduler, least, most, draw, kills)
        log.info(f"start {starts}: {dict(kills)} killed so far, {len(results(root))} runs finished")
        if code != -signal.SIGKILL:
            return read_sweep(code, root, time.perf_counter() - began), kills, starts
    raise ExpectationFailed(f"the sweep did not finish in {STARTS} starts", "Kill less often: raise least= and most=")


def kill_at_random(
    scheduler: subprocess.Popen[bytes], least: float, most: float, draw: random.Random, kills: Counter[str]
) -> int:
    """Kill workers, or the scheduler, until the scheduler ends; return its exit code."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return scheduler.wait(draw.uniform(least, most))
        workers = workers_of(scheduler.pid)
        if draw.random() < (SCHEDULER_SHARE if workers else STARTING_SHARE):
            scheduler.kill()
            kills["scheduler"] += 1
        elif workers:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(workers), signal.SIGKILL)
                kills["worker"] += 1


def workers_of(scheduler: int) -> list[int]:
    """Return the ids of a scheduler's workers: the children of its child, the fork server."""
    parents = dict(processes())
    return sorted(pid for pid, parent in parents.items() if parents.get(parent) == scheduler)


def processes() -> list[tuple[int, int]]:
    """Return the ids of all live processes and of their parents (proc(5): the fields after a name in brackets)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # the process has ended
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            found += [(int(folder.name), int(parent))] if state != "Z" else []
    return found


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    return [
        f"optbench sweep {' '.join(report['words'])}: {report['runs']} runs",
        f"  undisturbed {report['calm_seconds']:8.1f} s",
        f"  with kills  {report['wild_seconds']:8.1f} s: {report['killed_workers']} workers and "
        f"{report['killed_schedulers']} schedulers killed, {report['starts']} starts",
        f"  resumed     {report['resumed_runs']} runs from a step above zero; {report['resumed_times']} resumes in all",
        f"  weights     {'identical' if report['same_weights'] else 'different'}",
        f"  table       {'identical' if report['same_table'] else 'different'}",
        goal_line(report),
    ]
