"""What limits a study with a thousand workers, and how long must runs be to keep all workers busy?

    optbench bench scaling workers=1000 lengths=2,10

Measures the cost per run of each part: planning, reading the result, study.json, everything else that the scheduler
does, and the files that the worker writes. The model:

* The scheduler does one thing at a time. Its seconds per run are a + b n in a study of n runs; a and b are fitted to
  two smaller studies.
* The disk writes as many runs per second as the best number of writers at once.
* W workers ask for W/T runs of T seconds per second. A part that handles r runs per second keeps all workers busy only
  if T >= W/r. The part with the largest W/r is the bottleneck.

The model is compared with measurements in real time with the real scheduler: a third, larger study whose runs take no
time, and studies with W workers whose runs take T seconds and do nothing. Not included: the transport between workers
and scheduler (pipes here; Slurm and Ray have their own), and a network file system, unless `folder=` is on one.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from optbench.benches import Report, comma_separated, goal_line
from optbench.benches.sweeping.commands import sweep_overrides
from optbench.benches.sweeping.costs import disk_costs, scheduler_costs, seconds_per_run
from optbench.benches.sweeping.simulated import SimulatedSweep, simulate_sweep
from optbench.config import RunConfig
from optbench.errors import ConfigError

log = logging.getLogger(__name__)
WARM_UP = 8  # runs of a first, untimed study, which imports everything
TOLERANCE, TOLERANCE_SECONDS = 0.25, 1.0  # of the model; one of them suffices


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw",
    runs: int = 4000,
    workers: int = 1000,
    lengths: str = "2,10",
    at_once: str = "1,2,4,8",
    seconds: float = 4.0,
    folder: str = "",
) -> Report:
    """Return the seconds per run of each part, the model's bound for `workers`, and the model beside measurements.

    `optimizers`: names separated by commas. `runs`: runs of the largest study. `workers`: workers of the model and the
    studies. `lengths`: seconds per run of the studies. `at_once`: numbers of processes that write at once. `seconds`:
    seconds that they write. `folder`: where; by default a temporary folder."""
    times, counts = numbers("lengths", lengths), [int(count) for count in numbers("at_once", at_once)]
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        root = Path(place)
        run_study(config, optimizers, WARM_UP, root, workers, 0.0)
        sweeps = [run_study(config, optimizers, size, root, workers, 0.0) for size in (runs // 4, runs // 2, runs)]
        largest = sweeps[-1]
        log.info(f"{largest.runs} runs that take no time: {largest.run_seconds:.1f} s")
        fixed, growth = line_through(*[(sweep.runs, seconds_per_run(sweep)) for sweep in sweeps[:2]])
        cost = fixed + growth * largest.runs
        checks = [check(largest, workers, 0.0, cost)]
        for length in times:
            sweep = run_study(config, optimizers, runs, root, workers, length)
            checks.append(check(sweep, workers, length, cost))
            log.info(f"{sweep.runs} runs of {length:g} s by {workers} workers: {sweep.run_seconds:.1f} s")
        disk = disk_costs(config, root, workers, counts, seconds)
        parts = [*scheduler_costs(largest), *disk["parts"]]
    for part in parts:
        part["shortest_run_seconds"] = workers * part["bound_seconds"]
    bottleneck = max(parts, key=lambda part: part["bound_seconds"])
    return {
        "runs": largest.runs,
        "workers": workers,
        "parts": parts,
        "writers": disk["writers"],
        "fsyncs_a_run": disk["fsyncs"],
        "scheduler": {"fixed_seconds": fixed, "seconds_per_known_run": growth},
        "checks": checks,
        "bottleneck": bottleneck["part"],
        "shortest_run_seconds": bottleneck["shortest_run_seconds"],
        "goal": f"the model is within {TOLERANCE:.0%} or {TOLERANCE_SECONDS:g} s of each measurement",
        "goal_holds": all(map(holds, checks)),
    }


def numbers(name: str, text: str) -> list[float]:
    """Return the numbers in a setting's text. Raises ConfigError."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"{name}={text}: expected numbers separated by commas, e.g. 2,10") from None


def run_study(config: RunConfig, optimizers: str, runs: int, root: Path, workers: int, length: float) -> SimulatedSweep:
    """Simulate a study of so many runs of `length` seconds."""
    from optbench.sweeps.study.expand import expand
    from optbench.sweeps.study.study import make_study

    words = sweep_overrides(config, optimizers, {"steps": "100"})
    trials = max(1, runs // len(comma_separated(optimizers)))
    study = replace(make_study(words, {"trials": trials, "seeds": 0, "shortlist": 0}), name=f"of-{runs}-in-{length:g}")
    return simulate_sweep(study, expand(study), root, workers, length)


def line_through(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Return offset and slope of the line through two points; a negative slope is noise and becomes zero."""
    slope = max(0.0, (b[1] - a[1]) / (b[0] - a[0]))
    return statistics.fmean((a[1] - slope * a[0], b[1] - slope * b[0])), slope


def expected(runs: int, workers: int, length: float, cost: float) -> tuple[float, float]:
    """Return the seconds of a study, of which the larger one holds.

    The first is for workers that wait only for their first start, the second for a scheduler that never waits."""
    return runs / workers * length + workers * cost, runs * cost + length


def check(sweep: SimulatedSweep, workers: int, length: float, cost: float) -> Report:
    """Return the model's seconds beside those of one study.

    Writing optuna.journal waits for the disk, so its measured time is added: all of it if the scheduler is the limit,
    the last writing if the workers are."""
    by_workers, by_scheduler = expected(sweep.runs, workers, length, cost)
    modelled = max(by_workers + sweep.last_mirror_seconds, by_scheduler + sweep.mirror_seconds)
    return {"run_seconds": length, "modelled": modelled, "measured": sweep.run_seconds}


def holds(check: Report) -> bool:
    """Return True if the model is close enough to a measurement."""
    error = abs(check["measured"] - check["modelled"])
    return error <= max(TOLERANCE * check["measured"], TOLERANCE_SECONDS)


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    scheduler = report["scheduler"]
    return [
        f"a study of {report['runs']:,} runs with {report['workers']:,} workers: cost per run of each part",
        f"  {'part':<44}{'ms/run':>8}{'runs/s':>10}{'shortest s':>12}",
        *map(part_line, report["parts"]),
        "  shortest s: length of a run below which the part cannot keep all workers busy",
        f"  the scheduler takes {1e3 * scheduler['fixed_seconds']:.2f} ms per run, and "
        f"{1e6 * scheduler['seconds_per_known_run']:.3f} us more for each run of the study",
        f"bottleneck: {report['bottleneck']}; it keeps {report['workers']:,} workers busy with runs of "
        f"{report['shortest_run_seconds']:.1f} s or more",
        f"  {'runs of':<44}{'model':>10}{'measured':>12}",
        *(
            f"  {row['run_seconds']:<7g}{'s':<37}{row['modelled']:>8.1f} s{row['measured']:>10.1f} s"
            for row in report["checks"]
        ),
        goal_line(report),
    ]


def part_line(row: Report) -> str:
    """Return a part's row as text."""
    bound = " " * 22
    if row["bound_seconds"]:
        bound = f"{1 / row['bound_seconds']:>10.0f}{row['shortest_run_seconds']:>12.2f}"
    return f"  {row['part']:<44}{1e3 * row['seconds_a_run']:>8.2f}{bound}  {row['remark']}"
