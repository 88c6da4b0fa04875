"""How much time do `run.log` and four phases add to a step of a training script?

    optbench bench script

Two loops take turns in one process: a bare one, and one that marks four phases and logs its loss in every step, with
the lines of its records written to a file. Both do the same small arithmetic.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from optbench.benches import Report, goal_line
from optbench.config import RunConfig
from optbench.scripts.attach import AttachedRun
from optbench.scripts.job import EventWriter

GOAL_MICROSECONDS = 20.0  # added to a step
TURN = 500  # steps of a turn
WARM_UP_PAIRS = 3


def measure(config: RunConfig, pairs: int = 30) -> Report:
    """Return the microseconds per step of both loops, over `pairs` turns of each."""
    torch.set_num_threads(config.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = AttachedRun(config, None)
        run._events = EventWriter(Path(folder) / "events.jsonl")
        attached = AttachedLoop(run)
        times = [(seconds(bare_turn), seconds(attached.turn)) for _ in range(WARM_UP_PAIRS + pairs)][WARM_UP_PAIRS:]
    bare, ours = ([1e6 * pair[side] / TURN for pair in times] for side in (0, 1))
    added = [b - a for a, b in zip(bare, ours, strict=True)]
    return {
        "turn": TURN,
        "pairs": len(times),
        "record_every": config.record_every,
        "threads": config.threads,
        "bare_microseconds": statistics.median(bare),
        "attached_microseconds": statistics.median(ours),
        "added_microseconds": statistics.median(added),
        "added_lowest": min(added),
        "added_highest": max(added),
        "goal": f"added <= {GOAL_MICROSECONDS:g} us",
        "goal_holds": statistics.median(added) <= GOAL_MICROSECONDS,
    }


def seconds(turn: Callable[[], None]) -> float:
    """Return the seconds that a turn takes."""
    began = time.perf_counter()
    turn()
    return time.perf_counter() - began


def bare_turn() -> None:
    """Take the steps of a turn as a script does without optbench."""
    loss = torch.ones(())
    for _ in range(TURN):
        batch = loss * 0.5
        loss = batch * 2.0
        gradient = loss * 1.0
        loss = gradient * 1.0


class AttachedLoop:
    """The same steps with phases and a log."""

    def __init__(self, run: AttachedRun) -> None:
        self.run, self.step = run, 0

    def turn(self) -> None:
        """Take the steps of a turn."""
        run, loss = self.run, torch.ones(())
        for _ in range(TURN):
            self.step += 1
            with run.phase("data"):
                batch = loss * 0.5
            with run.phase("forward"):
                loss = batch * 2.0
            with run.phase("backward"):
                gradient = loss * 1.0
            with run.phase("optimizer"):
                loss = gradient * 1.0
            run.log(step=self.step, train_loss=loss)


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    return [
        f"{report['pairs']} pairs of turns of {report['turn']} steps, a record every {report['record_every']} steps, "
        f"{report['threads']} threads",
        f"  bare loop   {report['bare_microseconds']:9.2f} us per step (median)",
        f"  attached    {report['attached_microseconds']:9.2f} us per step (median)",
        f"  added       {report['added_microseconds']:9.2f} us per step, from {report['added_lowest']:.2f} to "
        f"{report['added_highest']:.2f}",
        goal_line(report),
    ]
