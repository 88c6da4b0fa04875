"""The worker's side on another machine: a run in a process of its own, begun by Slurm or Ray, which speaks with its
scheduler through the results folder (mailbox.py) and stops when it is told to, or when the scheduler is gone."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import platform
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optbench
from optbench.sweeps.executors.base import Died, Event, Job, Progress
from optbench.sweeps.executors.mailbox import read_pulse, write_news
from optbench.sweeps.executors.worker import serve, write_output_to
from optbench.sweeps.scheduler import study_file

LISTEN_SECONDS = 1.0  # between two looks at the pulse
PROGRESS_SECONDS = 5.0  # between two signs of life: each is a file that is opened
LOOKS = 3  # at a pulse that is not there, before its scheduler counts as gone
CARRIED = ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL")  # and all of optbench's; never a key


@dataclass(frozen=True)
class Hello(Event):
    """A worker has begun."""

    host: str
    process: int
    clock: float = 0.0
    """Seconds since 1970, as its machine says."""


def parcel_of(job: Job, attempt: str, folder: Path, lease_seconds: float) -> dict[str, Any]:
    """All that a worker needs, in plain data: it is read by an optbench that may turn out to be another."""
    names = [name for name in os.environ if name.startswith("OPTBENCH_") or name in CARRIED]
    return {
        "versions": versions(),
        "host": platform.node(),
        "cwd": str(Path.cwd()),
        "environment": {name: os.environ[name] for name in names},
        "folder": str(folder),
        "study": str(job.root / job.study),
        "attempt": attempt,
        "run_id": job.run_id,
        "lease_seconds": lease_seconds,
        "job": pickle.dumps(job),
    }


def versions() -> dict[str, str]:
    """What must be the same wherever runs of a study run, for their numbers to be."""
    return {"optbench": optbench.__version__, "torch": importlib.metadata.version("torch").partition("+")[0]}


def work_elsewhere(parcel: dict[str, Any]) -> str:
    """Do one run; the body of a job of a cluster. Returns why it was not even begun, or ""."""
    problem = obstacle(parcel)
    if problem:
        return problem
    with suppress(OSError):  # where relative paths of the configuration lead; runs without any need none
        os.chdir(parcel["cwd"])
    os.environ.update(parcel["environment"])
    job: Job = pickle.loads(parcel["job"])
    write_output_to(job.log)
    wire = Post(parcel)
    wire.tell(Hello(job.run_id, platform.node(), os.getpid(), time.time()))
    wire.mind_signals()
    threading.Thread(target=wire.listen, daemon=True).start()
    serve(job, wire, patience_seconds=2 * parcel["lease_seconds"])
    return ""


def obstacle(parcel: dict[str, Any]) -> str:
    """What keeps this machine from working for that scheduler: other versions, no common folder, no common locks.

    Where the scheduler is gone its folder is missing too, and nobody reads the answer."""
    ours, theirs, here = versions(), parcel["versions"], platform.node()
    for name in theirs:
        if ours.get(name) != theirs[name]:
            return f"the worker on {here} has {name} {ours.get(name)}, the scheduler {theirs[name]}"
    folder = Path(parcel["folder"])
    give_up = time.monotonic() + min(30.0, parcel["lease_seconds"])  # a machine's picture of a folder may be old
    while read_pulse(folder) is None:
        if time.monotonic() > give_up:
            return f"the worker on {here} does not see {folder}: the results folder must be shared by all machines"
        time.sleep(0.5)
    if here != parcel["host"] and not locks_hold(Path(parcel["study"]), folder, parcel["lease_seconds"]):
        return f"locks in {parcel['study']} do not hold between {parcel['host']} and {here}: two could write one run"
    return ""


def locks_hold(study: Path, folder: Path, lease_seconds: float) -> bool:
    """Whether the lock that the scheduler holds is seen to be held from here. One that can be had, of a scheduler whose
    pulse goes on, is none."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(study / study_file.LOCK, timeout=0):
            pass
    except (Timeout, OSError):
        return True
    before, give_up = read_pulse(folder), time.monotonic() + lease_seconds
    while time.monotonic() < give_up:
        time.sleep(0.5)
        now = read_pulse(folder)
        if before is None or now is None:
            return True  # it is gone: nobody held it
        if now[0] > before[0]:
            return False
    return True


class Post:
    """The way to the scheduler, in the place of a local worker's pipe. Nothing that happens to it touches the run."""

    def __init__(self, parcel: dict[str, Any]) -> None:
        self.folder, self.attempt = Path(parcel["folder"]), parcel["attempt"]
        self.run_id, self.lease_seconds = parcel["run_id"], parcel["lease_seconds"]
        self.reason: str | None = None
        self.expired = ""
        """What has ended this job before its run: the time limit, a preemption."""
        self._told = 0.0

    def tell(self, event: Event) -> None:
        """Send an event; signs of life only now and then."""
        now = time.monotonic()
        if isinstance(event, Progress):
            if now - self._told < PROGRESS_SECONDS:
                return
            self._told = now
        write_news(self.folder, self.attempt, event)

    def stopped(self) -> Event | None:
        """What a run that was stopped has to say, where it is not that the scheduler asked for it."""
        return Died(self.run_id, self.expired) if self.expired else None

    def listen(self) -> None:
        """Wait for the word to stop, or for the scheduler's end; then ask this process's own run to stop."""
        count, grown, missing = -1, time.monotonic(), 0
        while self.reason is None:
            time.sleep(LISTEN_SECONDS)
            pulse = read_pulse(self.folder)
            missing = missing + 1 if pulse is None else 0
            if pulse is not None and pulse[0] != count:
                count, grown = pulse[0], time.monotonic()
            if pulse is not None and self.attempt in pulse[1]:
                self.reason = pulse[1][self.attempt]
            elif missing >= LOOKS or time.monotonic() - grown > self.lease_seconds:
                self.reason = ""
        os.kill(os.getpid(), signal.SIGTERM)

    def mind_signals(self) -> None:
        """The cluster's notice that time is up (Slurm: SIGUSR2 ahead of the limit) becomes a checkpoint and an end, and
        nothing of the cluster's library stands in the way of a SIGTERM."""

        def expire(number: int, frame: Any) -> None:
            self.expired = "was ended by its time limit or a preemption"
            os.kill(os.getpid(), signal.SIGTERM)

        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGUSR2, expire)
