"""Chapters on the whole report: claim, further limits, failures, assumptions, what was mixed and what was skipped."""

from __future__ import annotations

from collections.abc import Iterator

from optbench.reports.model.content import Claim, Report
from optbench.reports.model.document import Chapter, Records, chapter
from optbench.reports.model.figure import Figure
from optbench.reports.model.flat import flat, records
from optbench.reports.model.table import CONTENDER, EVERYWHERE, TERMINAL, Table, TableColumn, table


def claim(of: Claim) -> Chapter:
    """Return the study's claim and its verdict, a line for each criterion where there are several."""
    drawable = any(e.low is not None or e.high is not None for one in of.criteria for e in one.evidence)
    figure = Figure("claim", "The claim's criteria", of) if drawable else None
    stated = f"{of.text}: {of.verdict}." if of.text else ""
    lines = of.lines if len(of.criteria) > 1 else ()
    return chapter("claim", "Claim", stated, of.sentence, lines, figure, sentences("Criteria", lines))


def sentences(title: str, lines: tuple[str, ...]) -> Table:
    """Return sentences for the terminal, a line each."""
    return table(title, lines, (TableColumn("sentence"), str), outputs=TERMINAL)


def failures(report: Report) -> Chapter:
    """Return the runs that ended without a result."""
    found = table(
        "Runs that ended without a result",
        report.failures,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("workload"), lambda one: one.workload),
        (TableColumn("stage"), lambda one: one.stage),
        (TableColumn("status"), lambda one: one.status),
        (TableColumn("reason", "long"), lambda one: one.reason),
        (TableColumn("run", "code"), lambda one: one.run_id),
        (TableColumn("folder", "code"), lambda one: one.folder),
    )
    runs = Records("runs", lambda: (flat(run, without=("config",)) for run in report.runs))
    return chapter("failures", "Failures", found, records=(runs, records("failures", report.failures)))


def closing(report: Report, further: tuple[str, ...]) -> Iterator[Chapter]:
    """Yield what follows the results. `further`: caveats that the first screen leaves out."""
    yield chapter("limits", "Further limits", further, sentences("Further limits", further))
    yield failures(report)
    yield chapter("assumptions", "Assumptions", report.assumptions)
    yield chapter("mixed", "Mixed on request", report.mixed)
    columns = (TableColumn("path", "code"), TableColumn("reason", "long"))
    skipped = Table("Files and folders left out", columns, report.skipped, "", EVERYWHERE)
    rows = Records("skipped", lambda: ({"path": path, "reason": reason} for path, reason in report.skipped))
    yield chapter("skipped", "Skipped", skipped, records=(rows,))
