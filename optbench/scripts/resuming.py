"""Records of a script that is started again: those from the step on at which it goes on are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optbench.config import RunConfig
from optbench.files import read_bytes
from optbench.scripts.job import EventReader
from optbench.scripts.measured_run import Progress, times_before, whole
from optbench.store import RunFolder


def events_files(home: Path) -> list[Path]:
    """Return the files of events of earlier starts, the oldest first."""
    return sorted(home.glob("events-*.jsonl"), key=lambda file: (len(file.name), file.name))


def recover(config: RunConfig, folder: RunFolder, files: Sequence[Path]) -> None:
    """Make the records of the last start again from its events: whoever followed it may have been killed before it."""
    events = list(EventReader(files[-1]).read()) if files else []
    begin = next((event for event in events if event["kind"] == "begin"), None)
    if begin is None:
        return
    progress = Progress(config)
    cut(folder, progress, files[:-1], whole(begin.get("step")) or 0)
    for event in events:
        for record in progress.take(event):
            folder.append(record)


def cut(folder: RunFolder, progress: Progress, earlier: Sequence[Path], step: int) -> bool:
    """Drop the records from a step on, and restore the progress before it; return True if any record stays.

    `earlier`: the files of events of earlier starts."""
    kept = 0
    content = read_bytes(folder.metrics_file, limit=None) if earlier and folder.metrics_file.exists() else b""
    for row, line in zip(folder.records(), content.splitlines(keepends=True), strict=False):
        if row.get("step", 0) >= step:
            break
        kept += len(line)
        progress.restore(row)
    folder.cut_back(kept)
    progress.before = times_before(earlier, step)
    return kept > 0
