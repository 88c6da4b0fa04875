"""How much time does optbench's training loop add to a step, compared with a bare hand-written PyTorch loop?

    optbench bench loop optimizer=lion model=vit

Both loops train the same model on the same data with the same optimizer and schedule. They take turns in one process,
five steps each (on CUDA twenty, with a synchronisation after each turn). Ours does all that a run does: clock, records,
results file, checks for checkpoints and signals; only evaluations are left out. The bare loop does only what training
needs.
"""

from __future__ import annotations

import ctypes
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

from optbench.benches import Report, goal_line, synchronizer
from optbench.benches.bare import bare_loop
from optbench.config import RunConfig
from optbench.sessions.assemble import Objects, assemble
from optbench.sessions.session import Session
from optbench.store import RunFolder
from optbench.training.loop import Trainer

GOAL_RATIO = 1.03  # of the medians, if the bare step takes 10 ms or more
GOAL_MICROSECONDS = 20.0  # added per step, if it takes less
WARM_UP_PAIRS = 4
BLOCKS = {"cpu": 5, "cuda": 20}  # steps of a turn
MALLOC = {-1: 2**31 - 1, -2: 64 * 2**20, -3: 32 * 2**20}  # glibc's M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


def keep_freed_memory() -> None:
    """Make glibc keep freed memory.

    By default it returns the top of the heap to the system, and page faults fetch it again. That costs milliseconds per
    step in whichever of the two loops happens to free there."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in MALLOC.items():
        getattr(libc, "mallopt", lambda p, v: 0)(parameter, value)


def measure(config: RunConfig) -> Report:
    """Return the milliseconds per step of both loops, over at most `config.steps` steps of each."""
    keep_freed_memory()
    config = dataclasses.replace(config, eval_every=config.steps + 1, tracker="none", compile=False)
    bare_objects = assemble(config)
    with tempfile.TemporaryDirectory() as folder:
        timer = LoopTimer(bare_objects, config)
        run_ours(config, Path(folder), timer)
    return make_report(config, bare_objects, timer)


def run_ours(config: RunConfig, root: Path, timer: LoopTimer) -> None:
    """Train as a run does; the timer runs the bare loop between our steps."""
    folder = RunFolder(root, "bench", config.run_id)
    with folder.locked():
        session = Session(config, folder, "bench", "bench")

        def on_step(trainer: Trainer) -> None:
            session._on_step(trainer)
            timer.take_turn()

        session.objects = assemble(config, on_step)
        trainer = session.objects.trainer
        trainer._final_evaluations = lambda: iter(())  # type: ignore[method-assign]  # evaluations are not measured
        trainer._validation_record = trainer._train_record  # type: ignore[method-assign]
        session._begin([])
        session._train([])


class LoopTimer:
    """Times our steps from outside; runs and times the bare steps between them."""

    def __init__(self, objects: Objects, config: RunConfig) -> None:
        self.step = bare_loop(objects, config)
        self.block = BLOCKS[objects.device.type]
        self.wait = synchronizer(objects.device)
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.pending = 0
        self.since = time.perf_counter()

    def take_turn(self) -> None:
        """Count one of our steps; after a block of them, run a block of the bare loop."""
        self.pending += 1
        if self.pending < self.block:
            return
        self.wait()
        now = time.perf_counter()
        self.ours.append((now - self.since) / self.block)
        began = time.perf_counter()
        for _ in range(self.block):
            next(self.step)
        self.wait()
        self.since = time.perf_counter()
        self.bare.append((self.since - began) / self.block)
        self.pending = 0


def make_report(config: RunConfig, objects: Objects, timer: LoopTimer) -> Report:
    """Return medians, their ratio with its range over tenths of the run, and the paired difference."""
    ours, bare = timer.ours[WARM_UP_PAIRS:], timer.bare[WARM_UP_PAIRS:]
    if len(bare) < 10:
        ours, bare = timer.ours, timer.bare
    tenth = max(1, len(bare) // 10)
    ratios = [
        statistics.median(ours[i : i + tenth]) / statistics.median(bare[i : i + tenth])
        for i in range(0, len(bare) - tenth + 1, tenth)
    ]
    bare_ms, ours_ms = 1e3 * statistics.median(bare), 1e3 * statistics.median(ours)
    added = 1e6 * statistics.median(a - b for a, b in zip(ours, bare, strict=True))
    ratio = ours_ms / bare_ms
    holds = ratio <= GOAL_RATIO if bare_ms >= 10 else added <= GOAL_MICROSECONDS
    return {
        "workload": f"{config.model.name}-{config.data.name}",
        "optimizer": config.optimizer.name,
        "device": objects.device.type,
        "precision": config.precision,
        "threads": config.threads,
        "batch_size": config.batch_size,
        "pairs": len(bare),
        "block": timer.block,
        "bare_ms": bare_ms,
        "ours_ms": ours_ms,
        "ratio": ratio,
        "ratio_lowest_tenth": min(ratios),
        "ratio_highest_tenth": max(ratios),
        "mean_ratio": statistics.fmean(ours) / statistics.fmean(bare),
        "added_microseconds": added,
        "goal": f"ratio <= {GOAL_RATIO}" if bare_ms >= 10 else f"added <= {GOAL_MICROSECONDS:g} us",
        "goal_holds": holds,
    }


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    return [
        f"{report['workload']} with {report['optimizer']}, batch {report['batch_size']}, {report['precision']}, "
        f"{report['device']}, {report['threads']} threads, {report['pairs']} pairs of turns of {report['block']} steps",
        f"  bare loop   {report['bare_ms']:9.3f} ms per step (median)",
        f"  optbench    {report['ours_ms']:9.3f} ms per step (median)",
        f"  ratio       {report['ratio']:9.3f}    over tenths of the run {report['ratio_lowest_tenth']:.3f} to "
        f"{report['ratio_highest_tenth']:.3f}; of the means {report['mean_ratio']:.3f}",
        f"  added       {report['added_microseconds']:9.1f} us per step (median of the pairs)",
        goal_line(report),
    ]
