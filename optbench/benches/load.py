"""How fast is training beside busy processes, by how long OpenMP's threads spin while they wait?

    optbench bench load models=vit,mlp busy=0,1,3 spins=300000,1000,passive,auto threads=1,2

Trains in a new process for some seconds, beside processes that do nothing but count, with each spin count in turn.
A spin count is GOMP_SPINCOUNT of GNU's OpenMP, which torch uses on Linux: how many turns a thread of a parallel region
waits in a loop before it sleeps. OpenMP's own is 300,000. `active` and `passive` are values of OMP_WAIT_POLICY, which
replace the spin count; `auto` lets optbench choose. One thread waits for no other, so threads=1 is measured with `auto`
alone. The share is the speed over that with the first spin count on the quiet machine. The fair share is what the
scheduler owes to as many threads as train: cores / (threads + busy processes), at most 1.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from optbench.benches import Report, comma_separated
from optbench.config import RunConfig
from optbench.errors import ConfigError

log = logging.getLogger(__name__)
SPINS, POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
POLICIES = ("active", "passive")
AUTO = "auto"
BUSY = "while True: pass"


def measure(
    config: RunConfig,
    models: str = "vit,resnet,gpt,mlp",
    busy: str = "0,1,2,4",
    spins: str = f"300000,{AUTO}",
    threads: str = "2",
    seconds: float = 8.0,
    rounds: int = 1,
) -> Report:
    """Return samples a second for each model, number of threads, number of busy processes and spin count.

    `models`: names separated by commas; `busy`: numbers of busy processes; `spins`: spin counts, active, passive or
    auto; `threads`: numbers of threads; `seconds`: of training in each turn; `rounds`: turns of each, of which the
    median counts."""
    rows: list[Report] = []
    known = checked(comma_separated(spins))
    for model in comma_separated(models):
        for number in map(int, comma_separated(threads)):
            counts = known if number > 1 else [AUTO]
            alone: float | None = None
            for others in map(int, comma_separated(busy)):
                with busy_processes(others):
                    found: dict[str, list[float]] = {count: [] for count in counts}
                    for _ in range(rounds):
                        for count in counts:
                            found[count].append(speed(model, number, count, seconds))
                for count, speeds in found.items():
                    middle = statistics.median(speeds)
                    alone = alone or middle
                    row = {"model": model, "threads": number, "busy": others, "spins": count}
                    row |= {"samples_per_second": middle, "share": middle / alone, "fair": fair(number, others)}
                    rows.append(row)
                    log.info(line(row))
    return {"cores": os.cpu_count(), "seconds": seconds, "rounds": rounds, "rows": rows}


def checked(spins: list[str]) -> list[str]:
    """Return the spin counts and policies. Raises ConfigError for an unknown word."""
    for word in spins:
        if not word.isdecimal() and word not in (AUTO, *POLICIES):
            raise ConfigError(f"spins={word}: expected a number, {AUTO}, {' or '.join(POLICIES)}")
    return spins


def fair(threads: int, others: int) -> float:
    """Return the share of its speed alone that the scheduler owes to a process of so many threads."""
    return min(1.0, (os.cpu_count() or 1) / (threads + others))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep cores busy with this many processes."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def speed(model: str, threads: int, spins: str, seconds: float) -> float:
    """Return the samples a second of training in a new process. Raises ConfigError if it does not train."""
    words = [f"model={model}", f"threads={threads}", f"max_seconds={seconds}", "steps=10000000", "tracker=none"]
    words += ["record_every=10000000", "eval_every=10000000", "device=cpu"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "optbench", "run", *words, "--results-dir", folder, "--quiet"]
        done = subprocess.run(command, env=environment(spins), capture_output=True, text=True, check=False)
        found = next(Path(folder).rglob("result.json"), None)
        if found is None:
            raise ConfigError(f"model={model} cannot be measured: {done.stderr.strip()}")
        result = json.loads(found.read_text())
    if not result["train_seconds"]:
        raise ConfigError(f"seconds={seconds:g} are too few: no step ended in them")
    return result["samples"] / result["train_seconds"]


def environment(spins: str) -> Mapping[str, str]:
    """Return this process's environment with this spin count or policy; `auto` leaves it to optbench."""
    others = {name: value for name, value in os.environ.items() if name not in (SPINS, POLICY)}
    if spins == AUTO:
        return others
    return {**others, POLICY if spins in POLICIES else SPINS: spins}


def lines(report: Report) -> list[str]:
    """Return a Markdown table."""
    head = "| model | threads | busy processes | spin count | samples/s | share of quiet | fair share |"
    return [head, "|" + "---|" * (head.count("|") - 1), *map(line, report["rows"])]


def line(row: Report) -> str:
    """Return a row of the table."""
    cells = [row["model"], row["threads"], row["busy"], row["spins"], f"{row['samples_per_second']:,.0f}"]
    return f"| {' | '.join(map(str, cells))} | {row['share']:.2f} | {row['fair']:.2f} |"
