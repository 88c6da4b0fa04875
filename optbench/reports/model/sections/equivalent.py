"""Reference-equivalent budget: how much data the reference needs for each contender's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optbench.reports.model.content import Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import records
from optbench.reports.model.numbers import TIMES, bounded_text, short
from optbench.reports.model.rows import EquivalentBudget
from optbench.reports.model.table import CONTENDER, EVERYWHERE, Table, TableColumn

APART = 1.05  # factor between neighbouring contenders at one budget, so that their intervals do not hide each other


def equivalent_budget(workload: Workload) -> Section:
    """Return how many times a contender's data the reference needs for the same result."""
    rows = workload.equivalent
    reference = rows[0].reference if rows else "Reference"
    parts = present(workload.not_equivalent, drawn(workload), table(rows), sentences(rows))
    return Section("equivalent", f"{reference}-equivalent budget", parts, (records("equivalent_budget", rows),))


def drawn(workload: Workload) -> Figure | None:
    """Return the ratio against the budget."""
    rows = workload.equivalent
    if not rows:
        return None
    reference = rows[0].reference
    names = list(dict.fromkeys(row.contender for row in rows))
    budgets = sorted({row.budget for row in rows} | set(workload.budgets))
    shift = {name: APART ** (place - (len(names) - 1) / 2) for place, name in enumerate(names)}
    series = tuple(line for name in names for line in series_of(name, shift[name], workload))
    ends = (budgets[0] / max(shift.values()) / 1.1, budgets[-1] * max(shift.values()) * 1.1)
    least, most = budgets[0] / budgets[-1], budgets[-1] / budgets[0]
    lines = Lines(
        series,
        FigureAxis("the contender's budget, share of the workload's", log=True, ticks=tuple(budgets)),
        FigureAxis(
            f"{reference}'s budget over the contender's",
            log=True,
            ticks=tuple(t for t in TICKS if least <= t <= most),
        ),
        (
            ((ends[0], 1.0), (ends[1], 1.0)),
            *(tuple((b, end / b) for b in budgets) for end in (budgets[0], budgets[-1])),
        ),
    )
    caption = (
        f"Above 1: {reference} needs more data for the same result. A ring is only a bound: {reference}'s ladder ends "
        "at the slanted dotted lines, and intervals that reach them are open there."
    )
    return Figure("equivalent-budget", f"{reference}-equivalent budget", lines, caption)


TICKS = (0.05, 0.1, 0.2, 0.25, 0.33, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)


def series_of(name: str, shift: float, workload: Workload) -> Iterator[FigureSeries]:
    """Yield a contender's ratios with their intervals, then those that are bounds."""
    rows = [row for row in workload.equivalent if row.contender == name]
    first, last = min(workload.budgets), max(workload.budgets)
    known = [row.ratio.n > 1 for row in rows]
    low = [row.ratio.low or first / row.budget if yes else None for row, yes in zip(rows, known, strict=True)]
    high = [row.ratio.high or last / row.budget if yes else None for row, yes in zip(rows, known, strict=True)]
    x, y = [row.budget * shift for row in rows], [row.ratio.value for row in rows]
    yield FigureSeries(name, x, y, low, high, bars=True, mark="dot")
    bounds = [at for at, row in enumerate(rows) if row.bound]
    if bounds:
        yield FigureSeries(
            name, [x[at] for at in bounds], [y[at] for at in bounds], line="none", mark="ring", note="bound"
        )


def table(rows: Sequence[EquivalentBudget]) -> Table:
    """Return a row for each contender, a column for each budget."""
    found = {(row.contender, row.budget): row for row in rows}
    budgets = sorted({row.budget for row in rows})
    reference = rows[0].reference if rows else ""
    group = f"{reference}'s budget over the contender's, at"
    heads = (TableColumn(f"{TIMES} {short(budget)}", "cost", group=group) for budget in budgets)
    names = dict.fromkeys(row.contender for row in rows)
    cells = tuple((name, *(text(found.get((name, budget))) for budget in budgets)) for name in names)
    note = (
        f"2 means that {reference} needs twice the data for the same result. Means over seeds of complete schedules, "
        f"{reference}'s made monotone and joined over the logarithm of the budget, never beyond its ladder; open: the "
        "interval ends beyond the ladder."
    )
    return Table(f"{reference}-equivalent budget", (CONTENDER, *heads), cells, note, EVERYWHERE)


def text(row: EquivalentBudget | None) -> str:
    """Return a ratio in a cell; empty where there is none."""
    return bounded_text(row.ratio, row.bound) if row else ""


def sentences(rows: Sequence[EquivalentBudget]) -> tuple[str, ...]:
    """Return the ratio that stands for each contender, in words."""
    return tuple(
        f"For the result of {row.contender} at {TIMES} {short(row.budget)}, {row.reference} needs {text(row)} times "
        f"the data{'' if not row.bound else ': its ladder ends there'}."
        for row in rows
        if row.stands
    )
