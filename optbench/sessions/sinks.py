"""The sinks of a run: the terminal and the trackers."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.config import imports
from optbench.config.trackers import AUTO_TRACKER, NO_TRACKER, WANDB, names_of
from optbench.errors import MissingError

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.contracts import Sink
    from optbench.store import RunFolder

log = logging.getLogger(__name__)
UNTRACKED = "no W&B key: not tracked (tracker=wandb logs offline; tracker=tensorboard writes events)"


def sinks_for(config: RunConfig, *, progress: bool) -> Callable[[RunFolder], list[Sink]]:
    """Return a function that makes the sinks once the run's folder is known. `progress`: show it on the terminal."""

    def make(folder: RunFolder) -> list[Sink]:
        from optbench.trackers.console import Console

        return [Console(config.steps, enabled=progress), *trackers_for(config, folder)]

    return make


def trackers_for(config: RunConfig, folder: RunFolder) -> list[Sink]:
    """Return the trackers that the configuration asks for, each on a thread of its own.

    Raises MissingError if the package of one is not installed."""
    from optbench.trackers.background import BackgroundSink

    chosen = resolved(config.tracker)
    if chosen == NO_TRACKER != config.tracker:
        log.info(UNTRACKED)
    kinds = [tracker_class(name) for name in names_of(chosen)]
    return [BackgroundSink(kind(folder.path, config.wandb_project)) for kind in kinds]


def resolved(tracker: str) -> str:
    """Return the tracker that tracker=auto stands for: W&B where it has a key or a mode, else none."""
    from optbench.trackers.wandb import has_key

    if tracker != AUTO_TRACKER:
        return tracker
    return WANDB if has_key() or os.environ.get("WANDB_MODE") else NO_TRACKER


def tracker_class(name: str) -> Callable[[Path, str], Sink]:
    """Return the class of a tracker: module optbench.trackers.NAME, or an import path of yours.

    Raises MissingError if its package is not installed."""
    if imports.is_path(name):
        return imports.load(name)
    if importlib.util.find_spec(name) is None:
        raise MissingError(f"tracker={name}: the package {name} is not installed", "pip install 'optbench[trackers]'")
    return importlib.import_module(f"optbench.trackers.{name}").Tracker
