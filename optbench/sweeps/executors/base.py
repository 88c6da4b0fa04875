"""The protocol between the scheduler and an executor, which runs jobs: jobs, events, Executor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optbench.config import RunConfig
from optbench.config.plain import from_plain, to_plain
from optbench.errors import OptbenchError

SCHEDULER_LOCK = ".scheduler.lock"  # in the study's folder, held by its only scheduler


@dataclass(frozen=True)
class Job:
    """One run, with everything that a worker needs to know."""

    run_id: str
    stage: str
    config: RunConfig
    root: Path
    study: str
    force: bool = False
    """Rerun an ended run; the old one is kept aside."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Further fields of run.json: trial, cell, how the machine was shared."""

    @property
    def log(self) -> Path:
        """The file with the worker's output."""
        return self.root / self.study / "logs" / f"{self.run_id}.txt"

    def to_plain(self) -> dict[str, Any]:
        """Return the job as plain data, as JSON can hold it."""
        return {**vars(self), "config": to_plain(self.config), "root": str(self.root)}

    @classmethod
    def from_plain(cls, tree: Mapping[str, Any]) -> Job:
        """Return the job of `to_plain`."""
        return cls(**{**tree, "config": from_plain(tree["config"]), "root": Path(tree["root"])})


@dataclass(frozen=True)
class Event:
    """A message of a worker about its run."""

    run_id: str


@dataclass(frozen=True)
class RunStarted(Event):
    """Training begins."""

    metric: str
    direction: str
    resumed_from: int | None
    unread: str = ""
    """Keys of the budget, "steps" or "batch_size", that a training script does not read, with blanks between them."""


@dataclass(frozen=True)
class RunNotice(Event):
    """A notice about the user's data or model."""

    message: str


@dataclass(frozen=True)
class RunProgress(Event):
    """The run has reached a step."""

    step: int


@dataclass(frozen=True)
class RunEvaluated(Event):
    """The validation metric at a step; `evaluation` counts the run's evaluations from 1."""

    step: int
    value: float | None
    evaluation: int


@dataclass(frozen=True)
class RunEnded(Event):
    """The run has a result."""


@dataclass(frozen=True)
class RunStopped(Event):
    """The run was asked to stop and has left a checkpoint; `reason` is the pruner's, or empty."""

    reason: str = ""


@dataclass(frozen=True)
class RunRefused(Event):
    """The run's configuration cannot be run: the user's error."""

    error: OptbenchError


@dataclass(frozen=True)
class RunBusy(Event):
    """Another process holds the run."""


@dataclass(frozen=True)
class WorkerStarted(Event):
    """A worker on another machine has begun."""

    host: str
    process: int
    clock: float = 0.0
    """Seconds since 1970, by its machine."""


@dataclass(frozen=True)
class WorkerDied(Event):
    """The worker was killed or crashed; `how` says by what."""

    how: str


LAST_EVENTS = (RunEnded, RunStopped, RunRefused, RunBusy)
"""Events after which a worker sends nothing more."""


class Executor(Protocol):
    """Runs jobs, each in a process of its own."""

    slots: int
    """Greatest number of jobs at the same time."""

    sharing: Mapping[str, Any]
    """The sharing of a machine by runs; kept in run.json, since it affects their times."""

    def start(self, job: Job) -> None:
        """Start a job. The caller must not exceed `slots`."""

    def has_room(self, job: Job, resident_bytes: int, device_bytes: int) -> bool:
        """Return True if there is memory for a job of this size, on the machine and on a CUDA device."""
        ...

    def events(self, timeout: float) -> Iterable[Event]:
        """Yield the events since the last call, waiting up to `timeout` seconds for one."""
        ...

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a job to write a checkpoint and end."""

    def close(self) -> None:
        """Stop all jobs and free everything."""
