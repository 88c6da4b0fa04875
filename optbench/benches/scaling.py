"""What bounds a thousand workers on one study: the cost of a run for the one scheduler and for the disk that all share.

Measured are the parts of one run: planning it, reading its result, study.json, everything else that the scheduler does
import logging
from its start to its end, and what the worker writes. The model: the scheduler does one thing after the other, so its
runs a second are one over its seconds a run, a + b n in a study of n runs (a and b from two smaller studies); the disk
has the runs a second of as many writers as it bears. W workers ask for W/T runs of T seconds each second, so a part
that can do r of them keeps all workers busy only where T >= W/r. The part with the largest W/r is the first bottleneck.

The model is held against measurements: a third, larger study with workers that need no time, and studies of W workers
whose runs take T seconds and do nothing, under the true scheduler in real time. Not in it: what carries words between
workers and scheduler (pipes here; Slurm and Ray have their own), and a network's file system, unless `folder=` names
one.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optbench.benches.sweeping import writers
from optbench.benches.sweeping.driving import words_of
from optbench.benches.sweeping.paced import Conducted, conducted
from optbench.config import RunConfig
from optbench.errors import ConfigError

log = logging.getLogger(__name__)

WARM_UP = 8  # runs of a study before any is timed: imports are no cost of a run
ROUNDS = 3
TOLERANCE, TOLERANCE_SECONDS = 0.25, 1.0  # of the model against a measurement: one or the other
SETTINGS = {
    "optimizers": "lion,adamw",
    "runs": 4000,
    "workers": 1000,
    "lengths": "2,10",
    "at_once": "1,2,4,8",
    "seconds": 4.0,
    "folder": "",
}
"""What the command line may say: names separated by commas, runs of the largest study, workers of the model, seconds a
run of its checks, processes that write at once, seconds that they do, and where (a temporary folder where it is
empty)."""


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw",
    runs: int = 4000,
    workers: int = 1000,
    lengths: str = "2,10",
    at_once: str = "1,2,4,8",
    seconds: float = 4.0,
    folder: str = "",
) -> dict[str, Any]:
    """Seconds a run of every part, the model's bound for so many workers, and how far it is from what was measured."""
    times, counts = numbers("lengths", lengths), [int(count) for count in numbers("at_once", at_once)]
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        root = Path(place)
        run_study(config, optimizers, WARM_UP, root, workers, 0.0)
        sizes = [run_study(config, optimizers, size, root, workers, 0.0) for size in (runs // 4, runs // 2, runs)]
        log.info(f"{sizes[-1].runs} runs in {sizes[-1].conduct_seconds:.1f} s by workers that need no time")
        fixed, growth = line_through(*[(size.runs, per_run(size)) for size in sizes[:2]])
        cost = fixed + growth * sizes[-1].runs
        checks = [check(sizes[-1], workers, 0.0, cost)]
        for length in times:
            done = run_study(config, optimizers, runs, root, workers, length)
            checks.append(check(done, workers, length, cost))
            log.info(f"{done.runs} runs of {length:g} s by {workers} workers in {done.conduct_seconds:.1f} s")
        disk = of_the_disk(config, root, workers, counts, seconds)
        parts = [*of_the_scheduler(sizes[-1]), *disk["parts"]]
    for part in parts:
        part["shortest_run_seconds"] = workers * part["bound_seconds"]
    first = max(parts, key=lambda part: part["bound_seconds"])
    return {
        "runs": sizes[-1].runs,
        "workers": workers,
        "parts": parts,
        "writers": disk["writers"],
        "fsyncs_a_run": disk["fsyncs"],
        "scheduler": {"fixed_seconds": fixed, "seconds_per_known_run": growth},
        "checks": checks,
        "bottleneck": first["part"],
        "shortest_run_seconds": first["shortest_run_seconds"],
        "goal": f"the model is within {TOLERANCE:.0%} or {TOLERANCE_SECONDS:g} s of what was measured",
        "goal_holds": all(map(holds, checks)),
    }


def numbers(name: str, text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"{name}={text}: expected numbers, e.g. 2,10") from None


def run_study(config: RunConfig, optimizers: str, runs: int, root: Path, workers: int, length: float) -> Conducted:
    """A study of so many runs by workers whose runs take so long."""
    from optbench.sweeps.study.expand import expand
    from optbench.sweeps.study.study import make_study

    words = words_of(config, optimizers, {"steps": "100"})
    trials = max(1, runs // len(optimizers.split(",")))
    study = replace(make_study(words, {"trials": trials, "seeds": 0}), name=f"of-{runs}-in-{length:g}")
    return conducted(study, expand(study), root, workers, length)


def per_run(done: Conducted) -> float:
    """Seconds of the scheduler for a run, after planning and without optuna.journal, which waits for the disk."""
    return (done.conduct_seconds - done.mirror_seconds) / done.runs


def line_through(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Offset and slope (none below zero: that is noise)."""
    slope = max(0.0, (b[1] - a[1]) / (b[0] - a[0]))
    return statistics.fmean((a[1] - slope * a[0], b[1] - slope * b[0])), slope


def expected(runs: int, workers: int, length: float, cost: float) -> tuple[float, float]:
    """Seconds that a study takes by workers that wait for nobody but at their first start, and by a scheduler that
    never waits: the longer one holds."""
    return runs / workers * length + workers * cost, runs * cost + length


def check(done: Conducted, workers: int, length: float, cost: float) -> dict[str, Any]:
    """The model against one study, in seconds. What optuna.journal waited for the disk is taken as it was: only its
    last writing where workers are what is waited for."""
    by_workers, by_scheduler = expected(done.runs, workers, length, cost)
    modelled = max(by_workers + done.last_mirror_seconds, by_scheduler + done.mirror_seconds)
    return {"run_seconds": length, "modelled": modelled, "measured": done.conduct_seconds}


def holds(check: Mapping[str, Any]) -> bool:
    """Whether the model is near enough to a measurement."""
    off = abs(check["measured"] - check["modelled"])
    return off <= max(TOLERANCE * check["measured"], TOLERANCE_SECONDS)


def of_the_scheduler(done: Conducted) -> list[dict[str, Any]]:
    """Seconds a run of what the scheduler does, each alone."""
    from optbench.sweeps.scheduler import study_file
    from optbench.sweeps.scheduler.scheduler import STUDY_FILE_SECONDS, STUDY_FILE_SHARE
    from optbench.sweeps.study.outcomes import read_outcome

    scheduler = done.scheduler
    ids = [run.run_id for run in scheduler.planned_runs]
    reading = timed(lambda: [read_outcome(scheduler.folder, run_id) for run_id in ids]) / len(ids)
    one = timed(
        lambda: study_file.write_study_json(
            scheduler.folder, study_file.content_of(scheduler.study, scheduler.progress.cells, None)
        )
    )
    writing = done.ledgers * one / done.runs
    share = one / max(STUDY_FILE_SECONDS, STUDY_FILE_SHARE * one)
    mirror = done.mirror_seconds / done.runs
    rest = max(0.0, per_run(done) - reading - writing)
    whole = per_run(done) + mirror
    return [
        part("scheduler: plan a run", done.plan_seconds / done.runs, "once, before the first starts", 0.0),
        part("scheduler: read a result", reading, "", 0.0),
        part("scheduler: study.json", writing, f"{one:.2f} s each time, {share:.1%} of the time at most", 0.0),
        part("scheduler: optuna.journal", mirror, "where Optuna is installed", 0.0),
        part("scheduler: start a run, hear of it, end it", rest, "", 0.0),
        part("scheduler, all of it but planning", whole, "one process", whole),
    ]


def of_the_disk(config: RunConfig, root: Path, workers: int, counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """What workers write, by how many do so at once. A run that ends before its first checkpoint is due writes none;
    what those of longer runs take of the disk does not depend on the runs' length."""
    from optbench.sessions.run_documents import run_facts

    run = run_facts(config, None, "written", "tune")
    fsyncs = writers.waits_for_disk(lambda: writers.write_one(root, "counted", run, "one"))
    rates = {count: writers.rate(root, run, count, seconds) for count in counts}
    one, waits = writers.checkpoint_cost(root)
    best = max(rates.values())
    return {
        "fsyncs": fsyncs,
        "writers": [{"at_once": count, "runs_per_second": rate} for count, rate in rates.items()],
        "parts": [
            part(
                "disk: a run's folder",
                1 / rates[counts[0]],
                f"{plural(fsyncs, 'fsync')}; {best:.0f} runs/s by {max(rates, key=lambda c: rates[c])} at once",
                1 / best,
            ),
            part(
                "disk: a checkpoint",
                one,
                f"{plural(waits, 'fsync')}; {writers.STATE_BYTES / 1e6:g} MB; one each {config.checkpoint_seconds:g} s "
                f"of every worker is {workers * one / config.checkpoint_seconds:.0%} of the disk's time",
                0.0,
            ),
        ],
    }


def part(name: str, seconds: float, remark: str, bound: float) -> dict[str, Any]:
    """One row; `bound`: seconds between two runs that it can bear, 0 where another row counts it."""
    return {"part": name, "seconds_a_run": seconds, "remark": remark, "bound_seconds": bound}


def plural(count: int, word: str) -> str:
    """A count with its noun."""
    return f"{count} {word}" + "s" * (count != 1)


def timed(do: Callable[[], Any]) -> float:
    """Seconds of a call, the least of some: what else the machine does only adds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        do()
        found.append(time.perf_counter() - began)
    return min(found)


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    rows = [
        f"  {row['part']:<44}{1e3 * row['seconds_a_run']:>8.2f}"
        + (
            f"{1 / row['bound_seconds']:>10.0f}{row['shortest_run_seconds']:>12.2f}"
            if row["bound_seconds"]
            else " " * 22
        )
        + f"  {row['remark']}"
        for row in found["parts"]
    ]
    held = [
        f"  {row['run_seconds']:<7g}{'s':<37}{row['modelled']:>8.1f} s{row['measured']:>10.1f} s"
        for row in found["checks"]
    ]
    scheduler = found["scheduler"]
    return [
        f"one study of {found['runs']:,} runs, and {found['workers']:,} workers",
        f"  {'part':<44}{'ms/run':>8}{'runs/s':>10}{'shortest s':>12}",
        *rows,
        f"  the scheduler's run costs {1e3 * scheduler['fixed_seconds']:.2f} ms and "
        f"{1e6 * scheduler['seconds_per_known_run']:.3f} us for each run of the study",
        f"first bottleneck: {found['bottleneck']}: {found['workers']:,} workers are kept busy by runs of "
        f"{found['shortest_run_seconds']:.1f} s or more",
        f"  {'runs of':<44}{'model':>10}{'measured':>12}",
        *held,
        f"  goal: {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]
