"""Messages between a scheduler and workers on other machines, through the results folder that they share.

    results/STUDY/.workers/SESSION/     of one scheduler, deleted at its end
        pulse.json                      a count that grows while the scheduler lives; jobs to stop, with reasons
        ATTEMPT.events                  a worker's events, one per line

Clocks are never compared: a scheduler lives if its count has grown, by the reader's own clock. A file is closed after
every line, which is when other machines may see it (NFS: close-to-open)."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from optbench.store import read_json, storage_errors
from optbench.sweeps.executors.base import Event

FOLDER, PULSE = ".workers", "pulse.json"
BEAT_SECONDS = 2.0  # between two counts; far below the lease, after which workers give a scheduler up


class SchedulerMailbox:
    """The scheduler's side. A thread writes the pulse, so that a busy scheduler is not taken for a dead one."""

    def __init__(self, study: Path) -> None:
        self.folder = study / FOLDER / uuid.uuid4().hex[:12]
        shutil.rmtree(study / FOLDER, ignore_errors=True)  # of killed schedulers; their workers stop without it
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True)
        self._stop: dict[str, str] = {}
        self._read: dict[str, int] = {}  # bytes read of every events file
        self._count, self._lock, self._closed = 0, threading.Lock(), threading.Event()
        self._beat()
        threading.Thread(target=self._keep_beating, daemon=True).start()

    def _keep_beating(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            with suppress(OSError):  # the disk may be full for a while: the next beat may succeed
                self._beat()

    def _beat(self) -> None:
        """Replace the pulse. It need not survive a power cut."""
        with self._lock:
            if self._closed.is_set():
                return
            self._count += 1
            temporary = self.folder / f".{PULSE}"
            temporary.write_text(json.dumps({"count": self._count, "stop": self._stop}), encoding="utf-8")
            os.replace(temporary, self.folder / PULSE)

    def stop(self, attempt: str, reason: str) -> None:
        """Ask a worker to write a checkpoint and end."""
        with self._lock:
            self._stop = {**self._stop, attempt: reason}
        with suppress(OSError):
            self._beat()

    def new_events(self, attempt: str) -> list[Event]:
        """Return a worker's events since the last call; an incomplete last line waits for its end."""
        begin = self._read.get(attempt, 0)
        try:
            with open(self.folder / f"{attempt}.events", "rb") as lines:
                lines.seek(begin)
                complete = lines.read().rpartition(b"\n")[0]
        except OSError:  # nothing yet
            return []
        if not complete:
            return []
        self._read[attempt] = begin + len(complete) + 1
        return [pickle.loads(base64.b64decode(line)) for line in complete.split(b"\n")]

    def forget(self, attempt: str) -> None:
        """Delete everything of an attempt that has ended."""
        with self._lock:
            self._stop = {name: reason for name, reason in self._stop.items() if name != attempt}
        self._read.pop(attempt, None)
        (self.folder / f"{attempt}.events").unlink(missing_ok=True)

    def close(self) -> None:
        """Delete everything."""
        self._closed.set()
        with self._lock:
            shutil.rmtree(self.folder.parent, ignore_errors=True)


def write_event(folder: Path, attempt: str, event: Event) -> None:
    """Add a line to a worker's events; do nothing if the scheduler has gone, and its folder with it."""
    line = base64.b64encode(pickle.dumps(event)) + b"\n"
    with suppress(OSError), open(folder / f"{attempt}.events", "ab") as lines:
        lines.write(line)


def read_pulse(folder: Path) -> tuple[int, dict[str, str]] | None:
    """Return the scheduler's count and the reasons of the jobs to stop, by attempt; None if there is no such file."""
    with suppress(OSError):  # NFS: the handle of a file that was just replaced
        content = read_json(folder / PULSE)
        return (content["count"], content["stop"]) if content else None
    return None
