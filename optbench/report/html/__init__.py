"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from pathlib import Path

from optbench.report.content import Report


def write_html(report: Report, path: Path, *, root: Path) -> None:
    """Write the page, whole or not at all. `root`: the results folder that the paths of pictures start from.

    Raises StorageError where it cannot be written."""
    from optbench.report.html.page import document
    from optbench.store import explained, write_atomically

    text = document(report, root).encode("utf-8", "replace")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda out: out.write(text))
