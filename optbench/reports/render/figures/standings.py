"""All contenders over all workloads: how far each has come, together and on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optbench.reports.model.content import Across
from optbench.reports.render.figures.drawing import WIDTH, Looks, look, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def standings(of: Across, looks: Looks) -> Figure:
    """Left the interquartile means with their intervals, the best on top; right the ranges of ranks by workload."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    scores = sorted((s for s in of.scores if s.iqm.value is not None), key=lambda s: s.iqm.value or 0.0)
    figure = Figure(figsize=(1.4 * WIDTH, 1.2 + 0.3 * len(scores)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    for at, score in enumerate(scores):
        colour = look(score.contender, looks)["color"]
        if score.iqm.low is not None and score.iqm.high is not None:
            left.plot([score.iqm.low, score.iqm.high], [at, at], color=colour, linewidth=2)
        left.plot([score.iqm.value], [at], "o", color=colour, markersize=6)
    left.set_yticks(range(len(scores)), [short(score.contender) for score in scores])
    left.set_ylim(-0.6, len(scores) - 0.4)
    left.set_xlabel("interquartile mean (1: the best mean, 0: the worst)")
    count = len(of.ranks)
    for place, (workload, ranks) in enumerate(of.ranks.items()):
        own = look(workload, {name: number for number, name in enumerate(of.ranks)})
        for at, score in enumerate(scores):
            low, high = ranks[score.contender]
            y = at + 0.6 * ((place + 0.5) / count - 0.5)
            right.plot([low, high], [y, y], color=own["color"], linewidth=1.6)
            middle = {"label": workload} if at == 0 else {}
            right.plot([(low + high) / 2], [y], own["marker"], color=own["color"], markersize=3.5, **middle)
    right.set_xlabel("rank, as a range")
    right.set_xlim(0.5, len(scores) + 0.5)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=min(4, count))
    return figure
