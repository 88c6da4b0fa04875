"""Messages between a scheduler and workers on other machines, through the results folder that they share.

    results/STUDY/.workers/SESSION/     of one scheduler, deleted at its end
        pulse.json                      a count that grows while the scheduler lives; jobs to stop, with reasons
        ATTEMPT.events                  a worker's events, one per line (event_lines.py)

Clocks are never compared: a scheduler lives if its count has grown, by the reader's own clock. A file is closed after
every line, which is when other machines may see it (NFS: close-to-open). Whoever can write to the folder can send
messages, so they are plain data, checked when they are read."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from optbench.files import open_regular, read_json_file
from optbench.store import storage_errors
from optbench.sweeps.executors.base import Event
from optbench.sweeps.executors.event_lines import from_line, to_line

FOLDER, PULSE = ".workers", "pulse.json"
BEAT_SECONDS = 2.0  # between two counts; far below the lease, after which workers give a scheduler up
LARGEST = 16 * 2**20  # bytes of events that are read at once

log = logging.getLogger(__name__)


class SchedulerMailbox:
    """The scheduler's side. A thread writes the pulse, so that a busy scheduler is not taken for a dead one."""

    def __init__(self, study: Path) -> None:
        self.folder = study / FOLDER / uuid.uuid4().hex[:12]
        shutil.rmtree(study / FOLDER, ignore_errors=True)  # of killed schedulers; their workers stop without it
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True)
        self._stop: dict[str, str] = {}
        self._read: dict[str, int] = {}  # bytes read of every events file
        self._ignored: set[Path] = set()
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

    def new_events(self, attempt: str, run_id: str) -> list[Event]:
        """Return a worker's events of its run since the last call; an incomplete last line waits for its end."""
        begin = self._read.get(attempt, 0)
        file = self.folder / f"{attempt}.events"
        try:
            with open_regular(file, follow_links=False) as lines:
                lines.seek(begin)
                complete = lines.read(LARGEST).rpartition(b"\n")[0]
        except FileNotFoundError:  # nothing yet
            return []
        except OSError as error:
            self._ignore(file, str(error.strerror or error))
            return []
        if not complete:
            return []
        self._read[attempt] = begin + len(complete) + 1
        return list(self._events(file, complete.split(b"\n"), run_id))

    def _events(self, file: Path, lines: list[bytes], run_id: str) -> Iterator[Event]:
        for line in lines:
            try:
                event = from_line(line)
            except ValueError as error:
                self._ignore(file, str(error))
                continue
            if event.run_id == run_id:
                yield event
            else:
                self._ignore(file, "an event of another run")

    def _ignore(self, file: Path, reason: str) -> None:
        """Log, once per file, that something in it is ignored."""
        if file not in self._ignored:
            self._ignored.add(file)
            log.warning(f"{file}: ignored what no worker wrote, or what is damaged ({reason})")

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
    with suppress(OSError), open(folder / f"{attempt}.events", "ab") as lines:
        lines.write(to_line(event))


def read_pulse(folder: Path) -> tuple[int, dict[str, str]] | None:
    """Return the scheduler's count and the reasons of the jobs to stop, by attempt; None if there is no such file."""
    with suppress(OSError, ValueError):  # NFS: the handle of a file that was just replaced
        content = read_json_file(folder / PULSE)
        count, stop = (content.get(key) for key in ("count", "stop")) if isinstance(content, dict) else (None, None)
        if isinstance(count, int) and isinstance(stop, dict):
            return count, {str(attempt): str(reason) for attempt, reason in cast("dict[object, object]", stop).items()}
    return None
