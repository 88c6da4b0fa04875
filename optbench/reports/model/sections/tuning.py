"""Tuning: the best result to expect from a number of trials, and from a total cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from optbench.reports.model.content import Workload
from optbench.reports.model.document import FlatRow, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.rows import BudgetCurve, Estimate
from optbench.reports.model.table import CONTENDER, Cell, Table, TableColumn

TOTAL = (
    "The metric to expect of the trial that validation chooses among n, tried in random order. Cost: these n trials, "
    "with their share of the shortlist's seeds, and one final run. The metric is that of the tuning runs."
)
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
            totals = {"total_samples": total(curve, n, "samples"), "total_seconds": total(curve, n, "seconds")}
            chosen = curve.headline[n - 1] if curve.headline else None
            yield start | {"expected_best": best, "low": low, "high": high, "expected_headline": chosen} | totals


Unit = Literal["samples", "seconds"]
UNITS: dict[Unit, str] = {"samples": "samples through gradient evaluations", "seconds": "training seconds"}


def total_cost(workload: Workload) -> Section:
    """Return the headline to expect against the cost of the trials and one final run."""
    curves = [one for one in workload.budget_curves if len(one.trials) > 1 and any(v is not None for v in one.headline)]
    figures = (cost_figure(curves, unit, workload.headline_name) for unit in UNITS)
    return Section("total-cost", "Quality against total cost", present(*figures, cost_table(curves, workload)))


def cost_figure(curves: Sequence[BudgetCurve], unit: Unit, quality: str) -> Figure | None:
    """Return the figure; None unless the cost of every contender is known."""
    costs = [[cost for n in curve.trials if (cost := total(curve, n, unit))] for curve in curves]
    if not curves or any(len(own) < len(curve.trials) for own, curve in zip(costs, curves, strict=True)):
        return None
    series = tuple(FigureSeries(c.contender, x, c.headline, mark="dot") for c, x in zip(curves, costs, strict=True))
    axis = FigureAxis(f"{UNITS[unit]}, tuning included", log=True)
    lines = Lines(series, axis, FigureAxis(f"expected {quality}"))
    return Figure(f"total-{unit}", f"Quality against total {unit}", lines, "A dot for each number of trials.")


def cost_table(curves: Sequence[BudgetCurve], workload: Workload) -> Table:
    """Return what a trial and a final run cost, and the headline after 1, 2, 4, ... trials."""
    counts = doublings(max((len(curve.trials) for curve in curves), default=0))
    group = f"expected {workload.headline_name} after"
    columns = (
        CONTENDER,
        *(TableColumn(word, "number") for word in ("samples of a trial", "of a final run")),
        *(TableColumn(word, "number") for word in ("seconds of a trial", "seconds of a final run")),
        *(TableColumn(f"{n} trial{'s' if n > 1 else ''}", "number", group=group) for n in counts),
    )
    rows = tuple(
        (
            *(c.contender, c.evaluated_samples, c.final_samples, c.trial_seconds, c.final_seconds),
            *(c.headline[n - 1] if n <= len(c.headline) else None for n in counts),
        )
        for c in curves
    )
    return Table("Quality and cost of n trials", columns, rows, TOTAL)


def total(curve: BudgetCurve, n: int, unit: Unit) -> float | None:
    """Return the cost of n trials and one final run; None if unknown."""
    trial, final = (
        (curve.evaluated_samples, curve.final_samples)
        if unit == "samples"
        else (curve.trial_seconds, curve.final_seconds)
    )
    return None if trial is None or final is None else n * trial + final
