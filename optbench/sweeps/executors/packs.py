"""Several runs of one cell in one worker process: `optbench sweep --pack N`. sessions/pack.py trains them."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sweeps.executors.base import Event, Job, WorkerDied
from optbench.sweeps.executors.worker import begin_process, serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from optbench.sessions.pack import Member


def require_packable(configs: Sequence[RunConfig]) -> None:
    """Raise ConfigError for runs that cannot share a process with others."""
    for config in configs:
        reasons = {
            "a training script runs in a process of its own": config.has_own_session,
            f"devices={config.devices}: the ranks of a run have processes of their own": (config.devices or 1) > 1,
            "max_seconds would count the time of the other runs": config.max_seconds is not None,
            "micro_batch=auto measures the memory of a run alone": config.micro_batch == "auto",
        }
        for reason, holds in reasons.items():
            if holds:
                raise ConfigError(f"--pack: {reason}", "Leave --pack out")


def same_pack(one: Job, other: Job) -> bool:
    """Return True if two jobs are trials or seeds of one cell, in the same stage."""
    return one.stage == other.stage and one.metadata.get("cell") == other.metadata.get("cell")


class MemberChannel:
    """A Channel of one run, through the pipe that its pack shares."""

    def __init__(self, pipe: Connection, lock: threading.Lock) -> None:
        self.pipe, self.lock = pipe, lock
        self.reason: str | None = None

    def send(self, event: Event) -> None:
        """Send an event; do nothing if the scheduler has gone."""
        with suppress(OSError), self.lock:
            self.pipe.send(event)

    def interruption(self) -> Event | None:
        """Return None: nothing but the scheduler stops a run."""
        return None


def work_pack(pipe: Connection, jobs: Sequence[Job], environment: Mapping[str, str]) -> None:
    """Run several jobs; the body of a worker process."""
    begin_process(jobs[0].log, environment)
    from optbench.sessions.pack import Pack

    for job in jobs[1:]:
        with suppress(OSError):
            job.log.write_text(f"Its output is in that of its pack: {jobs[0].log.name}\n", encoding="utf-8")
    pack, lock = Pack(len(jobs)), threading.Lock()
    channels = {job.run_id: MemberChannel(pipe, lock) for job in jobs}
    members = dict(zip(channels, pack.members, strict=True))
    threading.Thread(target=obey, args=(pipe, channels, members), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop_all(number, members))
    pack.run([functools.partial(serve_member, job, channels[job.run_id]) for job in jobs])


def serve_member(job: Job, channel: MemberChannel) -> None:
    """Run a job and send how it ended; an error of ours ends this run's part of the process alone."""
    try:
        serve(job, channel)
    except BaseException as error:  # its traceback is printed
        channel.send(WorkerDied(job.run_id, f"ended with {type(error).__name__}"))


def stop_all(number: int, members: Mapping[str, Member]) -> None:
    """Stop every run after its step. A second signal ends the process."""
    if any(member.stopped_by for member in members.values()):
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    for member in members.values():
        member.stop(number)


def obey(pipe: Connection, channels: Mapping[str, MemberChannel], members: Mapping[str, Member]) -> None:
    """Stop the runs that the scheduler names as (run_id, reason); all of them once it has gone."""
    while True:
        try:
            run_id, reason = pipe.recv()
        except (EOFError, OSError):
            for channel in channels.values():
                channel.reason = channel.reason or ""
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if run_id in members:
            channels[run_id].reason = reason
            members[run_id].stop(signal.SIGTERM)
