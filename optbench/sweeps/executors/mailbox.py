"""What a scheduler and workers on other machines say to each other, through the results folder that they share.

    results/STUDY/.workers/SESSION/     one scheduler's, gone when it is
        pulse.json                      a count that grows while the scheduler lives, and who is to stop, and why
        ATTEMPT.events                  what a worker has to say, one event a line

Nobody compares clocks: whether a scheduler lives is whether its count has grown, by the watcher's own clock. A file is
closed after every line, which is when other machines may see it (NFS: close-to-open)."""

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
from typing import Any

from optbench.store import explained, read_json
from optbench.sweeps.executors.base import Event

FOLDER, PULSE = ".workers", "pulse.json"
BEAT_SECONDS = 2.0  # between two counts; far below the lease, after which workers take a scheduler for gone


class Desk:
    """The scheduler's side. A thread keeps the pulse, so that a scheduler that computes for a while is not given up."""

    def __init__(self, study: Path) -> None:
        self.folder = study / FOLDER / uuid.uuid4().hex[:12]
        shutil.rmtree(study / FOLDER, ignore_errors=True)  # of schedulers that were killed; their workers stop by it
        with explained(self.folder):
            self.folder.mkdir(parents=True)
        self._stop: dict[str, str] = {}
        self._read: dict[str, int] = {}  # bytes of every events file that were read
        self._count, self._lock, self._over = 0, threading.Lock(), threading.Event()
        self._beat()
        threading.Thread(target=self._keep_beating, daemon=True).start()

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(OSError):  # a disk that is full for a while: the next beat may succeed
                self._beat()

    def _beat(self) -> None:
        """Write the pulse; readers see the old file or the new one. It need not survive a power cut."""
        with self._lock:
            if self._over.is_set():
                return
            self._count += 1
            temporary = self.folder / f".{PULSE}"
            temporary.write_text(json.dumps({"count": self._count, "stop": self._stop}), encoding="utf-8")
            os.replace(temporary, self.folder / PULSE)

    def stop(self, attempt: str, reason: str) -> None:
        """Ask a worker for a checkpoint and its end."""
        with self._lock:
            self._stop = {**self._stop, attempt: reason}
        with suppress(OSError):
            self._beat()

    def news(self, attempt: str) -> list[Event]:
        """What a worker has said since the last look; a torn last line waits for its rest."""
        begin = self._read.get(attempt, 0)
        try:
            with open(self.folder / f"{attempt}.events", "rb") as lines:
                lines.seek(begin)
                whole = lines.read().rpartition(b"\n")[0]
        except OSError:  # nothing yet
            return []
        if not whole:
            return []
        self._read[attempt] = begin + len(whole) + 1
        return [pickle.loads(base64.b64decode(line)) for line in whole.split(b"\n")]

    def forget(self, attempt: str) -> None:
        """An attempt is over."""
        with self._lock:
            self._stop = {name: reason for name, reason in self._stop.items() if name != attempt}
        self._read.pop(attempt, None)
        (self.folder / f"{attempt}.events").unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing behind."""
        self._over.set()
        with self._lock:
            shutil.rmtree(self.folder.parent, ignore_errors=True)


def write_news(folder: Path, attempt: str, event: Any) -> None:
    """The worker's side: add a line. A scheduler that is gone (and its folder with it) hears nothing."""
    line = base64.b64encode(pickle.dumps(event)) + b"\n"
    with suppress(OSError), open(folder / f"{attempt}.events", "ab") as lines:
        lines.write(line)


def read_pulse(folder: Path) -> tuple[int, dict[str, str]] | None:
    """The scheduler's count and whom it asks to stop; None where the file is not there."""
    with suppress(OSError):  # NFS: a handle that went stale as the file was replaced
        tree = read_json(folder / PULSE)
        return (tree["count"], tree["stop"]) if tree else None
    return None
