"""The files of a report.

report.html         the whole report in one file
report.md           the same in Markdown, with the figures
report.json         the same for machines
tables/NAME.csv     every table at full precision
figures/NAME.png    and .svg; .pdf with --only pdf
tables/NAME.tex     with --only tex: every table as LaTeX

Of several studies, each in a folder of its own, with index.html, index.md and index.json beside them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError
from optbench.files import has_content
from optbench.reports.build.studies import StudyReport, entries
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Report
from optbench.reports.model.document import Document
from optbench.reports.model.index import INDEX, IndexEntry, index_table
from optbench.store import storage_errors, write_atomically

SCALARS = frozenset((int, str, bool, type(None)))
TITLE = "Studies"  # of the list of several
CSV = "csv"
KINDS = ("html", "md", "json", CSV, "figures")
FOR_PAPERS = ("pdf", "tex")  # written if they are asked for
TABLES = frozenset(  # every CSV file that a report may have
    {
        *("leaderboard", "verdicts", "runs", "curves", "bands", "budget_curves", "sensitivity", "to_target", "ladder"),
        *("equivalent_budget", "regret", "axes", "rates", "axis_equivalents"),
        *("stability", "resources", "pareto", "scores", "profiles", "leave_one_out", "failures", "skipped"),
    }
)


def check_kinds(words: Collection[str]) -> None:
    """Raise ConfigError for an unknown output."""
    for word in words:
        if word not in (*KINDS, *FOR_PAPERS):
            raise ConfigError(f"--only: unknown output '{word}'; choose from {', '.join((*KINDS, *FOR_PAPERS))}")


def write_report(
    report: Report,
    folder: Path,
    *,
    root: Path,
    kinds: Collection[str] = KINDS,
    refresh: int | None = None,
) -> list[Path]:
    """Write a report into a folder, each file whole or not at all, and return its files. `root`: the results folder
    that pictures lie in. `refresh`: seconds after which an open page loads itself again. Raises StorageError where the
    folder cannot be written."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    made, written = document(report), []
    if "html" in kinds:
        from optbench.reports.render.html.page import to_html

        written.append(write_text(folder / "report.html", to_html(made, root, refresh)))
    endings = [*(("png", "svg") if "figures" in kinds else ()), *(["pdf"] if "pdf" in kinds else [])]
    if endings:
        from optbench.reports.render.figures import write_figures

        written += write_figures(made, folder / "figures", endings)
    if "md" in kinds:
        written.append(write_markdown(made, folder))
    if "json" in kinds:
        written.append(write_text(folder / "report.json", json.dumps(plain(report), allow_nan=False) + "\n"))
    if CSV in kinds:
        written += write_tables(made, folder / "tables")
    if "tex" in kinds:
        from optbench.reports.render.latex import latex_tables

        written += [write_text(folder / "tables" / f"{name}.tex", text) for name, text in latex_tables(made).items()]
    return written


def write_studies(
    made: Sequence[StudyReport], folder: Path, kinds: Collection[str] = KINDS, refresh: int | None = None
) -> list[Path]:
    """Write the files of a report, or of several in folders of their own with their list, and return them."""
    files: list[Path] = []
    for one in made:
        if one.report and one.results:
            own = folder if len(made) == 1 else folder / one.name
            files += write_report(one.report, own, root=one.results.root, kinds=kinds, refresh=refresh)
    if len(made) > 1:
        files = write_index(entries(made), folder, title=TITLE, kinds=kinds, refresh=refresh) + files
    return files


def write_index(
    entries: Sequence[IndexEntry], folder: Path, *, title: str, kinds: Collection[str], refresh: int | None = None
) -> list[Path]:
    """Write the list of several studies, whose reports lie in folders of their own beside it. Return its files."""
    from optbench import __version__
    from optbench.reports.render.html.page import to_html_index
    from optbench.reports.render.markdown import to_markdown_index

    written = []
    if "html" in kinds:
        page = to_html_index(entries, title, f"optbench {__version__}", refresh)
        written.append(write_text(folder / f"{INDEX}.html", page))
    if "md" in kinds:
        written.append(write_text(folder / f"{INDEX}.md", to_markdown_index(title, index_table(entries, "md"))))
    if "json" in kinds:
        listed = json.dumps({"studies": plain(entries)}, allow_nan=False)
        written.append(write_text(folder / f"{INDEX}.json", f"{listed}\n"))
    return written


def write_markdown(made: Document, folder: Path) -> Path:
    """Write the report in Markdown with the figures that are in the folder."""
    from optbench.reports.render.markdown import to_markdown

    pictures = {file.stem: f"figures/{file.name}" for file in (folder / "figures").glob("*.png")}
    return write_text(folder / "report.md", to_markdown(made, pictures))


def write_tables(made: Document, folder: Path) -> list[Path]:
    """Write a CSV file for each table, and remove those of an earlier report that have no rows now."""
    from optbench.reports.render.csv import tables, to_csv

    found = tables(made)
    with storage_errors(folder):
        for name in sorted(TABLES - found.keys()):
            (folder / f"{name}.csv").unlink(missing_ok=True)
    return [write_text(folder / f"{name}.csv", to_csv(rows)) for name, rows in found.items()]


def write_text(path: Path, text: str) -> Path:
    """Write one file, whole or not at all; one that has this text already is left as it is."""
    content = text.encode("utf-8", "replace")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not has_content(path, content):
            write_atomically(path, lambda out: out.write(content))
    return path


def plain(value: Any) -> Any:
    """Return dataclasses, mappings and sequences as what JSON has, without nan and infinity."""
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
        return {name: plain(getattr(value, name)) for name in field_names(kind)}
    return str(value)


@cache
def field_names(kind: type) -> tuple[str, ...]:
    """Return the fields of a dataclass."""
    return tuple(field.name for field in fields(kind))
