"""The executor of many machines: a cluster (Slurm, Ray) starts and ends jobs, and their messages go through the shared
results folder. Runs, retries and results are the same as on one machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from optbench.errors import ConfigError, MissingError
from optbench.sweeps.executors.base import LAST_EVENTS, Event, Job, WorkerDied, WorkerStarted
from optbench.sweeps.executors.mailbox import SchedulerMailbox
from optbench.sweeps.executors.remote_worker import Payload, payload_of

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # before a job that was asked to stop is cancelled
LEAVING_SECONDS = 10.0  # for the process of an ended run to end
SILENT_ENDS = 3  # consecutive jobs without an event of any worker, before the sweep gives up
POLL_SHARE = 20.0  # looking at all jobs takes at most one part in so many of the scheduler's time
PAUSE_SECONDS = 5.0  # but happens at least this often
SKEW_SECONDS = 120.0  # tolerated between the clocks of two machines; an event may be a minute old
Handle = Any
"""A job, as its cluster's library has it."""


@dataclass(frozen=True)
class JobEnd:
    """The end of a cluster's job: its worker's return value (None if it was killed), and a description."""

    returned: str | None
    how: str


class Cluster(Protocol):
    """Something that starts jobs on machines."""

    def submit(self, payloads: Sequence[Payload]) -> list[Handle]:
        """Start `run_payload` for each payload; return handles of the jobs."""
        ...

    def ended(self, handles: Mapping[str, Handle]) -> dict[str, JobEnd]:
        """Return the ends of those jobs that have ended, by name."""
        ...

    def cancel(self, handle: Handle) -> None:
        """End a job at once."""

    def forget(self, handle: Handle) -> None:
        """Free everything of an ended job."""

    def close(self) -> None:
        """Free everything."""


@dataclass
class ClusterJob:
    """A submitted job."""

    job: Job
    attempt: str
    handle: Handle
    last: Event | None = None
    has_spoken: bool = False


class ClusterExecutor:
    """Jobs on the machines of a cluster."""

    def __init__(self, cluster: Cluster, slots: int, study: Path, lease_seconds: float, shared: bool = False) -> None:
        self.slots = slots
        self.sharing: Mapping[str, object] = {"jobs": slots, "per_device": None, "shared": shared}
        self.cluster, self.lease_seconds = cluster, lease_seconds
        self._mailbox = SchedulerMailbox(study.resolve())
        self._due: list[Job] = []  # submitted together, in one call to the cluster
        self._jobs: dict[str, ClusterJob] = {}
        self._leaving: dict[str, Handle] = {}  # by attempt: jobs whose run has ended, but not their process
        self._skewed: set[str] = set()
        self._attempts = self._silent = 0
        self._has_heard = False
        self._looked = self._look_seconds = 0.0

    def start(self, job: Job) -> None:
        """Submit a job, at the next call of `events`."""
        self._due.append(replace(job, root=job.root.resolve()))

    def has_room(self, job: Job, resident_bytes: int, device_bytes: int) -> bool:
        """Return True: the cluster manages its memory."""
        return True

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a job to write a checkpoint and end."""
        if run_id in self._jobs:
            self._mailbox.stop(self._jobs[run_id].attempt, reason)

    @property
    def running(self) -> list[str]:
        """The submitted jobs and those that are due."""
        return [*self._jobs, *(job.run_id for job in self._due)]

    def events(self, timeout: float) -> Iterable[Event]:
        """Yield the events of all workers. Raises an error that makes further jobs pointless."""
        self._submit()
        pause = max(timeout, min(POLL_SHARE * self._look_seconds, PAUSE_SECONDS))
        time.sleep(max(0.0, self._looked + pause - time.monotonic()))
        began = time.monotonic()
        ends = self.cluster.ended({run_id: job.handle for run_id, job in self._jobs.items()})
        for attempt in self.cluster.ended(self._leaving):
            self.cluster.forget(self._leaving.pop(attempt))
        for run_id in list(self._jobs):  # events are read after the ends, so that none is lost
            yield from self._events_of(run_id, ends.get(run_id))
        self._looked = time.monotonic()
        self._look_seconds = self._looked - began

    def _submit(self) -> None:
        if not self._due:
            return
        jobs, self._due = self._due, []
        attempts = [f"{job.run_id}.{self._attempts + i}" for i, job in enumerate(jobs)]
        self._attempts += len(jobs)
        payloads = [
            payload_of(job, a, self._mailbox.folder, self.lease_seconds) for job, a in zip(jobs, attempts, strict=True)
        ]
        for job, attempt, handle in zip(jobs, attempts, self.cluster.submit(payloads), strict=True):
            self._jobs[job.run_id] = ClusterJob(job, attempt, handle)

    def _events_of(self, run_id: str, end: JobEnd | None) -> Iterable[Event]:
        job = self._jobs[run_id]
        for event in self._mailbox.new_events(job.attempt, run_id):
            job.has_spoken = self._has_heard = True
            self._silent = 0
            if isinstance(event, WorkerStarted):
                self._check_clock(event)
                continue
            job.last = event
            yield event
        has_ended = isinstance(job.last, (*LAST_EVENTS, WorkerDied))
        if end is None and not has_ended:
            return
        if end is not None and end.returned:
            raise MissingError(end.returned, "Give all machines the same folder and the same versions")
        del self._jobs[run_id]
        self._mailbox.forget(job.attempt)
        if end is None:
            self._leaving[job.attempt] = job.handle
        else:
            self.cluster.forget(job.handle)
        if not has_ended and end is not None:
            self._check_silence(job, end)
            yield WorkerDied(run_id, end.how)

    def _check_clock(self, worker: WorkerStarted) -> None:
        """Log, once per machine, a clock that differs from this one's. Leases count beats and depend on no clock, but
        run.json and logs show the machine's time."""
        difference = worker.clock - time.time()
        if abs(difference) > SKEW_SECONDS and worker.host not in self._skewed:
            self._skewed.add(worker.host)
            how = f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} this machine's"
            log.info(f"the clock of {worker.host} is {how}: only the times in logs and run.json depend on it")

    def _check_silence(self, job: ClusterJob, end: JobEnd) -> None:
        """Raise ConfigError if several jobs in a row have ended without any event: that is no fault of the runs."""
        self._silent += not job.has_spoken
        if self._silent >= SILENT_ENDS and not self._has_heard:
            raise ConfigError(
                f"{self._silent} jobs have ended before their workers could write into {self._mailbox.folder.parent}; "
                f"the last one {end.how}",
                "All machines need the shared results folder and an installed optbench",
            )

    def close(self) -> None:
        """Stop the running jobs; cancel those that have not begun or don't end in time."""
        self._due.clear()
        for run_id, job in list(self._jobs.items()):
            if job.has_spoken:
                self.stop(run_id)
            else:
                self.cluster.cancel(job.handle)
                del self._jobs[run_id]
        now = time.monotonic()
        try:
            while (self._jobs and time.monotonic() < now + PATIENCE_SECONDS) or (
                self._leaving and time.monotonic() < now + LEAVING_SECONDS
            ):
                for _ in self.events(0.2):
                    pass
        finally:
            for handle in (*(job.handle for job in self._jobs.values()), *self._leaving.values()):
                self.cluster.cancel(handle)
            self._jobs.clear()
            self._mailbox.close()
            self.cluster.close()
