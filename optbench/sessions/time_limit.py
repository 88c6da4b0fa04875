"""A run that its time limit ended goes on under a longer one.

`max_seconds` is part of a run's id, so that a timed-out result stays what it is. The run with a longer limit, or none,
begins at the checkpoint of the shorter one in the same study, with its records."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace

from optbench.config import RunConfig
from optbench.config.values import as_number
from optbench.errors import StorageError
from optbench.records import Status
from optbench.store import RunFolder

MARK = ".timed_out"  # in the folder of a study: one of its runs has timed out, so that looking for them is worth it

log = logging.getLogger(__name__)


def mark_timed_out(folder: RunFolder) -> None:
    """Note in the study's folder that a run has timed out."""
    (folder.path.parent / MARK).touch()


def shorter_runs(config: RunConfig, folder: RunFolder) -> list[RunFolder]:
    """Return the folders of the same run that timed out under a shorter limit, that of the longest limit first."""
    if not (folder.path.parent / MARK).exists():
        return []
    limit = math.inf if config.max_seconds is None else config.max_seconds
    found = [(seconds, other.path.name, other) for seconds, other in timed_out(config, folder) if seconds < limit]
    return [other for *_, other in sorted(found, key=lambda entry: entry[:2], reverse=True)]


def timed_out(config: RunConfig, folder: RunFolder) -> Iterator[tuple[float, RunFolder]]:
    """Yield (limit, folder) of every timed-out run of the study that differs from a configuration only in its limit."""
    prefix = config.run_id.rpartition("-")[0]
    for path in folder.path.parent.glob(f"{prefix}-*"):
        other = RunFolder(path.parent.parent, path.parent.name, path.name)
        try:
            result, run = other.result() or {}, other.run() or {}
        except StorageError:
            continue
        if result.get("status") != Status.TIMED_OUT or not isinstance(run.get("config"), dict):
            continue
        seconds = as_number(run["config"].get("max_seconds"))
        if seconds is not None and replace(config, max_seconds=seconds).run_id == path.name:
            yield seconds, other
