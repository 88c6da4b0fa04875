"""Equivalent budgets along an axis: does a lead in data shrink with scale?"""

from __future__ import annotations

from collections.abc import Iterator

from optbench.reports.model.axes import Axis
from optbench.reports.model.document import Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import flat
from optbench.reports.model.numbers import bounded_text
from optbench.reports.model.sections.axis_parts import head, x_axis
from optbench.reports.model.sections.equivalent import text
from optbench.reports.model.table import CONTENDER, EVERYWHERE, Table, TableColumn


def equivalents(of: Axis) -> Section:
    """Return how many times the contenders' data the reference needs at each value."""
    title = f"{of.equivalents[0].budget.reference}-equivalent budget along {of.words}" if of.equivalents else ""
    rows = Records("axis_equivalents", lambda: ({"value": one.value} | flat(one.budget) for one in of.equivalents))
    return Section("equivalents", title, present(equivalent_figure(of), equivalent_table(of)), (rows,))


def equivalent_figure(of: Axis) -> Figure | None:
    """Return the ratio against the value; bounds are ringed."""
    if not of.equivalents:
        return None
    reference = of.equivalents[0].budget.reference
    names = dict.fromkeys(one.budget.contender for one in of.equivalents)
    series = tuple(line for name in names for line in equivalent_lines(of, name))
    ends = (min(of.values), max(of.values))
    y = FigureAxis(f"{reference}'s budget over the contender's", log=True)
    lines = Lines(series, x_axis(of), y, (tuple((end, 1.0) for end in ends),))
    caption = (
        f"Above 1: {reference} needs more data for the same result. A ring is only a bound: {reference}'s ladder ends "
        "there. Ends of intervals beyond the ladder are not drawn."
    )
    return Figure("equivalents", f"{reference}-equivalent budget along {of.words}", lines, caption)


def equivalent_lines(of: Axis, name: str) -> Iterator[FigureSeries]:
    """Yield a contender's ratios with their intervals, then those that are bounds."""
    found = [one for one in of.equivalents if one.budget.contender == name]
    ratios = [one.budget.ratio for one in found]
    x, y = [one.value for one in found], [ratio.value for ratio in ratios]
    yield FigureSeries(name, x, y, [r.low for r in ratios], [r.high for r in ratios], bars=True, mark="dot")
    bounds = [one for one in found if one.budget.bound]
    if bounds:
        x, y = [one.value for one in bounds], [one.budget.ratio.value for one in bounds]
        yield FigureSeries(name, x, y, line="none", mark="ring", note="bound")


def equivalent_table(of: Axis) -> Table:
    """Return a row for each contender, a column for each value, and the trend."""
    found = {(one.budget.contender, one.value): one.budget for one in of.equivalents}
    names = dict.fromkeys(one.budget.contender for one in of.equivalents)
    heads = tuple(TableColumn(head(of, value), "cost", group=of.words) for value in of.values)
    rows = tuple(
        (name, *(text(found.get((name, value))) for value in of.values), trend_text(of, name)) for name in names
    )
    note = (
        "How many times the contender's data the reference needs for the same result, at the budget that stands "
        "for the contender. Trend: the ratio at the largest value over that at the least; below 1 the lead shrinks "
        "with scale."
    )
    return Table(
        f"Equivalent budget at each {of.words}",
        (CONTENDER, *heads, TableColumn("trend", "cost")),
        rows,
        note,
        EVERYWHERE,
    )


def trend_text(of: Axis, name: str) -> str:
    """Return a contender's trend, whose ends may be open; empty if there is none."""
    return bounded_text(of.trends[name]) if name in of.trends else ""
