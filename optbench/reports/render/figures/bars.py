"""A row for each contender: stacked bars, and means with their intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optbench.reports.model.document import Places
from optbench.reports.model.figure import Bars, Intervals, Panels
from optbench.reports.model.rows import Estimate
from optbench.reports.render.figures.style import GREY, WIDTH, colour, legend, log, new, rows_of
from optbench.reports.render.palette import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.34  # inches
IN_A_ROW = 3


def bars(data: Bars, places: Places) -> Figure:
    """Draw a bar for each contender, stacked of parts; the first on top."""
    figure, axes = new(1.2 + ROW * len(data.contenders))
    names = data.contenders[::-1]
    start = [0.0] * len(names)
    for number, (title, values) in enumerate(data.parts):
        lengths = values[::-1]
        alone = len(data.parts) == 1
        colours = [colour(name, places) for name in names] if alone else PHASES[number % len(PHASES)]
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
    panel(axes, data, places)
    return figure


def panels(data: Panels, places: Places) -> Figure:
    """Draw a small panel for each workload."""
    from matplotlib.figure import Figure

    columns = min(len(data.panels), IN_A_ROW)
    rows = math.ceil(len(data.panels) / columns)
    height = 1.0 + ROW * max(len(one.rows) for one in data.panels)
    figure = Figure(figsize=(WIDTH * (0.4 + 0.6 * columns), rows * height), layout="constrained")
    drawn = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, one in zip(drawn, data.panels, strict=False):
        panel(axes, one, places)
        axes.set_title(one.title, fontsize=9)
    for empty in drawn[len(data.panels) :]:
        empty.remove()
    return figure


def panel(axes: Axes, data: Intervals, places: Places) -> None:
    """Draw one workload; the trivial answer as a dotted line."""
    rows = data.rows[::-1]
    for y, (name, estimate, values) in enumerate(rows):
        own = colour(name, places)
        axes.plot(values, [y] * len(values), "|", color=own, alpha=0.6, markersize=9)
        interval(axes, y, estimate, own)
    if data.line is not None and (data.line > 0 or not data.log):
        axes.axvline(data.line, color=GREY, linewidth=1, linestyle=":")
    if data.log and all(end is None or end > 0 for _, one, _ in rows for end in (one.value, one.low)):
        axes.set_xscale("log")
        log(axes.xaxis)
    rows_of(axes, [name for name, _, _ in rows])
    axes.set_xlabel(data.axis + (" (dotted: trivial answer)" if data.line is not None else ""))


def interval(axes: Axes, y: float, estimate: Estimate, own: str) -> None:
    """Draw one estimate in a row: a dot, and a line for its interval."""
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=own, linewidth=2)
    axes.plot([estimate.value], [y], "o", color=own, markersize=6)
