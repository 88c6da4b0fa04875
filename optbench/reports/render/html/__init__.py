"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from pathlib import Path

from optbench.reports.model.content import Report


def write_html(report: Report, path: Path, *, root: Path, refresh: int | None = None) -> None:
    """Write the page, whole or not at all. `root`: the results folder that the paths of pictures start from.
    `refresh`: seconds after which an open page loads itself again.

    Raises StorageError where it cannot be written."""
    from optbench.reports.render.html.page import document
    from optbench.store import explained, write_atomically

    text = document(report, root, refresh).encode("utf-8", "replace")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_file() and path.read_bytes() == text):  # the disk need not be waited for
            write_atomically(path, lambda out: out.write(text))
