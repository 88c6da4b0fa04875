"""The files that a worker writes for a run, without training: by one process, and by several at once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from optbench.records import Record, Split
from optbench.store import RunFolder

RECORDS = 30  # of a run, about as many as with the default `eval_every` and `record_every`
STATE_BYTES = 1_000_000  # of a checkpoint: 80,000 parameters with two moments each
RunDocument = Mapping[str, object]
"""The contents of run.json."""


def write_run(root: Path, study: str, run: RunDocument, run_id: str) -> None:
    """Write all files of a run that ends before its first checkpoint is due."""
    folder = RunFolder(root, study, run_id)
    with folder.locked():
        folder.write_run({**run, "run_id": run_id})
        for step in range(RECORDS):
            folder.append(Record(step, step, step, Split.VALIDATION, 1.0, 1.0, {"val_loss": 0.5, "val_metric": 0.5}))
        folder.write_result({**run, "run_id": run_id})


def write_checkpoint(folder: RunFolder, step: int) -> None:
    """Write a checkpoint of STATE_BYTES, and one record before it."""
    content = os.urandom(STATE_BYTES)
    folder.append(Record(step, step, step, Split.TRAIN, 1.0, 1.0, {"train_loss": 0.5}))
    folder.sync()
    folder.checkpoints.write(step, lambda out: out.write(content))


def count_fsyncs(write: Callable[[], None]) -> int:
    """Return how often `write` calls fsync, which waits until its data is on the disk."""
    original, handles = os.fsync, []

    def counted(handle: int) -> None:
        handles.append(handle)
        original(handle)

    os.fsync = counted
    try:
        write()
    finally:
        os.fsync = original
    return len(handles)


def write_runs_until(root: Path, run: RunDocument, until: float, number: int) -> int:
    """Write runs until a time; return how many."""
    count = 0
    while time.time() < until:
        write_run(root, "written", run, f"{number}-{count}")
        count += 1
    return count


def runs_per_second(root: Path, run: RunDocument, writers: int, seconds: float) -> float:
    """Return the rate of several processes that write at once."""
    context = multiprocessing.get_context("spawn")
    write = partial(write_runs_until, root / f"by-{writers}", run)
    with ProcessPoolExecutor(writers, mp_context=context) as pool:
        list(pool.map(time.sleep, [0.2] * writers))  # every process starts
        list(pool.map(partial(write, 0.0), range(writers)))  # and imports
        until = time.time() + seconds
        return max(1, sum(pool.map(partial(write, until), range(writers)))) / seconds


def checkpoint_cost(root: Path, rounds: int = 20) -> tuple[float, int]:
    """Return the seconds and fsyncs of one checkpoint by one process."""
    folder = RunFolder(root, "checkpoints", "one")
    folder.path.mkdir(parents=True)
    write_checkpoint(folder, 0)
    fsyncs = count_fsyncs(lambda: write_checkpoint(folder, 1))
    began = time.perf_counter()
    for step in range(2, rounds + 2):
        write_checkpoint(folder, step)
    folder.close()
    return (time.perf_counter() - began) / rounds, fsyncs
