"""What a worker writes for a run, without the training: by one process, and by several at once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from optbench.records import Record, Split
from optbench.store import RunFolder

RECORDS = 30  # of a run, as `eval_every` and `log_every` have it where nothing is said, about
STATE_BYTES = 1_000_000  # of a checkpoint: 80,000 parameters and two moments of each


def write_one(root: Path, study: str, run: Mapping[str, Any], run_id: str) -> None:
    """Everything that a run leaves which has ended before its first checkpoint was due."""
    folder = RunFolder(root, study, run_id)
    with folder.locked():
        folder.write_run({**run, "run_id": run_id})
        for step in range(RECORDS):
            folder.append(Record(step, step, step, Split.VALIDATION, 1.0, 1.0, {"val_loss": 0.5, "val_metric": 0.5}))
        folder.write_result({**run, "run_id": run_id})


def checkpoint(folder: RunFolder, step: int) -> None:
    """A checkpoint of so many bytes, and a record since the one before."""
    content = os.urandom(STATE_BYTES)
    folder.append(Record(step, step, step, Split.TRAIN, 1.0, 1.0, {"train_loss": 0.5}))
    folder.sync()
    folder.write_checkpoint(step, lambda out: out.write(content))


def waits_for_disk(do: Callable[[], Any]) -> int:
    """How often something waits until what it wrote lies on disk (fsync)."""
    true, calls = os.fsync, []

    def counted(handle: Any) -> None:
        calls.append(handle)
        true(handle)

    os.fsync = counted
    try:
        do()
    finally:
        os.fsync = true
    return len(calls)


def work(root: Path, run: Mapping[str, Any], until: float, number: int) -> int:
    """Write runs until a time; returns how many."""
    count = 0
    while time.time() < until:
        write_one(root, "written", run, f"{number}-{count}")
        count += 1
    return count


def rate(root: Path, run: Mapping[str, Any], writers: int, seconds: float) -> float:
    """Runs a second that several processes write at once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(writers, mp_context=context) as pool:
        list(pool.map(time.sleep, [0.2] * writers))  # all are there, and have imported
        list(pool.map(partial(work, root / f"by-{writers}", run, 0.0), range(writers)))
        until = time.time() + seconds
        return max(1, sum(pool.map(partial(work, root / f"by-{writers}", run, until), range(writers)))) / seconds


def checkpoint_cost(root: Path, rounds: int = 20) -> tuple[float, int]:
    """Seconds of one checkpoint by one process, and how often it waits for the disk."""
    folder = RunFolder(root, "checkpoints", "one")
    folder.path.mkdir(parents=True)
    checkpoint(folder, 0)
    waits = waits_for_disk(lambda: checkpoint(folder, 1))
    began = time.perf_counter()
    for step in range(2, rounds + 2):
        checkpoint(folder, step)
    folder.close()
    return (time.perf_counter() - began) / rounds, waits
