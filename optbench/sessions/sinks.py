"""The sinks of a run: the terminal and the tracker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.contracts import Sink
    from optbench.store import RunFolder


def sinks_for(config: RunConfig, *, progress: bool) -> Callable[[RunFolder], list[Sink]]:
    """Return a function that makes the sinks once the run's folder is known. `progress`: show it on the terminal."""

    def make(folder: RunFolder) -> list[Sink]:
        from optbench.trackers.console import Console

        return [Console(config.steps, enabled=progress), *trackers_for(config, folder)]

    return make


def trackers_for(config: RunConfig, folder: RunFolder) -> list[Sink]:
    """Return the tracker that the configuration asks for, if any."""
    if config.tracker == "none":
        return []
    from optbench.trackers.background import BackgroundSink
    from optbench.trackers.wandb import WandbTracker

    return [BackgroundSink(WandbTracker(folder.path, config.wandb_project))]
