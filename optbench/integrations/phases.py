"""Timing by phase for frameworks whose hooks say where a phase begins, not where it ends."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optbench.scripts.attach import AttachedRun


class OpenPhase:
    """The phase that a framework is in: one at a time."""

    def __init__(self, run: AttachedRun) -> None:
        self.run, self.entered = run, ExitStack()

    def begin(self, name: str) -> None:
        """End the phase that is open, and begin this one."""
        self.entered.close()
        self.entered.enter_context(self.run.phase(name))

    def end(self) -> None:
        """End the phase that is open."""
        self.entered.close()
