"""Heat maps: the metric over two hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optbench.reports.model.content import Sensitivity
from optbench.reports.render.figures.drawing import HEIGHT, WIDTH, Looks, log, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS = 120  # of a map, each way
LEAST_TRIALS = 8  # fewer are no map
IN_A_ROW = 3
CLIPPED = 0.1  # the worst tenth of all trials has one colour
INK, PAPER, RING = "#222222", "#ffffff", "#d55e00"


def maps(found: Sequence[Sensitivity]) -> list[Sensitivity]:
    """Those with two hyperparameters above 0 and trials enough."""
    fit = [of for of in found if len(of.y) >= LEAST_TRIALS and min(of.x) > 0]
    return [of for of in fit if any(value is not None for value in of.value)]


def heat(data: tuple[str, str, Sequence[Sensitivity]], looks: Looks) -> Figure:
    """A panel for each contender: every point of the plane has the colour of the nearest trial, in logarithms. Trials
    are dots, failures crosses in the colour of the worst, the chosen one is ringed."""
    from matplotlib.figure import Figure

    words, direction, found = data
    known = sorted(value for of in found for value in of.value if value is not None)
    worst, scale = colours_of(known, direction)
    columns, rows = min(len(found), IN_A_ROW), math.ceil(len(found) / IN_A_ROW)
    size = (WIDTH * (0.3 + 0.6 * columns), 0.85 * HEIGHT * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in panels[len(found) :]:
        empty.remove()
    panels = panels[: len(found)]
    for axes, of in zip(panels, found, strict=True):
        painted = nearest(of.x, of.y, [worst if value is None else value for value in of.value])
        mesh = axes.pcolormesh(*painted, rasterized=True, **scale)
        trials(axes, of)
        axes.set_title(short(of.contender), fontsize=9)
    end = "min" if direction == "max" else "max"
    figure.colorbar(mesh, ax=list(panels), label=f"{words} (worst tenth as one)", extend=end)
    return figure


def colours_of(known: Sequence[float], direction: str) -> tuple[float, dict[str, Any]]:
    """The worst value, and the scale of colours: light is good."""
    last = len(known) - 1
    if direction == "max":
        return known[0], {"cmap": "viridis", "vmin": known[round(CLIPPED * last)], "vmax": known[-1]}
    return known[-1], {"cmap": "viridis_r", "vmin": known[0], "vmax": known[round((1 - CLIPPED) * last)]}


def trials(axes: Axes, of: Sensitivity) -> None:
    """The trials of one map, and its axes."""
    points = list(zip(of.x, of.y, of.value, strict=True))
    for mark, shown in (
        ("o", [(x, y) for x, y, value in points if value is not None]),
        ("x", [(x, y) for x, y, value in points if value is None]),
    ):
        axes.plot([x for x, _ in shown], [y for _, y in shown], mark, mec=PAPER, mfc=INK, mew=0.7, markersize=4)
    chosen = [(x, y) for x, y, _ in points if x == of.chosen]
    axes.plot([x for x, _ in chosen], [y for _, y in chosen], "o", mfc="none", color=RING, markersize=11)
    axes.set_xscale("log")
    axes.set_yscale("log")
    log(axes.xaxis)
    log(axes.yaxis)
    axes.grid(visible=False)
    axes.set_xlabel(of.key)
    axes.set_ylabel(of.second)


def nearest(x: Sequence[float], y: Sequence[float], values: Sequence[float]) -> tuple[Any, Any, Any]:
    """Edges of columns and of rows (CELLS + 1,), and the value of the nearest point at each cell (CELLS, CELLS); both
    axes as logarithms, scaled to what the points span."""
    import numpy as np

    at = np.log(np.asarray([x, y], dtype=float))
    low, width = at.min(axis=1), np.ptp(at, axis=1)
    width = np.where(width > 0, width, 1.0)
    edges = np.linspace(-0.02, 1.02, CELLS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    scaled = (at - low[:, None]) / width[:, None]
    away = (middle[None, :, None] - scaled[0]) ** 2 + (middle[:, None, None] - scaled[1]) ** 2
    columns, rows = (np.exp(low[i] + edges * width[i]) for i in (0, 1))
    return columns, rows, np.asarray(values, dtype=float)[away.argmin(axis=2)]
