"""The worker's side: one run in a process of its own. It reports its progress to the scheduler, and stops when asked
to, or when the scheduler has gone."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optbench.config.notices import listen
from optbench.errors import Interrupted, Locked, OptbenchError, ProcessLost, first_line
from optbench.records import Record, Split
from optbench.store import RunFolder, open_for_writing
from optbench.sweeps.executors.base import (
    Event,
    Job,
    RunBusy,
    RunEnded,
    RunEvaluated,
    RunNotice,
    RunProgress,
    RunRefused,
    RunStarted,
    RunStopped,
    WorkerDied,
)
from optbench.sweeps.executors.fork_server import OURS, SAFE_PATH

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from optbench.contracts import Sink

PROGRESS_SECONDS = 0.5  # between two RunProgress events
BUSY_SECONDS = 1.0  # between two looks at a run that another process holds


class Channel(Protocol):
    """A worker's connection to its scheduler. Its failures never affect the run."""

    reason: str | None
    """Why the scheduler stopped the run ("" without a reason); None if it didn't."""

    def send(self, event: Event) -> None:
        """Send an event; do nothing if the scheduler has gone."""

    def interruption(self) -> Event | None:
        """Return the event of a run that something other than the scheduler stopped."""
        ...


class PipeChannel:
    """A Channel through a pipe to a scheduler on this machine."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.reason: str | None = None

    def send(self, event: Event) -> None:
        """Send an event; do nothing if the scheduler has gone."""
        with suppress(OSError):
            self.pipe.send(event)

    def interruption(self) -> Event | None:
        """Return None: nothing but the scheduler stops a run."""
        return None

    def listen(self) -> None:
        """Wait until the scheduler asks the run to stop or has gone, then stop this process's run."""
        try:
            self.reason = self.pipe.recv()
        except (EOFError, OSError):
            self.reason = ""
        os.kill(os.getpid(), signal.SIGTERM)


class EventSink:
    """A Sink that sends a run's progress to the scheduler."""

    def __init__(self, run_id: str, channel: Channel) -> None:
        self.run_id, self.channel = run_id, channel
        self.sent, self.evaluations = time.monotonic(), 0

    def start(self, run: Mapping[str, Any]) -> None:
        """Send RunStarted; count the evaluations of earlier sessions."""
        resumed = (run.get("resumed_from_steps") or [None])[-1]
        self.evaluations = (resumed or 0) // run["config"]["eval_every"]
        unread = " ".join(run.get("unread", ()))
        self.channel.send(RunStarted(self.run_id, run["metric"], run["direction"], resumed, unread))

    def tick(self, step: int) -> None:
        """Send RunProgress, every PROGRESS_SECONDS."""
        if time.monotonic() - self.sent >= PROGRESS_SECONDS:
            self.sent = time.monotonic()
            self.channel.send(RunProgress(self.run_id, step))

    def log(self, record: Record) -> None:
        """Send RunEvaluated for a record on validation."""
        if record.split is Split.VALIDATION:
            self.evaluations += 1
            value = record.values.get("val_metric")
            self.channel.send(RunEvaluated(self.run_id, record.step, value, self.evaluations))

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Do nothing: the scheduler reads the result from the store."""


def work(pipe: Connection, job: Job, environment: Mapping[str, str]) -> None:
    """Run one job; the body of a worker process."""
    begin_process(job.log, environment)
    channel = PipeChannel(pipe)
    threading.Thread(target=channel.listen, daemon=True).start()
    serve(job, channel)


def begin_process(log: Path, environment: Mapping[str, str]) -> None:
    """Prepare a worker process, with its output in a file. Ctrl-C in the terminal does not reach it: its scheduler
    decides."""
    with suppress(OSError):
        os.setpgid(0, 0)
    os.environ.update(environment)
    if os.environ.get(SAFE_PATH) == OURS:  # it was for the fork server alone
        del os.environ[SAFE_PATH]
    write_output_to(log)


def serve(job: Job, channel: Channel, patience_seconds: float = 0.0) -> None:
    """Run a job and send how it ended. Wait this long for another process that holds the run."""
    deadline = time.monotonic() + patience_seconds
    while channel.reason is None and time.monotonic() < deadline and is_busy(job):
        time.sleep(BUSY_SECONDS)
    try:
        run(job, channel)
        channel.send(RunEnded(job.run_id))
    except Interrupted:
        channel.send(channel.interruption() or RunStopped(job.run_id, channel.reason or ""))
    except Locked:
        channel.send(RunBusy(job.run_id))
    except ProcessLost as error:
        print(f"optbench: {error}", file=sys.stderr)
        channel.send(WorkerDied(job.run_id, f"ended ({first_line(error)})"))
    except OptbenchError as error:
        print(f"optbench: {error}", file=sys.stderr)
        channel.send(RunRefused(job.run_id, error))
    except BaseException:
        traceback.print_exc()
        raise


def is_busy(job: Job) -> bool:
    """Return True if another process holds the run now."""
    folder = RunFolder(job.root, job.study, job.run_id)
    try:
        with folder.locked():
            return False
    except Locked:
        return True
    except OptbenchError:  # the run itself will raise it
        return False


def run(job: Job, channel: Channel) -> None:
    """Train, with the sinks of the configuration and one for the scheduler."""
    from optbench.sessions.execute import execute
    from optbench.sessions.sinks import trackers_for

    def sinks(folder: RunFolder) -> list[Sink]:
        return [EventSink(job.run_id, channel), *trackers_for(job.config, folder)]

    listen(lambda message: channel.send(RunNotice(job.run_id, message)))
    folder = RunFolder(job.root, job.study, job.run_id)
    force = job.force and folder.result() is not None  # a job that is started once more resumes
    execute(job.config, job.root, study=job.study, stage=job.stage, force=force, sinks=sinks, sweep=job.metadata)


def write_output_to(log: Path) -> None:
    """Append everything that this process prints or logs to a file."""
    with suppress(OSError):  # the run itself reports a folder that cannot be written
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = open_for_writing(log, os.O_APPEND)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.close(handle)
        print(time.strftime("-- %Y-%m-%d %H:%M:%S %z, process"), os.getpid(), file=sys.stderr, flush=True)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("optbench").setLevel(logging.INFO)
