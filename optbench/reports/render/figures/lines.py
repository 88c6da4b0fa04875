"""Series over two axes, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optbench.reports.model.document import Places
from optbench.reports.model.figure import Curves, FigureAxis, FigureSeries, LinePanels, Lines
from optbench.reports.render.figures.style import GREY, HEIGHT, WIDTH, floats, legend, log, look, new, short
from optbench.reports.render.palette import ramp

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED: dict[str, dict[str, Any]] = {
    "none": {"marker": ""},
    "dot": {"markersize": 4},
    "cross": {"marker": "x", "markersize": 7},
    "ring": {"marker": "o", "mfc": "none", "markersize": 11},
    "filled": {"markersize": 8},
    "open": {"mfc": "none", "markersize": 8},
}
IN_A_ROW = 3
BESIDE, SPREAD = 4, 20  # points between neighbouring error bars, and between the outermost
LARGER = 10  # points by which the largest mark exceeds the smallest


def lines(data: Lines, places: Places) -> Figure:
    """Draw every series with its band or error bars."""
    figure, axes = new()
    for series in data.series:
        before = set(axes.get_children())
        draw(axes, series, places)
        set_beside(axes, set(axes.get_children()) - before, series, data)
    for guide in data.guides:
        axes.plot(*zip(*guide, strict=True), color=GREY, linewidth=1, linestyle=":", zorder=1)
    set_axis(axes, "x", data.x)
    set_axis(axes, "y", data.y)
    if all(series.line == "none" for series in data.series):
        axes.margins(0.15)
    legend(axes)
    return figure


def set_beside(axes: Axes, drawn: Iterable[Artist], series: FigureSeries, data: Lines) -> None:
    """Move what was drawn of a series by a few points, so that error bars of several contenders stand side by side.

    After drawing, as limits do not count what has another transform."""
    from matplotlib.transforms import ScaledTranslation

    names = list(dict.fromkeys(one.contender for one in data.series if one.bars))
    if len(names) < 2 or series.contender not in names:
        return
    points = min(BESIDE, SPREAD / len(names)) * (names.index(series.contender) - (len(names) - 1) / 2)
    moved = axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
    for artist in drawn:
        artist.set_transform(moved)


def line_panels(data: LinePanels, places: Places) -> Figure:
    """Draw the panels, three in a row, with one axis of values."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    columns = min(len(data.panels), IN_A_ROW)
    rows = math.ceil(len(data.panels) / columns)
    size = (WIDTH * (0.4 + 0.6 * columns), HEIGHT * rows * (1.0 if columns == 1 else 0.85))
    figure = Figure(figsize=size, layout="constrained")
    drawn = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    own = {
        name: {"color": shade, "linestyle": "-"} for name, shade in zip(data.names, ramp(len(data.names)), strict=True)
    }
    order = {name: place for place, name in enumerate(data.names)}
    for axes, (title, of) in zip(drawn, data.panels, strict=False):
        for series in of.series:
            draw(axes, series, order, own.get(series.contender, {}))
        set_axis(axes, "x", of.x)
        if of.x.log:
            axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # the names of more have no room
        axes.set_title(short(title), fontsize=9)
    for axes in drawn[::columns]:
        axes.set_ylabel(data.panels[0][1].y.title)
    for empty in drawn[len(data.panels) :]:
        empty.remove()
    legend(drawn[0])
    return figure


def draw(axes: Axes, series: FigureSeries, places: Places, more: Mapping[str, Any] | None = None) -> None:
    """Draw one series. `more`: what replaces parts of a contender's look."""
    own = look(series.contender, places) | MARKED[series.mark] | dict(more or {})
    if series.line == "none":
        own["linestyle"] = ""
    if series.area is not None:
        own["markersize"] += LARGER * math.sqrt(series.area)
    own["label"] = "" if series.note else short(series.contender)
    y = floats(series.y)
    if series.bars:
        ends = [
            [abs(v - (v if end is None else end)) for v, end in zip(y, side, strict=True)]
            for side in (series.low, series.high)
        ]
        axes.errorbar(series.x, y, yerr=ends, capsize=3, **own)
        return
    steps = "steps-post" if series.line == "steps" else "default"
    axes.plot(series.x, y, drawstyle=steps, **own)
    if series.low and series.high:
        axes.fill_between(series.x, floats(series.low), floats(series.high), color=own["color"], alpha=0.1, linewidth=0)


def set_axis(axes: Axes, which: str, of: FigureAxis) -> None:
    """Set the title, the scale and the ticks of an axis."""
    from matplotlib.ticker import MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}label": of.title})
    if of.log:
        axes.set(**{f"{which}scale": "log"})
        log(axis)
    if of.ticks:
        axis.set_ticks(of.ticks, labels=[f"{tick:,}" if isinstance(tick, int) else f"{tick:g}" for tick in of.ticks])
        axis.set_ticks([], minor=True)
    if of.whole:
        axis.set_major_locator(MaxNLocator(integer=True))
    if of.limits:
        axes.set(**{f"{which}lim": of.limits})


def curves(data: Curves, places: Places) -> Figure:
    """Draw means over seeds against steps and training seconds, with bands."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, axis, title in ((left, "step", "steps"), (right, "train_seconds", "training seconds")):
        for band in data.bands or data.runs:
            mark = "none" if len(band.step) > 1 else "dot"
            named = short(band.contender) in axes.get_legend_handles_labels()[1]
            series = FigureSeries(band.contender, getattr(band, axis), band.value, band.low, band.high, mark=mark)
            draw(axes, replace(series, note="another seed") if named else series, places)
        if data.target is not None:
            axes.axhline(data.target, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel(title)
    known = [v for band in data.bands for v in (*band.value, *band.low) if v is not None]
    if data.column.endswith("loss") and known and min(known) > 0:
        left.set_yscale("log")
        log(left.yaxis)
    left.set_ylabel(data.y + (" (dotted: target)" if data.target is not None else ""))
    legend(left)
    return figure
