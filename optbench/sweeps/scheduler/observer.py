"""The events that a scheduler reports to the display of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from optbench.sweeps.executors.base import Event
from optbench.sweeps.scheduler.study_progress import StudyProgress
from optbench.sweeps.study.cells import PlannedRun
from optbench.sweeps.study.outcomes import Outcome


class Observer(Protocol):
    """A display of a running sweep."""

    def planned(self, runs: Sequence[PlannedRun], found: Mapping[str, Outcome]) -> None:
        """Take released runs, and the outcomes of those that ended in an earlier session."""

    def started(self, run: PlannedRun) -> None:
        """Take a run that a worker has begun."""

    def event(self, run: PlannedRun, event: Event) -> None:
        """Take an event of a running run."""

    def ended(self, run: PlannedRun, outcome: Outcome, log_file: Path) -> None:
        """Take the outcome of a run, and the file of its output."""

    def refresh(self, progress: StudyProgress) -> None:
        """Show the progress; called a few times a second."""


class SilentObserver(Observer):
    """An observer that shows nothing."""
