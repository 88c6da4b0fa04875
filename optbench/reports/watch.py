"""Wait for a running sweep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from optbench.reports.contenders import DONE
from optbench.reports.read.reading import Results
from optbench.reports.read.run_rows import OPEN

FILES = ("study.json", "*/run.json", "*/result.json", "*/pruned.json", "*/metrics.jsonl")


def changes(path: Path, every: float) -> Iterator[None]:
    """Yield once at the start, then after every change in a results folder or study, polling every `every` seconds."""
    before: object = None
    while True:
        now = snapshot(path)
        if now != before:
            before = now
            yield
        else:
            time.sleep(every)


def snapshot(path: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file that a report reads."""
    found = {}
    for pattern in FILES:
        for file in (*path.glob(pattern), *path.glob(f"*/{pattern}")):
            try:
                stat = file.stat()
            except OSError:  # renamed in between
                continue
            found[str(file)] = (stat.st_size, stat.st_mtime_ns)
    return found


def all_finished(results: Results) -> bool:
    """Return True if no run is open and every cell of every study is done. False for plain runs, which may go on."""
    cells = [cell for tree in results.studies.values() for cell in tree["cells"]]
    return (
        bool(cells)
        and all(cell.get("stage") == DONE for cell in cells)
        and not any(run["status"] == OPEN for run in results.runs)
    )
