"""Regret: how much is lost without tuning, and after few trials."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import records
from optbench.reports.model.rows import Estimate, Regret
from optbench.reports.model.table import CONTENDER, Cell, Flagged, Table, TableColumn, table

MOST = 1.0  # share that is drawn: as bad as the trivial answer
NOTE = (
    "By validation. At defaults: what the final seeds of the tuned setting gain over the optimizer's own values; the "
    "interval has the noise of both and the luck of the search. After k trials: the distance from the contender's best "
    "trial to the best to expect of k points of its box; the interval covers the order of the trials that were tried, "
    "not other points or seeds. "
)
SHARE = "Share: of the way from the trivial answer to the best trial of any contender. "
LOGARITHMS = "Distances are differences of natural logarithms. "


def regret(workload: Workload) -> Section:
    """Return the regret at defaults and after 1, 4 and 8 trials."""
    rows = workload.regret
    parts = present(drawn(rows), numbers(rows, workload.metric))
    return Section("regret", "Regret", parts, (records("regret", rows),))


def drawn(rows: Sequence[Regret]) -> Figure | None:
    """Return the regret against the number of trials, at 0 that of the defaults; None without the trivial answer."""
    known = [row for row in rows if row.shares]
    if not known:
        return None
    series = [
        FigureSeries(
            row.contender,
            range(1, 1 + len(row.shares)),
            [one.value if one.value is not None and one.value <= MOST else None for one in row.shares],
            mark="dot",
        )
        for row in known
    ]
    for row in known:
        if row.default_share is not None or row.default_failed:
            share = MOST if row.default_share is None else min(MOST, row.default_share)
            series.append(FigureSeries(row.contender, [0], [share], line="none", mark="filled", note="at defaults"))
    said = " At 0: the optimizer's own values." if len(series) > len(known) else ""
    title = f"tuning trials{' (0: defaults)' if said else ''}"
    lines = Lines(tuple(series), FigureAxis(title, whole=True), FigureAxis("regret, share"))
    caption = f"What is lost against the contender's best trial; 1 is the distance to the trivial answer.{said}"
    return Figure("regret", "Regret", lines, caption)


def numbers(rows: Sequence[Regret], metric: str) -> Table:
    """Return one row for each contender."""
    note = f"{NOTE}{SHARE if any(row.shares for row in rows) else ''}"
    note += LOGARITHMS if any(row.logarithms for row in rows) else ""
    return table(
        f"Regret in validation {metric}",
        rows,
        (CONTENDER, lambda row: row.contender),
        (TableColumn("at defaults", "estimate"), lambda row: failing(row, row.default)),
        (TableColumn("after 1 trial", "estimate"), lambda row: row.one),
        (TableColumn("4 trials", "estimate"), lambda row: row.four),
        (TableColumn("8 trials", "estimate"), lambda row: row.eight),
        (TableColumn("best trial", "number"), lambda row: row.best),
        (TableColumn("share at defaults", "number", digits=3), lambda row: failing(row, row.default_share)),
        *(
            (TableColumn(f"share after {k}", "number", digits=3), lambda row, k=k: share_after(row, k))
            for k in (1, 4, 8)
        ),
        note=note,
    )


def failing(row: Regret, value: Estimate | float | None) -> Cell:
    """Return a cell of the regret at defaults."""
    return Flagged(None, "failed") if row.default_failed else value


def share_after(row: Regret, k: int) -> float | None:
    """Return the share after k trials."""
    return row.shares[k - 1].value if k <= len(row.shares) else None
