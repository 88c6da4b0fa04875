"""What runs the runs: the protocol between the scheduler and an executor (local processes; clusters)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optbench.config import RunConfig


@dataclass(frozen=True)
class Job:
    """One run to be done, with everything that a worker needs to know."""

    run_id: str
    stage: str
    config: RunConfig
    root: Path
    study: str
    force: bool = False
    """Run again what has ended; the old run is kept aside."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Said in run.json beside what the run itself knows: trial, cell, how the machine was shared."""

    @property
    def log(self) -> Path:
        """Where the worker's output goes."""
        return self.root / self.study / "logs" / f"{self.run_id}.txt"


@dataclass(frozen=True)
class Event:
    """Something that happened to a running job."""

    run_id: str


@dataclass(frozen=True)
class Began(Event):
    """Training begins: the run's metric and its direction are known."""

    metric: str
    direction: str
    resumed_from: int | None


@dataclass(frozen=True)
class Progress(Event):
    """A sign of life."""

    step: int


@dataclass(frozen=True)
class Measured(Event):
    """An evaluation on validation: its step, the metric, and which evaluation of the run it was (from 1)."""

    step: int
    value: float | None
    evaluation: int


@dataclass(frozen=True)
class Ended(Event):
    """The run has a result."""


@dataclass(frozen=True)
class Stopped(Event):
    """The run was asked to stop, and has left a checkpoint; `reason` is that of a pruner, or empty."""

    reason: str = ""


@dataclass(frozen=True)
class Refused(Event):
    """The run cannot be done as it is asked for: the user's error."""

    error: Exception


@dataclass(frozen=True)
class Busy(Event):
    """Another process is at this run."""


@dataclass(frozen=True)
class Died(Event):
    """The worker is gone without a word: killed, or crashed. `how` says by what."""

    how: str


class Executor(Protocol):
    """Runs jobs, each in a process of its own."""

    slots: int
    """Jobs at the same time, at most."""

    sharing: Mapping[str, Any]
    """How runs share a machine, kept with each: times of a shared device are marked as shared."""

    def start(self, job: Job) -> None:
        """Begin a job. The caller keeps to `slots`."""

    def has_room(self, job: Job, resident_bytes: int) -> bool:
        """Whether there is memory for a job that may take this many bytes."""

    def events(self, timeout: float) -> Iterable[Event]:
        """What happened since the last call, waiting up to `timeout` seconds for something."""

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a job for a checkpoint and its end."""

    def close(self) -> None:
        """End what still runs, and give everything back."""
