"""How much faster is a sweep with `--jobs 2` than with `--jobs 1`, and are the results the same?

    optbench bench sweep_jobs jobs=2

Runs the same sweep from start to end, imports included, each time in a new process and an empty folder. One and several
jobs take turns (1, 2, 2, 1, ...), so that a machine that warms up or slows down favours neither. It also measures
what the machine allows: the time of N processes of plain arithmetic at once, divided by that of one after another. If
this is far above 1/N, the cores are busy or shared, and the ratio of the sweeps says little.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from optbench.benches import Report, goal_line
from optbench.benches.sweeping.commands import FinishedSweep, run_sweep, sweep_overrides
from optbench.config import RunConfig

log = logging.getLogger(__name__)
GOAL_RATIO = 0.6  # of wall times, on two idle cores
ARITHMETIC = "n = 0\nfor i in range(20_000_000): n += i"  # a second or two


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw,sgd",
    trials: int = 8,
    seeds: int = 2,
    jobs: int = 2,
    rounds: int = 2,
) -> Report:
    """Return the wall seconds of a sweep with one job and with several, and whether all results are identical.

    `optimizers`: names separated by commas. `trials`: trials of each. `seeds`: final seeds. `jobs`: jobs compared with
    one. `rounds`: sweeps of each."""
    words = [*sweep_overrides(config, optimizers, {"steps": "1500"}), "--trials", str(trials), "--seeds", str(seeds)]
    sweeps: dict[int, list[FinishedSweep]] = {1: [], jobs: []}
    machine = []
    with tempfile.TemporaryDirectory() as folder:
        for number, count in enumerate(turns(jobs, rounds)):
            sweeps[count].append(run_sweep([*words, "--jobs", str(count)], Path(folder) / str(number)))
            log.info(f"--jobs {count}: {sweeps[count][-1].seconds:.1f} s")
            machine.append(arithmetic_ratio(jobs))
    one, several = sweeps[1], sweeps[jobs]
    ratio = statistics.median(s.seconds for s in several) / statistics.median(s.seconds for s in one)
    identical = all(one[0].same_as(other) for other in (*one, *several))
    return {
        "words": words,
        "runs": one[0].tree["runs"]["planned"],
        "jobs": jobs,
        "one_seconds": [s.seconds for s in one],
        "several_seconds": [s.seconds for s in several],
        "ratio": ratio,
        "machine_ratios": machine,
        "identical": identical,
        "goal": f"ratio <= {GOAL_RATIO}, results identical",
        "goal_holds": ratio <= GOAL_RATIO and identical,
    }


def arithmetic_ratio(count: int) -> float:
    """Return the wall time of `count` processes of arithmetic at once, divided by that of one after another."""
    command = [sys.executable, "-c", ARITHMETIC]
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(command, check=True)
    middle = time.perf_counter()
    for process in [subprocess.Popen(command) for _ in range(count)]:
        process.wait()
    return (time.perf_counter() - middle) / (middle - began)


def turns(jobs: int, rounds: int) -> list[int]:
    """Return the numbers of jobs in order: 1, N, N, 1, 1, N, ..."""
    return [count for number in range(rounds) for count in ((1, jobs) if number % 2 == 0 else (jobs, 1))]


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    jobs = report["jobs"]
    return [
        f"optbench sweep {' '.join(report['words'])}: {report['runs']} runs",
        f"  --jobs 1    {wall_times(report['one_seconds'])}",
        f"  --jobs {jobs:<4} {wall_times(report['several_seconds'])}",
        f"  ratio       {report['ratio']:.3f} of the medians; lower is better",
        f"  machine     {statistics.median(report['machine_ratios']):.3f} for plain arithmetic; {1 / jobs:.2f} would "
        "mean idle cores",
        f"  results     {'identical' if report['identical'] else 'different'}",
        goal_line(report),
    ]


def wall_times(values: Sequence[float]) -> str:
    """Return the median and the single times as text."""
    return f"{statistics.median(values):8.1f} s (median of {', '.join(f'{value:.1f}' for value in values)})"
