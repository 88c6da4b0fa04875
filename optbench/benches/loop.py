"""The cost of optbench's loop: its steps against those of a bare hand-written PyTorch loop.

Same model, data, optimizer and schedule, in one process, taking turns of five steps (on CUDA of twenty, synchronised at
their ends). Ours includes everything a run does: clock, records, the results file, checkpoint
and signal checks; only evaluations are left out. The bare loop does nothing that training does not need.
"""

from __future__ import annotations

import ctypes
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from optbench.benches.bare import bare_loop
from optbench.config import RunConfig
from optbench.sessions.assemble import Objects, assemble
from optbench.sessions.session import Session
from optbench.store import RunFolder

GOAL_RATIO = 1.03  # of medians, where the bare step takes 10 ms or more
GOAL_MICROSECONDS = 20.0  # added, where it takes less
WARM_UP_PAIRS = 4
BLOCKS = {"cpu": 5, "cuda": 20}  # steps of a turn
MALLOC = {-1: 2**31 - 1, -2: 64 * 2**20, -3: 32 * 2**20}  # glibc's M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


def keep_freed_memory() -> None:
    """Let glibc keep what is freed. By default it gives the top of the heap back to the system and page faults bring it
    again: milliseconds a step that fall on whichever of two loops in a process happens to free there."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in MALLOC.items():
        getattr(libc, "mallopt", lambda p, v: 0)(parameter, value)


def measure(config: RunConfig) -> dict[str, Any]:
    """Milliseconds a step of both loops over at most `config.steps` steps of each."""
    keep_freed_memory()
    config = dataclasses.replace(config, eval_every=config.steps + 1, tracker="none", compile=False)
    bare_objects = assemble(config)
    with tempfile.TemporaryDirectory() as folder:
        duel = Duel(bare_objects, config)
        run_ours(config, Path(folder), duel)
    return report(config, bare_objects, duel)


def run_ours(config: RunConfig, root: Path, duel: Duel) -> None:
    """Our loop as a run drives it; after each step the bare loop takes its turn."""
    folder = RunFolder(root, "bench", config.run_id)
    with folder.locked():
        session = Session(config, folder, "bench", "bench")
        session.objects = assemble(config, lambda trainer: (session._on_step(trainer), duel.take_turn()))
        trainer = session.objects.trainer
        trainer._final_evaluations = lambda: iter(())  # type: ignore[method-assign]  # evaluations are not measured
        trainer._validation_record = trainer._train_record  # type: ignore[method-assign]
        session._begin([])
        session._train([])


class Duel:
    """Times our steps from outside, and runs and times the bare ones between them."""

    def __init__(self, objects: Objects, config: RunConfig) -> None:
        self.step = bare_loop(objects, config)
        self.block = BLOCKS[objects.device.type]
        self.wait = torch.cuda.synchronize if objects.device.type == "cuda" else lambda: None
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.pending = 0
        self.since = time.perf_counter()

    def take_turn(self) -> None:
        """Called at the end of each of our steps."""
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


def report(config: RunConfig, objects: Objects, duel: Duel) -> dict[str, Any]:
    """Medians, their ratio with its spread over tenths of the run, and the paired difference."""
    ours, bare = duel.ours[WARM_UP_PAIRS:], duel.bare[WARM_UP_PAIRS:]
    if len(bare) < 10:
        ours, bare = duel.ours, duel.bare
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
        "block": duel.block,
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


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    return [
        f"{found['workload']} with {found['optimizer']}, batch {found['batch_size']}, {found['precision']}, "
        f"{found['device']}, {found['threads']} threads, {found['pairs']} pairs of {found['block']} steps",
        f"  bare loop   {found['bare_ms']:9.3f} ms a step (median)",
        f"  optbench    {found['ours_ms']:9.3f} ms a step (median)",
        f"  ratio       {found['ratio']:9.3f}    tenths of the run {found['ratio_lowest_tenth']:.3f} to "
        f"{found['ratio_highest_tenth']:.3f}; means, records included: {found['mean_ratio']:.3f}",
        f"  added       {found['added_microseconds']:9.1f} us a step (median of pairs)",
        f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]
