"""The executor of many machines: a cluster (Slurm, Ray) that starts and ends jobs, and the results folder that all
machines share, through which they speak. Runs, retries and results are what they are on one machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from optbench.errors import ConfigError, MissingError
from optbench.sweeps.executors.base import Died, Event, Job
from optbench.sweeps.executors.local import is_last
from optbench.sweeps.executors.mailbox import Desk
from optbench.sweeps.executors.remote_worker import Hello, parcel_of

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # after which a job that was asked to stop is cancelled
LEAVING_SECONDS = 10.0  # that the process of a run which is over may take to end
SILENT_ENDS = 3  # of jobs one after the other, before a word of any worker: then something is wrong with all of them
POLL_SHARE = 20.0  # a look at all jobs takes at most one part in so many of the scheduler's time,
SKEW_SECONDS = 120.0  # between the clocks of two machines: a word may be as old as a minute
PAUSE_SECONDS = 5.0  # unless it would then be looked for less often than this


@dataclass(frozen=True)
class Gone:
    """How a job of a cluster ended: what its worker returned (None: nothing, it was killed), and in words."""

    said: str | None
    how: str


class Cluster(Protocol):
    """What starts jobs on machines."""

    def submit(self, parcels: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Begin a job for each parcel, which is the argument of `work_elsewhere`; returns handles."""

    def ended(self, handles: Mapping[str, Any]) -> dict[str, Gone]:
        """Those of the handles, by name, whose jobs are over."""

    def cancel(self, handle: Any) -> None:
        """End a job at once."""

    def forget(self, handle: Any) -> None:
        """A job is over, and all is known of it."""

    def close(self) -> None:
        """Give everything back."""


@dataclass
class Place:
    """A job that is under way."""

    job: Job
    attempt: str
    handle: Any
    last: Event | None = None
    spoke: bool = False


class ElsewhereExecutor:
    """Jobs on the machines of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        slots: int,
        study: Path,
        lease_seconds: float,
        shared: bool = False,
    ) -> None:
        self.slots = slots
        self.sharing = {"jobs": slots, "per_device": None, "shared": shared}
        self.cluster, self.lease_seconds = cluster, lease_seconds
        self._desk = Desk(study.resolve())
        self._due: list[Job] = []  # submitted together: one call to the cluster
        self._places: dict[str, Place] = {}
        self._leaving: dict[str, Any] = {}  # attempt: handle of a job whose run is over, and whose process is not
        self._skewed = set[str]()
        self._attempts = self._silent = 0
        self._heard = False
        self._looked = self._look_seconds = 0.0

    def start(self, job: Job) -> None:
        """Begin a job, with the next look at events."""
        self._due.append(replace(job, root=job.root.resolve()))

    def has_room(self, job: Job, resident_bytes: int) -> bool:
        """The cluster knows."""
        return True

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a job for a checkpoint and its end."""
        if run_id in self._places:
            self._desk.stop(self._places[run_id].attempt, reason)

    @property
    def running(self) -> list[str]:
        """Jobs that are under way."""
        return [*self._places, *(job.run_id for job in self._due)]

    def events(self, timeout: float) -> Iterable[Event]:
        """What all workers have said. Raises what makes every further job senseless."""
        self._submit()
        pause = max(timeout, min(POLL_SHARE * self._look_seconds, PAUSE_SECONDS))
        time.sleep(max(0.0, self._looked + pause - time.monotonic()))
        began = time.monotonic()
        gone = self.cluster.ended({run_id: place.handle for run_id, place in self._places.items()})
        for attempt in self.cluster.ended(self._leaving):
            self.cluster.forget(self._leaving.pop(attempt))
        for run_id in list(self._places):  # what a job said is read after its end was seen: nothing is lost
            yield from self._events_of(run_id, gone.get(run_id))
        self._looked = time.monotonic()
        self._look_seconds = self._looked - began

    def _submit(self) -> None:
        if not self._due:
            return
        jobs, self._due = self._due, []
        attempts = [f"{job.run_id}.{self._attempts + i}" for i, job in enumerate(jobs)]
        self._attempts += len(jobs)
        parcels = [
            parcel_of(job, a, self._desk.folder, self.lease_seconds) for job, a in zip(jobs, attempts, strict=True)
        ]
        for job, attempt, handle in zip(jobs, attempts, self.cluster.submit(parcels), strict=True):
            self._places[job.run_id] = Place(job, attempt, handle)

    def _events_of(self, run_id: str, gone: Gone | None) -> Iterable[Event]:
        place = self._places[run_id]
        for event in self._desk.news(place.attempt):
            place.spoke = self._heard = True
            self._silent = 0
            if isinstance(event, Hello):
                self._mind_clock(event)
                continue
            place.last = event
            yield event
        over = is_last(place.last) or isinstance(place.last, Died)
        if gone is None and not over:
            return
        if gone is not None and gone.said:
            raise MissingError(gone.said, "Give all machines the same folder and the same versions")
        del self._places[run_id]
        self._desk.forget(place.attempt)
        if gone is None:
            self._leaving[place.attempt] = place.handle
        else:
            self.cluster.forget(place.handle)
        if not over and gone is not None:
            self._mind_silence(place, gone)
            yield Died(run_id, gone.how)

    def _mind_clock(self, hello: Hello) -> None:
        """A notice, once for a machine, where its clock is not this one's: leases count beats and depend on no clock,
        but run.json and logs tell its time."""
        apart = hello.clock - time.time()
        if abs(apart) > SKEW_SECONDS and hello.host not in self._skewed:
            self._skewed.add(hello.host)
            how = f"{abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
            log.info(f"the clock of {hello.host} is {how}: nothing depends on it but the times in logs and run.json")

    def _mind_silence(self, place: Place, gone: Gone) -> None:
        """ConfigError where job after job ends and none has ever said a word: no fault of the runs'."""
        self._silent += not place.spoke
        if self._silent >= SILENT_ENDS and not self._heard:
            raise ConfigError(
                f"{self._silent} jobs have ended before their workers could write into {self._desk.folder.parent}; "
                f"the last one {gone.how}",
                "The results folder must be shared by all machines, and optbench be installed on them",
            )

    def close(self) -> None:
        """Stop what runs, cancel what does not stop or has not begun."""
        self._due.clear()
        for run_id, place in list(self._places.items()):
            if place.spoke:
                self.stop(run_id)
            else:
                self.cluster.cancel(place.handle)
                del self._places[run_id]
        now = time.monotonic()
        try:
            while (self._places and time.monotonic() < now + PATIENCE_SECONDS) or (
                self._leaving and time.monotonic() < now + LEAVING_SECONDS
            ):
                for _ in self.events(0.2):
                    pass
        finally:
            for handle in (*(place.handle for place in self._places.values()), *self._leaving.values()):
                self.cluster.cancel(handle)
            self._places.clear()
            self._desk.close()
            self.cluster.close()
