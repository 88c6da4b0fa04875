"""Waiting for a sweep to go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from optbench.reports.contenders import DONE
from optbench.reports.read.reading import Results
from optbench.reports.read.run_rows import OPEN

FILES = ("study.json", "*/run.json", "*/result.json", "*/pruned.json", "*/metrics.jsonl")


def changes(path: Path, every: float) -> Iterator[None]:
    """Once at the start, then whenever something in a results folder or a study's folder has changed, looked at every
    so many seconds."""
    before: object = None
    while True:
        now = pulse(path)
        if now != before:
            before = now
            yield
        else:
            time.sleep(every)


def pulse(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file that a report reads."""
    found = {}
    for pattern in FILES:
        for file in (*path.glob(pattern), *path.glob(f"*/{pattern}")):
            try:
                stat = file.stat()
            except OSError:  # renamed just now
                continue
            found[str(file)] = (stat.st_size, stat.st_mtime_ns)
    return found


def has_ended(results: Results) -> bool:
    """Whether every study has come to its end: no run is open, every cell is done. Plain runs never say so."""
    cells = [cell for tree in results.studies.values() for cell in tree.get("cells") or ()]
    return (
        bool(cells)
        and all(cell.get("stage") == DONE for cell in cells)
        and not any(run["status"] == OPEN for run in results.runs)
    )
