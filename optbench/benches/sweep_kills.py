"""A sweep whose workers and scheduler are killed again and again, against one that nobody disturbs.

SIGKILL, which no process can catch, at random moments to a random worker or to the scheduler; a scheduler that was
killed is started again at once with the same command, while its workers may still be writing checkpoints. Held to: the
same final table, the same weights of every run, bit for bit, and runs that went on from a checkpoint.
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
from typing import Any

from optbench.benches.sweeping.driving import Swept, ended, results, started, swept, words_of
from optbench.config import RunConfig
from optbench.errors import ExpectationFailed, MissingError

log = logging.getLogger(__name__)

SCHEDULER_SHARE = 0.25  # of the kills; the others are of workers
STARTING_SHARE = 0.05  # while it has no workers yet: kills before anything is at stake show little
STARTS = 200  # of the scheduler, after which the sweep counts as one that does not end
SETTINGS = {
    "optimizers": "lion,adamw,sgd",
    "trials": 8,
    "seeds": 2,
    "jobs": 2,
    "least": 1.0,
    "most": 3.0,
    "kill_seed": 0,
}
"""What the command line may say: names separated by commas, points a box, final seeds, workers, the least and the most
seconds between two kills, the seed of when and whom."""


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw,sgd",
    trials: int = 8,
    seeds: int = 2,
    jobs: int = 2,
    least: float = 1.0,
    most: float = 3.0,
    kill_seed: int = 0,
) -> dict[str, Any]:
    """How often what was killed, and whether the sweep came to the same."""
    if not Path("/proc/self/stat").exists():
        raise MissingError("bench sweep_kills finds its victims in /proc", "Run it on Linux")
    words = words_of(config, optimizers, {"steps": "4000", "checkpoint_seconds": "0.2"})
    words += ["--trials", str(trials), "--seeds", str(seeds), "--jobs", str(jobs)]
    with tempfile.TemporaryDirectory() as folder:
        calm = swept(words, Path(folder) / "calm")
        log.info(f"undisturbed: {calm.seconds:.1f} s")
        wild, kills, starts = disturbed(words, Path(folder) / "wild", least, most, random.Random(kill_seed))
        resumed = {i: r["resumed_from_steps"] for i, r in results(Path(folder) / "wild").items()}
    went_on = sum(any(step > 0 for step in steps) for steps in resumed.values())
    same_weights, same_table = calm.weights == wild.weights, calm.table == wild.table
    return {
        "words": words,
        "runs": len(calm.weights),
        "calm_seconds": calm.seconds,
        "wild_seconds": wild.seconds,
        "killed_workers": kills["worker"],
        "killed_schedulers": kills["scheduler"],
        "starts": starts,
        "resumed_runs": went_on,
        "resumed_times": sum(map(len, resumed.values())),
        "same_weights": same_weights,
        "same_table": same_table,
        "goal": "the same weights and table, and a run that went on from a step above zero",
        "goal_holds": same_weights and same_table and went_on > 0,
    }


def disturbed(
    words: Sequence[str], root: Path, least: float, most: float, draw: random.Random
) -> tuple[Swept, Counter[str], int]:
    """The sweep under fire, what was killed, and how often the scheduler was started."""
    kills: Counter[str] = Counter()
    began = time.perf_counter()
    for starts in range(1, STARTS + 1):
        scheduler = started(words, root)
        code = under_fire(scheduler, least, most, draw, kills)
        log.info(f"start {starts}: {dict(kills)} killed so far, {len(results(root))} runs have ended")
        if code != -signal.SIGKILL:
            return ended(code, root, time.perf_counter() - began), kills, starts
    raise ExpectationFailed(f"the sweep has not ended after {STARTS} starts")


def under_fire(
    scheduler: subprocess.Popen[bytes], least: float, most: float, draw: random.Random, kills: Counter[str]
) -> int:
    """Kill now and then until the scheduler ends, by itself or by our hand; its exit code."""
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
    """The workers of a scheduler: the children of its fork server, itself a child that has children."""
    parents = dict(processes())
    return sorted(pid for pid, parent in parents.items() if parents.get(parent) == scheduler)


def processes() -> list[tuple[int, int]]:
    """Every process that lives, with its parent (proc(5): the fourth field, after a name in brackets)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it has ended meanwhile
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            found += [(int(folder.name), int(parent))] if state != "Z" else []
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    return [
        f"optbench sweep {' '.join(found['words'])}: {found['runs']} runs",
        f"  undisturbed {found['calm_seconds']:8.1f} s",
        f"  under fire  {found['wild_seconds']:8.1f} s: {found['killed_workers']} workers and "
        f"{found['killed_schedulers']} schedulers killed, {found['starts']} starts",
        f"  went on     {found['resumed_runs']} runs from a step above zero, {found['resumed_times']} times in all",
        f"  weights     {'identical' if found['same_weights'] else 'they differ'}",
        f"  table       {'identical' if found['same_table'] else 'it differs'}",
        f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]
