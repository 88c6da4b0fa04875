"""A row for each contender: stacked bars, and means with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optbench.reports.model.document import Places
from optbench.reports.model.figure import Bars, Intervals
from optbench.reports.model.rows import Estimate
from optbench.reports.render.figures.style import GREY, colour, legend, new, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#999999", "#7a5195", "#d55e00", "#bbbbbb")
ROW = 0.34  # inches


def bars(data: Bars, places: Places) -> Figure:
    """Draw a bar for each contender, stacked of parts; the first on top."""
    figure, axes = new(1.2 + ROW * len(data.contenders))
    names = data.contenders[::-1]
    start = [0.0] * len(names)
    for number, (title, values) in enumerate(data.parts):
        lengths = values[::-1]
        alone = len(data.parts) == 1
        colours = [colour(name, places) for name in names] if alone else PARTS[number % len(PARTS)]
        axes.barh(range(len(names)), lengths, left=start, color=colours, label="" if alone else title, height=0.7)
        start = [a + b for a, b in zip(start, lengths, strict=True)]
    if data.line is not None:
        axes.axvline(data.line, color=GREY, linewidth=0.8, linestyle=":")
    rows_of(axes, names)
    axes.set_xlabel(data.axis)
    legend(axes)
    return figure


def intervals(data: Intervals, places: Places) -> Figure:
    """Draw means with their intervals, single values as thin marks; the first on top."""
    figure, axes = new(1.0 + ROW * len(data.rows))
    rows = data.rows[::-1]
    for y, (name, estimate, values) in enumerate(rows):
        own = colour(name, places)
        axes.plot(values, [y] * len(values), "|", color=own, alpha=0.6, markersize=9)
        interval(axes, y, estimate, own)
    rows_of(axes, [name for name, _, _ in rows])
    axes.set_xlabel(data.axis)
    return figure


def interval(axes: Axes, y: float, estimate: Estimate, own: str) -> None:
    """Draw one estimate in a row: a dot, and a line for its interval."""
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=own, linewidth=2)
    axes.plot([estimate.value], [y], "o", color=own, markersize=6)
