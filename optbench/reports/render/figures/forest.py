"""A claim as a forest plot: a row for each piece of evidence.

A row is the interval of the first side's gain, against the region in which the criterion holds; right is better.
Criteria of one measure and one margin share an axis. The axis of a ratio shows factors, on a log scale."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.config.measures import MEASURES
from optbench.reports.model.content import NOT_TESTABLE, VERDICTS, Claim, CriterionVerdict, Evidence, verdict_word
from optbench.reports.model.document import Places
from optbench.reports.render.figures.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {VERDICTS[True]: "#008f68", VERDICTS[False]: "#d55e00", VERDICTS[None]: "#5c6670", NOT_TESTABLE: "#a3acb3"}
MARKS = {VERDICTS[True]: "o", VERDICTS[False]: "X", VERDICTS[None]: "D", NOT_TESTABLE: "s"}
HOLDS = "#d9efe6"  # where the criterion holds
WIDTH, ROW, AXIS = 8.4, 0.46, 0.62  # inches: a figure, a row, an axis with its words
LINE = 52  # characters of a row's words
FACTORS = (  # ticks above 1, from the finest
    (1.01, 1.02, 1.03, 1.04, 1.05),
    (1.02, 1.04, 1.06, 1.08, 1.1),
    (1.05, 1.1, 1.15, 1.2, 1.25),
    (1.1, 1.2, 1.3, 1.4, 1.5),
    (1.25, 1.5, 1.75, 2.0),
    (1.5, 2.0, 3.0, 4.0),
    (2.0, 3.0, 5.0, 10.0),
    (2.0, 5.0, 10.0, 20.0, 50.0),
    (3.0, 10.0, 30.0, 100.0, 300.0),
    *(tuple(10.0 ** (n * k) for n in range(1, 6)) for k in (1, 2, 5, 10, 60)),
)
MOST = 40  # rows; the words of the claim have the rest
Evidenced = tuple[str, Evidence]  # the words of a row, and what is drawn
REACH = 0.12  # of the width, for intervals without an end


def forest(claim: Claim, places: Places) -> Figure:
    """Draw all criteria of a claim, from top to bottom."""
    from matplotlib.figure import Figure

    groups = grouped(claim)
    heights = [ROW * len(rows) + AXIS for _, rows in groups]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (criterion, rows) in zip(panels, groups, strict=True):
        panel(axes, criterion, rows)
    verdicts = {word_of(evidence) for _, rows in groups for _, evidence in rows}
    figure.legend(handles=keys(verdicts), loc="outside upper left", ncols=4, fontsize=8)
    return figure


def grouped(claim: Claim) -> list[tuple[CriterionVerdict, list[Evidenced]]]:
    """Return neighbouring criteria that can share an axis, with their rows."""
    found: list[tuple[CriterionVerdict, list[Evidenced]]] = []
    room = MOST
    for _, group in itertools.groupby(claim.criteria, lambda one: (one.measure, one.relation, one.margin)):
        criteria = list(group)
        rows = [(words_of(one, evidence), evidence) for one in criteria for evidence in one.evidence]
        kept = [row for row in rows if row[1].low is not None or row[1].high is not None]
        if kept[:room]:
            found.append((criteria[0], kept[:room]))
        room -= len(kept[:room])
    return found


def words_of(criterion: CriterionVerdict, evidence: Evidence) -> str:
    """Return the words beside a row: the criterion, and the workload if it has several."""
    said = criterion.text or criterion.statement
    return said if len(criterion.evidence) == 1 else f"{said}\n{evidence.where}"


def panel(axes: Axes, criterion: CriterionVerdict, rows: Sequence[Evidenced]) -> None:
    """Draw one axis with its rows."""
    share = MEASURES[criterion.measure].is_ratio
    low, high = span(criterion, rows)
    start, end = holding(criterion, share)
    axes.axvspan(max(start, low), min(end, high), color=HOLDS, linewidth=0, zorder=0)
    axes.axvline(0.0, color=GREY, linewidth=0.8, zorder=1)
    for at, (_, evidence) in enumerate(reversed(rows)):
        interval(axes, at, evidence, low, high)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [wrapped(words) for words, _ in reversed(rows)])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    if share:
        factors(axes, low, high)
    axes.set_xlabel(label(criterion, share), fontsize=8)


def interval(axes: Axes, at: int, of: Evidence, low: float, high: float) -> None:
    """Draw one row: the interval, an arrow where it has no end, the gain itself."""
    colour = COLOURS[word_of(of)]
    ends = [of.low if of.low is not None else low, of.high if of.high is not None else high]
    axes.plot(ends, [at, at], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    for end, known, mark in ((low, of.low, "<"), (high, of.high, ">")):
        if known is None:
            axes.plot([end], [at], mark, color=colour, markersize=6, clip_on=False, zorder=3)
    if of.value is not None:
        axes.plot([of.value], [at], MARKS[word_of(of)], color=colour, markersize=6, zorder=4)


def span(criterion: CriterionVerdict, rows: Sequence[Evidenced]) -> tuple[float, float]:
    """Return the ends of an axis: all that is drawn, zero and the margin lie between them."""
    edge = edge_of(criterion, MEASURES[criterion.measure].is_ratio)
    known = [v for _, of in rows for v in (of.low, of.high, of.value) if v is not None] + [0.0, edge, -edge]
    width = (max(known) - min(known)) or 1.0
    return min(known) - REACH * width, max(known) + REACH * width


def edge_of(criterion: CriterionVerdict, share: bool) -> float:
    """Return the margin in the unit of the axis."""
    return math.log1p(criterion.margin) if share else criterion.margin


def holding(criterion: CriterionVerdict, share: bool) -> tuple[float, float]:
    """Return the region in which the whole interval must lie for the criterion to hold."""
    edge = edge_of(criterion, share)
    return {
        "better": (edge, math.inf),
        "better_by": (edge, math.inf),
        "not_worse": (-edge, math.inf),
        "worse": (-math.inf, -edge),
        "worse_by": (-math.inf, -edge),
        "not_better": (-math.inf, edge),
        "tie": (-edge, edge),
    }[criterion.relation]


def factors(axes: Axes, low: float, high: float) -> None:
    """Write the ticks of a logarithm as factors: 2 is twice as good, 1/2 half as good."""
    above = next((of for of in FACTORS if math.log(of[-1]) >= max(-low, high)), FACTORS[-1])
    named = {-math.log(f): f"1/{f:g}" for f in reversed(above)} | {0.0: "1"} | {math.log(f): f"{f:g}" for f in above}
    shown = {at: name for at, name in named.items() if low <= at <= high}
    axes.set_xticks(list(shown), list(shown.values()))


def label(criterion: CriterionVerdict, share: bool) -> str:
    """Return the title of an axis."""
    more = MEASURES[criterion.measure].more_is_better
    better = "larger" if more else "smaller"
    what = (
        f"{criterion.measure}: how many times {better}, right is better"
        if share
        else f"gain in {criterion.measure}, right is better"
    )
    return f"{what} ({criterion.margin_words})" if criterion.margin_words else what


def wrapped(words: str) -> str:
    """Return a row's words on at most three lines."""
    lines = [part for line in words.split("\n") for part in textwrap.wrap(line, LINE, break_on_hyphens=False)]
    return "\n".join(lines[:3])


def word_of(of: Evidence) -> str:
    """Return the verdict of one row in words."""
    return verdict_word(of.holds, of.testable)


def keys(verdicts: set[str]) -> list[object]:
    """Return the legend: the verdicts that occur, and the region."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = [
        Line2D([], [], color=COLOURS[word], marker=MARKS[word], linewidth=2.2, label=word)
        for word in COLOURS
        if word in verdicts
    ]
    return [*lines, Patch(color=HOLDS, label="where the criterion holds")]
