"""Everything that a report writes into its folder.

report.html         the whole report in one file
report.md           the same in Markdown, with the figures
report.json         the same for machines
tables/NAME.csv     every table at full precision
figures/NAME.png    and .svg: for papers
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError
from optbench.reports.model.content import Report
from optbench.store import explained, write_atomically

SCALARS = frozenset((int, str, bool, type(None)))
KINDS = ("html", "md", "json", "csv", "figures")
TABLES = {  # that there may be, see `flat`
    *("leaderboard", "verdicts", "runs", "curves", "bands", "budget_curves", "sensitivity", "to_target", "ladder"),
    *("stability", "resources", "pareto", "scores", "profiles", "leave_one_out", "failures", "skipped"),
}


def check_kinds(words: Collection[str]) -> None:
    """ConfigError for an output that there is not."""
    for word in words:
        if word not in KINDS:
            raise ConfigError(f"--only {word}: there is no such output", f"Known: {', '.join(KINDS)}")


def write_report(
    report: Report,
    folder: Path,
    *,
    root: Path,
    kinds: Collection[str] = KINDS,
    refresh: int | None = None,
) -> list[Path]:
    """Write a report into a folder, each file whole or not at all; the files that are there now. `root`: the results
    folder that pictures lie in. `refresh`: seconds after which an open page loads itself again. Raises StorageError
    where the folder cannot be written."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    writers = {"html": html, "figures": figures, "md": markdown, "json": to_json, "csv": tables}
    written: list[Path] = []
    for kind, write in writers.items():
        if kind in kinds:
            written += write(report, folder, root, refresh)
    return written


def html(report: Report, folder: Path, root: Path, refresh: int | None) -> list[Path]:
    """The page."""
    from optbench.reports.render.html import write_html

    write_html(report, folder / "report.html", root=root, refresh=refresh)
    return [folder / "report.html"]


def figures(report: Report, folder: Path, root: Path, refresh: int | None) -> list[Path]:
    """Pictures for papers."""
    from optbench.reports.render.figures import write_figures

    return write_figures(report, folder / "figures")


def markdown(report: Report, folder: Path, root: Path, refresh: int | None) -> list[Path]:
    """The report for a repository."""
    from optbench.reports.render.markdown import to_markdown

    drawn = sorted((folder / "figures").glob("*.png"))
    text = to_markdown(report, {picture.stem: f"figures/{picture.name}" for picture in drawn})
    return [write_text(folder / "report.md", text)]


def to_json(report: Report, folder: Path, root: Path, refresh: int | None) -> list[Path]:
    """The report for machines: the same input gives the same bytes."""
    return [write_text(folder / "report.json", json.dumps(tree_of(report), allow_nan=False) + "\n")]


def tables(report: Report, folder: Path, root: Path, refresh: int | None) -> list[Path]:
    """A CSV file for each table; one of an earlier report that has no rows any more goes."""
    from optbench.reports.render.csv import to_csv
    from optbench.reports.render.flat import tables as flat_tables

    found = flat_tables(report)
    with explained(folder / "tables"):
        for name in sorted(TABLES - found.keys()):
            (folder / "tables" / f"{name}.csv").unlink(missing_ok=True)
    return [write_text(folder / "tables" / f"{name}.csv", to_csv(rows)) for name, rows in found.items()]


def write_text(path: Path, text: str) -> Path:
    """Write one file, whole or not at all; one that has this text already is left as it is."""
    content = text.encode("utf-8", "replace")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_file() and path.read_bytes() == content):
            write_atomically(path, lambda out: out.write(content))
    return path


def tree_of(report: Report) -> dict[str, Any]:
    """The report as JSON has it."""
    return plain(report)


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as what JSON has, without nan and infinity."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in SCALARS:
        return value
    if isinstance(value, (list, tuple)):
        return [inner if type(inner) in SCALARS else plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in names_of(kind)}
    return str(value)


@cache
def names_of(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(field.name for field in fields(kind))
