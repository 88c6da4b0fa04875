"""Heat maps: a metric over two hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.reports.model.document import Places
from optbench.reports.model.figure import HeatMaps
from optbench.reports.model.rows import Sensitivity
from optbench.reports.render.figures.style import HEIGHT, WIDTH, log, logit, short

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS = 120  # of a map, each way
IN_A_ROW = 3
INK, PAPER, RING = "#222222", "#ffffff", "#d55e00"


def heat(data: HeatMaps, places: Places) -> Figure:
    """Draw a panel for each contender: every point has the colour of the nearest trial, on the scales of the axes.
    Trials are dots, failures crosses in the colour of the worst, the chosen one is ringed."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    found = data.maps
    columns, rows = min(len(found), IN_A_ROW), math.ceil(len(found) / IN_A_ROW)
    size = (WIDTH * (0.3 + 0.6 * columns), 0.85 * HEIGHT * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in panels[len(found) :]:
        empty.remove()
    rising = data.scale[0] <= data.scale[1]
    light_is_good = "viridis" if rising else "viridis_r"
    colours = {"norm": Normalize(min(data.scale), max(data.scale)), "cmap": light_is_good}
    for axes, of in zip(panels, found, strict=False):
        values = [data.worst if value is None else value for value in of.value]
        axes.pcolormesh(*nearest(of.x, of.y, values), rasterized=True, **colours)
        trials(axes, of)
        axes.set_title(short(of.contender), fontsize=9)
    words, end = f"{data.metric} (worst tenth as one)", "min" if rising else "max"
    figure.colorbar(ScalarMappable(**colours), ax=list(panels[: len(found)]), label=words, extend=end)
    return figure


def trials(axes: Axes, of: Sensitivity) -> None:
    """Draw the trials of one map, and its axes."""
    points = list(zip(of.x, of.y, of.value, strict=True))
    fine = [(x, y) for x, y, value in points if value is not None]
    failed = [(x, y) for x, y, value in points if value is None]
    chosen = [(x, y) for x, y, _ in points if x == of.chosen]
    for mark, shown in (("o", fine), ("x", failed)):
        axes.plot([x for x, _ in shown], [y for _, y in shown], mark, mec=PAPER, mfc=INK, mew=0.7, markersize=4)
    axes.plot([x for x, _ in chosen], [y for _, y in chosen], "o", mfc="none", color=RING, markersize=11)
    axes.set(xscale=scale_of(of.x), yscale=scale_of(of.y), xlabel=of.key, ylabel=of.second)
    for axis in (axes.xaxis, axes.yaxis):
        (log if axis.get_scale() == "log" else logit)(axis)
    axes.grid(visible=False)


def scale_of(values: Sequence[float]) -> str:
    """Return the matplotlib scale for positive values: "logit" for decay rates such as 0.9 and 0.999, else "log"."""
    return "logit" if all(0.5 <= value < 1 for value in values) else "log"


def nearest(
    x: Sequence[float], y: Sequence[float], values: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of columns and of rows (CELLS + 1,), and the value of the nearest point at each cell
    (CELLS, CELLS); both axes on their scales, and these scaled to what the points span."""
    import numpy as np

    places = np.asarray([np.log(x), np.log(y)], dtype=float)
    logit = np.asarray([scale_of(x) == "logit", scale_of(y) == "logit"])
    places[logit] -= np.log1p(-np.asarray([x, y], dtype=float)[logit])
    low, width = places.min(axis=1), np.ptp(places, axis=1)
    width = np.where(width > 0, width, 1.0)
    edges = np.linspace(-0.02, 1.02, CELLS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    scaled = (places - low[:, None]) / width[:, None]
    distance = (middle[None, :, None] - scaled[0]) ** 2 + (middle[:, None, None] - scaled[1]) ** 2
    ends = (low[i] + edges * width[i] for i in (0, 1))
    columns, rows = (1 / (1 + np.exp(-at)) if logit[i] else np.exp(at) for i, at in enumerate(ends))
    return columns, rows, np.asarray(values, dtype=float)[distance.argmin(axis=2)]
