"""The worker's side: one run in a process of its own, which tells the scheduler how it goes and stops when it is told
to, or when the scheduler is gone."""

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
from typing import Any

from optbench.contracts import Sink
from optbench.errors import Interrupted, Locked, OptbenchError
from optbench.records import Record, Split
from optbench.store import RunFolder
from optbench.sweeps.executors.base import Began, Busy, Ended, Event, Job, Measured, Progress, Refused, Stopped

TELL_SECONDS = 0.5  # between two signs of life
BUSY_SECONDS = 1.0  # between two looks at a run that another process is at


class Wire:
    """The pipe to the scheduler. Nothing that happens to it touches the run."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.reason: str | None = None

    def tell(self, event: Event) -> None:
        """Send an event; a scheduler that is gone hears nothing."""
        with suppress(OSError):
            self.pipe.send(event)

    def stopped(self) -> Event | None:
        """What a run that was stopped has to say, where it is not that the scheduler asked for it."""
        return None

    def listen(self) -> None:
        """Wait for the word to stop, or for the scheduler's end; then ask this process's own run to stop."""
        try:
            self.reason = self.pipe.recv()
        except (EOFError, OSError):
            self.reason = ""
        os.kill(os.getpid(), signal.SIGTERM)


class Teller(Sink):
    """A Sink that tells the scheduler."""

    def __init__(self, run_id: str, wire: Wire) -> None:
        self.run_id, self.wire = run_id, wire
        self.told, self.evaluations = time.monotonic(), 0

    def start(self, run: Mapping[str, Any]) -> None:
        """Training begins; evaluations of earlier sessions count."""
        resumed = (run.get("resumed_from_steps") or [None])[-1]
        self.eval_every = run["config"]["eval_every"]
        self.evaluations = (resumed or 0) // self.eval_every
        self.wire.tell(Began(self.run_id, run["metric"], run["direction"], resumed))

    def tick(self, step: int) -> None:
        """A sign of life between records."""
        if time.monotonic() - self.told >= TELL_SECONDS:
            self.told = time.monotonic()
            self.wire.tell(Progress(self.run_id, step))

    def log(self, record: Record) -> None:
        """An evaluation on validation is told; other records are not."""
        if record.split is Split.VALIDATION:
            self.evaluations += 1
            value = record.values.get("val_metric")
            self.wire.tell(Measured(self.run_id, record.step, value, self.evaluations))

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """The scheduler reads the result from the store."""


def work(job: Job, pipe: Any, environment: Mapping[str, str]) -> None:
    """Do one run; the body of a worker process. The terminal's Ctrl-C does not reach it: its scheduler decides."""
    with suppress(OSError):
        os.setpgid(0, 0)
    os.environ.update(environment)
    write_output_to(job.log)
    wire = Wire(pipe)
    threading.Thread(target=wire.listen, daemon=True).start()
    serve(job, wire)


def serve(job: Job, wire: Any, patience_seconds: float = 0.0) -> None:
    """The run, and its end told. A run that another process is at is waited for so long."""
    give_up = time.monotonic() + patience_seconds
    while wire.reason is None and time.monotonic() < give_up and is_busy(job):
        time.sleep(BUSY_SECONDS)
    try:
        done(job, wire)
        wire.tell(Ended(job.run_id))
    except Interrupted:
        wire.tell(wire.stopped() or Stopped(job.run_id, wire.reason or ""))
    except Locked:
        wire.tell(Busy(job.run_id))
    except OptbenchError as error:
        print(f"optbench: {error}", file=sys.stderr)
        wire.tell(Refused(job.run_id, error))
    except BaseException:
        traceback.print_exc()
        raise


def is_busy(job: Job) -> bool:
    """Whether another process is at the run now."""
    folder = RunFolder(job.root, job.study, job.run_id)
    try:
        with folder.locked():
            return False
    except Locked:
        return True
    except OptbenchError:  # the run itself says so
        return False


def done(job: Job, wire: Wire) -> None:
    """The run, with the sinks that its configuration asks for."""
    from optbench.sessions.session import execute
    from optbench.sessions.sinks import trackers_for

    def sinks(folder: RunFolder) -> list[Any]:
        return [Teller(job.run_id, wire), *trackers_for(job.config, folder)]

    execute(
        job.config,
        job.root,
        study=job.study,
        stage=job.stage,
        force=job.force,
        sinks=sinks,
        sweep=job.facts,
    )


def write_output_to(log: Path) -> None:
    """Everything that this process prints goes to the end of a file."""
    with suppress(OSError):  # a folder that cannot be written is reported by the run itself
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.close(handle)
        print(time.strftime("-- %Y-%m-%d %H:%M:%S %z, process"), os.getpid(), file=sys.stderr, flush=True)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("optbench").setLevel(logging.INFO)
