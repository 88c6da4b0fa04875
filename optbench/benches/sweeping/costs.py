"""The cost of one run for the scheduler and for the disk, part by part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from optbench.benches import Report
from optbench.benches.sweeping import writers
from optbench.benches.sweeping.simulated import SimulatedSweep
from optbench.config import RunConfig

ROUNDS = 3


def seconds_per_run(sweep: SimulatedSweep) -> float:
    """Return the scheduler's seconds per run, without planning and without optuna.journal, which waits for the disk."""
    return (sweep.run_seconds - sweep.mirror_seconds) / sweep.runs


def scheduler_costs(sweep: SimulatedSweep) -> list[Report]:
    """Return the scheduler's seconds per run for each of its tasks."""
    from optbench.sweeps.scheduler import study_file
    from optbench.sweeps.scheduler.scheduler import STUDY_FILE_SECONDS, STUDY_FILE_SHARE
    from optbench.sweeps.study.outcomes import read_outcome

    scheduler = sweep.scheduler
    ids = [run.run_id for run in scheduler.planned_runs]
    reading = shortest_time(lambda: [read_outcome(scheduler.folder, run_id) for run_id in ids]) / len(ids)
    one_write = shortest_time(
        lambda: study_file.write_study_json(
            scheduler.folder, study_file.content_of(scheduler.study, scheduler.progress.cells, None)
        )
    )
    writing = sweep.study_json_writes * one_write / sweep.runs
    share = one_write / max(STUDY_FILE_SECONDS, STUDY_FILE_SHARE * one_write)
    mirror = sweep.mirror_seconds / sweep.runs
    rest = max(0.0, seconds_per_run(sweep) - reading - writing)
    total = seconds_per_run(sweep) + mirror
    return [
        part("scheduler: plan a run", sweep.plan_seconds / sweep.runs, "once, before the first run starts", 0.0),
        part("scheduler: read a result", reading, "", 0.0),
        part("scheduler: study.json", writing, f"{one_write:.2f} s per write, at most {share:.1%} of the time", 0.0),
        part("scheduler: optuna.journal", mirror, "if Optuna is installed", 0.0),
        part("scheduler: start a run, its events, its end", rest, "", 0.0),
        part("scheduler: total without planning", total, "one process", total),
    ]


def disk_costs(config: RunConfig, root: Path, workers: int, counts: Sequence[int], seconds: float) -> Report:
    """Return the cost of what workers write, by the number of writers at once.

    A run that ends before its first checkpoint is due writes none. The checkpoints of longer runs take a share of the
    disk's time that does not depend on the runs' length."""
    from optbench.sessions.run_documents import run_facts

    run = run_facts(config, None, "written", "tune")
    fsyncs = writers.count_fsyncs(lambda: writers.write_run(root, "counted", run, "one"))
    rates = {count: writers.runs_per_second(root, run, count, seconds) for count in counts}
    checkpoint_seconds, checkpoint_fsyncs = writers.checkpoint_cost(root)
    best = max(rates, key=lambda count: rates[count])
    share = workers * checkpoint_seconds / config.checkpoint_seconds
    return {
        "fsyncs": fsyncs,
        "writers": [{"at_once": count, "runs_per_second": rate} for count, rate in rates.items()],
        "parts": [
            part(
                "disk: the folder of a run",
                1 / rates[counts[0]],
                f"{plural(fsyncs, 'fsync')}; {rates[best]:.0f} runs/s with {plural(best, 'writer')} at once",
                1 / rates[best],
            ),
            part(
                "disk: a checkpoint",
                checkpoint_seconds,
                f"{plural(checkpoint_fsyncs, 'fsync')}; {writers.STATE_BYTES / 1e6:g} MB; one per worker each "
                f"{config.checkpoint_seconds:g} s takes {share:.0%} of the disk's time",
                0.0,
            ),
        ],
    }


def part(name: str, seconds: float, remark: str, bound: float) -> Report:
    """Return one row. `bound`: seconds between two runs that the part can handle; 0 if another row includes it."""
    return {"part": name, "seconds_a_run": seconds, "remark": remark, "bound_seconds": bound}


def plural(count: int, word: str) -> str:
    """Return a count with its noun."""
    return f"{count} {word}" + "s" * (count != 1)


def shortest_time(call: Callable[[], object]) -> float:
    """Return the least seconds of some calls: other work of the machine only adds time."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)
