"""The list of several studies, each with a report of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.model.table import EVERYWHERE, Link, Table, TableColumn, table

INDEX = "index"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One study."""

    study: str
    question: str
    """Its title, or what it compares."""
    claim: str
    """The verdict on its claim; empty without one."""
    answer: tuple[str, ...]
    """Why it has none, if it has no report."""
    date: str
    """The day on which its last run began, as 2026-01-31."""
    runs: int
    open_runs: int
    """Runs that have not ended."""
    has_report: bool


def index_table(entries: Sequence[IndexEntry], ending: str = "html") -> Table:
    """Return the list as a table. `ending`: of the reports that its links lead to."""
    return table(
        "Studies",
        entries,
        (TableColumn("study", "link"), lambda one: name(one, ending)),
        (TableColumn("question", "long"), lambda one: one.question),
        (TableColumn("claim", "verdict"), lambda one: one.claim),
        (TableColumn("answer", "long"), lambda one: " ".join(one.answer)),
        (TableColumn("date"), lambda one: one.date),
        (TableColumn("runs", "cost"), runs),
        outputs=EVERYWHERE,
    )


def name(of: IndexEntry, ending: str) -> Link | str:
    """Return a study's name, which leads to its report."""
    return Link(of.study, f"{of.study}/report.{ending}") if of.has_report else of.study


def runs(of: IndexEntry) -> str:
    """Return how many runs a study has."""
    return f"{of.runs:,} ({of.open_runs:,} to come)" if of.open_runs else f"{of.runs:,}"
