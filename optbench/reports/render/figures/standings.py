"""All contenders over all workloads: their scores with intervals, and the score on each workload as a heat map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optbench.reports.model.content import Across, Score
from optbench.reports.model.document import Places
from optbench.reports.render.figures.bars import interval
from optbench.reports.render.figures.style import WIDTH, colour, rows_of, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, COLUMN = 0.3, 0.62  # inches
DARK = 0.6  # scores from which numbers are white


def standings(across: Across, places: Places) -> Figure:
    """Draw the scores with their intervals on the left, the best on top, and those of each workload on the right."""
    from matplotlib.figure import Figure

    known = [one for one in across.scores if one.mean.value is not None]
    scores = sorted(known, key=lambda one: one.mean.value or 0.0)
    workloads = list(dict.fromkeys(name for one in scores for name in one.by_workload))
    width = 0.75 * WIDTH, COLUMN * max(1, len(workloads))
    longest = max((len(short(name)) for name in workloads), default=0)
    size = (sum(width) + 0.4, 0.9 + ROW * len(scores) + 0.05 * longest)
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=width) if workloads else (figure.subplots(), None)
    for row, score in enumerate(scores):
        interval(left, row, score.mean, colour(score.contender, places))
    left.set_xlim(-0.03, 1.03)
    left.set_xlabel("score (1: the best mean, 0: the trivial answer)")
    rows_of(left, [score.contender for score in scores])
    if right is not None:
        by_workload(right, scores, workloads)
    return figure


def by_workload(axes: Axes, scores: Sequence[Score], workloads: Sequence[str]) -> None:
    """Draw a cell for each contender and workload: the darker, the higher the score."""
    values = [[score.by_workload.get(name, math.nan) for name in workloads] for score in scores]
    axes.imshow(values, cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto", origin="lower")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            ink = "#ffffff" if value >= DARK else "#222222"
            axes.text(
                x, y, "" if math.isnan(value) else f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8
            )
    axes.set_xticks(range(len(workloads)), [short(name) for name in workloads], rotation=35, ha="left", fontsize=8)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, left=False, length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
