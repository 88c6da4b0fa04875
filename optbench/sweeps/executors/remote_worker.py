"""The worker's side on another machine: a process that Slurm or Ray starts for one run. It exchanges messages with its
scheduler through the results folder (mailbox.py) and stops when asked to, or when the scheduler has gone."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypedDict

import optbench
from optbench.sweeps.executors.base import SCHEDULER_LOCK, Event, Job, RunProgress, WorkerDied, WorkerStarted
from optbench.sweeps.executors.mailbox import read_pulse, write_event
from optbench.sweeps.executors.worker import serve, write_output_to

LISTEN_SECONDS = 1.0  # between two looks at the pulse
PROGRESS_SECONDS = 5.0  # between two RunProgress events: each opens a file
MISSES = 3  # of the pulse, before its scheduler counts as gone
COPIED = ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL")  # besides OPTBENCH_*; never a key


class Payload(TypedDict):
    """The input of a worker, as plain data, since another version of optbench may read it."""

    versions: dict[str, str]
    host: str
    cwd: str
    environment: dict[str, str]
    folder: str
    study: str
    attempt: str
    run_id: str
    lease_seconds: float
    job: dict[str, Any]


def payload_of(job: Job, attempt: str, folder: Path, lease_seconds: float) -> Payload:
    """Return the payload of a job; `folder` is the mailbox's."""
    names = [name for name in os.environ if name.startswith("OPTBENCH_") or name in COPIED]
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
        "job": job.to_plain(),
    }


def versions() -> dict[str, str]:
    """Return the versions that must be equal on all machines, so that the numbers are."""
    return {"optbench": optbench.__version__, "torch": importlib.metadata.version("torch").partition("+")[0]}


def run_payload(payload: Payload) -> str:
    """Run one job; the body of a cluster's job. Return why it could not begin, or ""."""
    problem = worker_problem(payload)
    if problem:
        return problem
    with suppress(OSError):  # for relative paths in the configuration; most runs need none
        os.chdir(payload["cwd"])
    os.environ.update(payload["environment"])
    job = Job.from_plain(payload["job"])
    write_output_to(job.log)
    channel = MailboxChannel(payload)
    channel.send(WorkerStarted(job.run_id, platform.node(), os.getpid(), time.time()))
    channel.handle_signals()
    threading.Thread(target=channel.listen, daemon=True).start()
    serve(job, channel, patience_seconds=2 * payload["lease_seconds"])
    return ""


def worker_problem(payload: Payload) -> str:
    """Return why this machine cannot work for that scheduler: other versions, no shared folder, no shared locks; or "".

    If the scheduler has gone, its folder is missing too, and nobody reads the answer."""
    ours, theirs, here = versions(), payload["versions"], platform.node()
    for name in theirs:
        if ours.get(name) != theirs[name]:
            return f"the worker on {here} has {name} {ours.get(name)}, the scheduler {theirs[name]}"
    folder = Path(payload["folder"])
    deadline = time.monotonic() + min(30.0, payload["lease_seconds"])  # a network disk may show a folder late
    while read_pulse(folder) is None:
        if time.monotonic() > deadline:
            return f"the worker on {here} does not see {folder}: the results folder must be shared by all machines"
        time.sleep(0.5)
    if here != payload["host"] and not are_locks_shared(Path(payload["study"]), folder, payload["lease_seconds"]):
        return (
            f"locks in {payload['study']} are not shared between {payload['host']} and {here}: "
            "two processes could write one run"
        )
    return ""


def are_locks_shared(study: Path, folder: Path, lease_seconds: float) -> bool:
    """Return False if this machine can take the lock of a scheduler whose pulse continues."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(study / SCHEDULER_LOCK, timeout=0):
            pass
    except (Timeout, OSError):
        return True
    before, deadline = read_pulse(folder), time.monotonic() + lease_seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = read_pulse(folder)
        if before is None or now is None:
            return True  # the scheduler has gone, and its lock with it
        if now[0] > before[0]:
            return False
    return True


class MailboxChannel:
    """A Channel through the results folder."""

    def __init__(self, payload: Payload) -> None:
        self.folder, self.attempt = Path(payload["folder"]), payload["attempt"]
        self.run_id, self.lease_seconds = payload["run_id"], payload["lease_seconds"]
        self.reason: str | None = None
        self.expired = ""
        """The reason why this job ended before its run: the time limit or a preemption."""
        self._sent = 0.0

    def send(self, event: Event) -> None:
        """Send an event; RunProgress only every PROGRESS_SECONDS."""
        now = time.monotonic()
        if isinstance(event, RunProgress):
            if now - self._sent < PROGRESS_SECONDS:
                return
            self._sent = now
        write_event(self.folder, self.attempt, event)

    def interruption(self) -> Event | None:
        """Return the event of a run that something other than the scheduler stopped."""
        return WorkerDied(self.run_id, self.expired) if self.expired else None

    def listen(self) -> None:
        """Wait until the scheduler asks the job to stop or has gone, then stop this process's run."""
        count, grown, misses = -1, time.monotonic(), 0
        while self.reason is None:
            time.sleep(LISTEN_SECONDS)
            pulse = read_pulse(self.folder)
            misses = misses + 1 if pulse is None else 0
            if pulse is not None and pulse[0] != count:
                count, grown = pulse[0], time.monotonic()
            if pulse is not None and self.attempt in pulse[1]:
                self.reason = pulse[1][self.attempt]
            elif misses >= MISSES or time.monotonic() - grown > self.lease_seconds:
                self.reason = ""
        os.kill(os.getpid(), signal.SIGTERM)

    def handle_signals(self) -> None:
        """Turn the cluster's warning of the time limit (Slurm: SIGUSR2) into a checkpoint and an end, and remove the
        cluster library's own handler of SIGTERM."""

        def expire(number: int, frame: FrameType | None) -> None:
            self.expired = "was ended by its time limit or a preemption"
            os.kill(os.getpid(), signal.SIGTERM)

        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGUSR2, expire)
