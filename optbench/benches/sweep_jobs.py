"""What `--jobs 2` gains over `--jobs 1`, and that it changes no number.

The same sweep from nothing to its end, imports included, in a process of its own and an empty folder every time; both
take turns (1, 2, 2, 1, ...), so that a machine that warms up or slows down favours neither. Beside it, as often, what
the machine grants anybody: as many processes of plain arithmetic at once, over one after the other. Where that is far
above 1/N, its cores are not idle (or not whole), and the ratio of the sweeps says little.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from optbench.benches.sweeping.driving import Swept, swept, words_of
from optbench.config import RunConfig

log = logging.getLogger(__name__)

GOAL_RATIO = 0.6  # of wall times, on two idle cores
ARITHMETIC = "n = 0\nfor i in range(20_000_000): n += i"  # a second or two
SETTINGS = {"optimizers": "lion,adamw,sgd", "trials": 8, "seeds": 2, "jobs": 2, "rounds": 2}
"""What the command line may say: names separated by commas, points a box, final seeds, jobs against one, sweeps of
each."""


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw,sgd",
    trials: int = 8,
    seeds: int = 2,
    jobs: int = 2,
    rounds: int = 2,
) -> dict[str, Any]:
    """Wall seconds of a sweep by one worker and by several, and whether all sweeps found the same."""
    words = [*words_of(config, optimizers, {"steps": "1500"}), "--trials", str(trials), "--seeds", str(seeds)]
    found: dict[int, list[Swept]] = {1: [], jobs: []}
    machine = []
    with tempfile.TemporaryDirectory() as folder:
        for number, count in enumerate(turns(jobs, rounds)):
            found[count].append(swept([*words, "--jobs", str(count)], Path(folder) / str(number)))
            log.info(f"--jobs {count}: {found[count][-1].seconds:.1f} s")
            machine.append(arithmetic_ratio(jobs))
    one, several = found[1], found[jobs]
    ratio = statistics.median(s.seconds for s in several) / statistics.median(s.seconds for s in one)
    return {
        "words": words,
        "runs": one[0].tree["runs"]["planned"],
        "jobs": jobs,
        "one_seconds": [s.seconds for s in one],
        "several_seconds": [s.seconds for s in several],
        "ratio": ratio,
        "machine_ratios": machine,
        "identical": all(one[0].same_as(other) for other in (*one, *several)),
        "goal": f"ratio <= {GOAL_RATIO}, results identical",
        "goal_holds": ratio <= GOAL_RATIO and all(one[0].same_as(other) for other in (*one, *several)),
    }


def arithmetic_ratio(count: int) -> float:
    """Wall time of so many processes of arithmetic at once over that of as many one after the other."""
    command = [sys.executable, "-c", ARITHMETIC]
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(command, check=True)
    middle = time.perf_counter()
    for process in [subprocess.Popen(command) for _ in range(count)]:
        process.wait()
    return (time.perf_counter() - middle) / (middle - began)


def turns(jobs: int, rounds: int) -> list[int]:
    """1, N, N, 1, 1, N, ..."""
    return [count for number in range(rounds) for count in ((1, jobs) if number % 2 == 0 else (jobs, 1))]


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    return [
        f"optbench sweep {' '.join(found['words'])}: {found['runs']} runs",
        f"  --jobs 1    {seconds(found['one_seconds'])}",
        f"  --jobs {found['jobs']}    {seconds(found['several_seconds'])}",
        f"  ratio       {found['ratio']:.3f} of medians",
        f"  machine     {statistics.median(found['machine_ratios']):.3f} for plain arithmetic, "
        f"{1 / found['jobs']:.2f} were its cores idle",
        f"  results     {'identical' if found['identical'] else 'they differ'}",
        f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]


def seconds(values: list[float]) -> str:
    """Wall times, and how many they are."""
    return f"{statistics.median(values):8.1f} s (median of {', '.join(f'{value:.1f}' for value in values)})"
