"""A training in a process of its own, and what strikes it: signals, and the death of its helpers and data workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from optbench.benches.sweep_kills import processes

POLL_SECONDS = 0.0005  # writing a small checkpoint takes a few milliseconds


@dataclass(frozen=True)
class Target:
    """A running training, and its folder."""

    process: subprocess.Popen[bytes]
    run_folder: Path
    draw: Random

    def wait_for(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds, the process ends or the time is over."""
        end = time.monotonic() + seconds
        while not holds() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(POLL_SECONDS)

    def is_writing(self) -> bool:
        """Return True while a checkpoint is being written: its file has a temporary name."""
        return any(name.startswith(".") for name in checkpoint_names(self.run_folder))

    def children(self) -> list[int]:
        """Return the ids of the process's children: other ranks, data workers."""
        return sorted(pid for pid, parent in processes() if parent == self.process.pid)

    def interrupt_twice(self) -> None:
        """Send SIGINT, and again a moment later or while the checkpoint for the first one is being written."""
        self.process.send_signal(signal.SIGINT)
        if self.draw.random() < 0.5:
            time.sleep(self.draw.uniform(0, 0.05))
        else:
            self.wait_for(self.is_writing, 1.0)
        self.process.send_signal(signal.SIGINT)

    def kill_child(self) -> None:
        """Send SIGKILL to a child."""
        with suppress(ProcessLookupError, IndexError):  # all have ended
            os.kill(self.draw.choice(self.children()), signal.SIGKILL)


@dataclass(frozen=True)
class Strike:
    """Something that ends a run, and the exit code that says so, as a shell shows it."""

    name: str
    exit_code: int
    hit: Callable[[Target], None]


KILL = Strike("SIGKILL", 137, lambda target: target.process.send_signal(signal.SIGKILL))
CHILD = Strike("child killed", 4, Target.kill_child)
STRIKES = (
    KILL,
    Strike("SIGTERM", 143, lambda target: target.process.send_signal(signal.SIGTERM)),
    Strike("SIGINT", 130, lambda target: target.process.send_signal(signal.SIGINT)),
    Strike("SIGINT twice", 130, Target.interrupt_twice),
    CHILD,
)


def checkpoint_names(run_folder: Path) -> list[str]:
    """Return the names of a run's checkpoints, also of those that are being written."""
    with suppress(FileNotFoundError):
        return os.listdir(run_folder / "checkpoints")
    return []


def newest_step(run_folder: Path) -> int:
    """Return the step of a run's newest complete checkpoint, 0 without one."""
    found = [re.match(r"step-(\d+)", name) for name in checkpoint_names(run_folder)]
    return max((int(name[1]) for name in found if name), default=0)
