"""A run that a script attaches to in this process, and what it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optbench.scripts.attach import AttachedRun, alone
from optbench.scripts.job import Event, EventReader, EventWriter


class Told(AttachedRun):
    """A run without a parent process, whose events go to a file; it stops at a step if it is told to."""

    def __init__(self, folder: Path, stop_at: int | None = None, **overrides: Any) -> None:
        super().__init__(alone(overrides), None)
        folder.mkdir(exist_ok=True)
        self.folder, self.file, self.stop_at = folder, folder / "events.jsonl", stop_at
        self.file.unlink(missing_ok=True)
        self._events = EventWriter(self.file)

    @property
    def checkpoint_folder(self) -> Path:
        """The folder of the run."""
        return self.folder

    @property
    def should_stop(self) -> bool:
        """True from a step on."""
        return self.stop_at is not None and self._step >= self.stop_at

    def events(self, kind: str) -> list[Event]:
        """Return what was sent, of one kind."""
        return [event for event in EventReader(self.file).read() if event["kind"] == kind]

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of a recorded value."""
        return [(event["step"], event["values"][name]) for event in self.events("log") if name in event["values"]]
