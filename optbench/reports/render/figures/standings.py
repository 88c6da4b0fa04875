"""All contenders over all workloads: scores, and ranks on each workload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optbench.reports.model.content import Across
from optbench.reports.model.document import Places
from optbench.reports.render.figures.bars import interval
from optbench.reports.render.figures.style import GREY, MARKERS, WIDTH, colour, rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def standings(across: Across, places: Places) -> Figure:
    """Draw the scores with their intervals on the left, the best on top; ranges of ranks on the right."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    scores = sorted((s for s in across.scores if s.mean.value is not None), key=lambda s: s.mean.value or 0.0)
    figure = Figure(figsize=(1.4 * WIDTH, 1.2 + 0.3 * len(scores)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    for row, score in enumerate(scores):
        interval(left, row, score.mean, colour(score.contender, places))
    count, handles = len(across.ranks), []
    for place, (workload, ranks) in enumerate(across.ranks.items()):
        mark = MARKERS[place % len(MARKERS)]
        handles.append(Line2D([], [], marker=mark, linewidth=0, color=GREY, markersize=3.5, label=workload))
        for row, score in enumerate(scores):
            low, high = ranks[score.contender]
            y = row + 0.6 * ((place + 0.5) / count - 0.5)
            own = colour(score.contender, places)
            right.plot([low, high], [y, y], color=own, linewidth=1.6)
            right.plot([(low + high) / 2], [y], mark, color=own, markersize=3.5)
    right.set_xlim(0.5, len(scores) + 0.5)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("rank, as a range")
    left.set_xlabel("score (1: the best mean, 0: the trivial answer)")
    for axes in (left, right):
        rows_of(axes, [score.contender for score in scores])
    figure.legend(handles=handles, loc="outside upper right", ncols=min(4, count))
    return figure
