"""A table of times, scored: every score with its intervals, and the performance profiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optbench.reports.algoperf.resampling import STUDIES, WORKLOADS
from optbench.reports.algoperf.score_table import Scored, ScoreTable, ranks_text
from optbench.reports.model.figure import FigureSeries
from optbench.reports.render.figures.lines import draw
from optbench.reports.render.figures.style import GREY, WIDTH, legend, new, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS = {  # colour, width and words of each interval, the widest interval first
    WORKLOADS: ("#bcd2e8", 2.0, "interval over workloads"),
    STUDIES: ("#0072b2", 5.0, "interval over studies"),
}
DOT, ROW = "#10202c", 0.27  # inches
NAMED = 5  # profiles with a colour


def scores(table: ScoreTable) -> Figure:
    """Draw every score with its intervals, the best on top, and the interval of its rank beside it."""
    from matplotlib.lines import Line2D

    figure, axes = new(1.0 + ROW * len(table.rows))
    figure.set_figwidth(1.25 * WIDTH)
    rows = table.rows[::-1]
    kinds = [kind for kind in BARS if kind in rows[0].spreads]
    for y, row in enumerate(rows):
        for kind in kinds:
            colour, width, _ = BARS[kind]
            axes.plot(row.spreads[kind].score, [y, y], color=colour, linewidth=width, solid_capstyle="butt")
        axes.plot([row.score], [y], "o", color=DOT, markersize=5)
    rows_of(axes, [row.submission for row in rows])
    axes.set_xlim(left=0.0)
    axes.set_xlabel(f"score, 0 to 1: right is better, {table.level:.0%} intervals")
    if kinds:
        ranks(axes, rows, kinds[-1])
    marks = [Line2D([], [], color=DOT, marker="o", linewidth=0, markersize=5, label="score")]
    bars = [Line2D([], [], color=BARS[kind][0], linewidth=BARS[kind][1], label=BARS[kind][2]) for kind in kinds[::-1]]
    figure.legend(handles=[*marks, *bars], loc="outside upper center", ncols=3)
    return figure


def ranks(axes: Axes, rows: tuple[Scored, ...], kind: str) -> None:
    """Write the interval of each rank to the right of the axes."""
    for y, row in enumerate(rows):
        at = (1.02, y)
        words = ranks_text(row.spreads[kind])
        axes.annotate(words, at, xycoords=("axes fraction", "data"), va="center", color=GREY, annotation_clip=False)
    axes.annotate(f"rank over {kind}", (1.02, len(rows) - 0.3), xycoords=("axes fraction", "data"), color=GREY)


def profiles(table: ScoreTable) -> Figure:
    """Draw the profiles of the best submissions in colours, the others in grey."""
    figure, axes = new()
    best = [row.submission for row in table.rows[:NAMED]]
    by_name = {profile.contender: profile for profile in table.profiles}
    others = [profile for profile in table.profiles if profile.contender not in best]
    for at, profile in enumerate(others):
        name = f"{len(others)} others" if at == 0 else None
        axes.plot(profile.tau, profile.share, color="#d5d9dd", linewidth=1, drawstyle="steps-post", label=name)
    places = {name: place for place, name in enumerate(best)}
    for name in best:
        draw(axes, FigureSeries(name, by_name[name].tau, by_name[name].share, line="steps"), places)
    axes.set(xlabel="tau: time over the fastest's", ylabel="share of workloads reached within tau")
    axes.set(xlim=(1.0, table.r_max), ylim=(0.0, min(1.0, 0.05 + highest(table))))
    legend(axes)
    return figure


def highest(table: ScoreTable) -> float:
    """Return the greatest share that any profile reaches."""
    return max((max(profile.share, default=0.0) for profile in table.profiles), default=math.nan)
