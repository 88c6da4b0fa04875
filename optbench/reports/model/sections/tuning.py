"""Tuning: the best result to expect from a number of trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optbench.reports.model.content import Workload
from optbench.reports.model.document import FlatRow, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.rows import BudgetCurve, Estimate
from optbench.reports.model.table import CONTENDER, Cell, Table, TableColumn

CAPTION = "The best validation metric to expect after so many of a contender's trials, tried in random order."


def tuning_budget(workload: Workload) -> Section:
    """Return the expected best validation metric against the number of trials."""
    curves = workload.budget_curves
    parts = present(drawn(curves, workload.metric), table(curves))
    return Section("budget", "Tuning budget", parts, (Records("budget_curves", lambda: points(curves)),))


def drawn(curves: Sequence[BudgetCurve], metric: str) -> Figure | None:
    """Return the figure; None where no contender has two trials."""
    if all(len(curve.trials) < 2 for curve in curves):
        return None
    series = tuple(FigureSeries(c.contender, c.trials, c.expected, c.low, c.high, mark="dot") for c in curves)
    lines = Lines(series, FigureAxis("tuning trials", whole=True), FigureAxis(f"expected best validation {metric}"))
    return Figure("tuning-budget", "Tuning budget", lines, CAPTION)


def table(curves: Sequence[BudgetCurve]) -> Table:
    """Return the expected best after 1, 2, 4, ... trials."""
    counts = doublings(max((len(curve.trials) for curve in curves), default=0))
    columns = (
        CONTENDER,
        *(TableColumn(f"{n} trial{'s' if n > 1 else ''}", "estimate") for n in counts),
    )
    rows = tuple((curve.contender, *(expected(curve, n) for n in counts)) for curve in curves)
    return Table("Expected best validation metric after n trials", columns, rows, folded=True)


def expected(curve: BudgetCurve, n: int) -> Cell:
    """Return the expected best after n trials; None where there were fewer."""
    if n > len(curve.trials):
        return None
    return Estimate(curve.expected[n - 1], curve.low[n - 1], curve.high[n - 1], n)


def doublings(n: int) -> list[int]:
    """Return 1, 2, 4, ..., n."""
    return sorted({min(n, 2**k) for k in range(n.bit_length() + 1)} if n else ())


def points(curves: Sequence[BudgetCurve]) -> Iterator[FlatRow]:
    """Yield every point of some budget curves."""
    for curve in curves:
        for n, best, low, high in zip(curve.trials, curve.expected, curve.low, curve.high, strict=True):
            samples = n * curve.evaluated_samples if curve.evaluated_samples is not None else None
            start = {"contender": curve.contender, "trials": n, "samples": samples}
            yield start | {"expected_best": best, "low": low, "high": high}
