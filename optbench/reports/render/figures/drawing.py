"""Each figure from its data. The same data give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optbench.reports.model.content import BudgetCurve, Curve, Estimate, LadderStep, ParetoPoint, Profile, Sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOK = 3  # of all figures: a new one draws them anew
COLOURS = ("#0072b2", "#d55e00", "#008f68", "#b4508b", "#a06f00", "#3b8fc2", "#6a55a3", "#5c6670")  # as in the page
MARKERS = "osD^vPX*"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
PHASES = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#999999", "#7a5195", "#d55e00", "#bbbbbb")
WIDTH, HEIGHT, DPI = 6.4, 4.0, 150
LEGEND_ROW = 0.19  # inches
LONGEST = 40  # characters of a contender's name
LEGEND_LINE = 60  # characters of the names in one row of a legend of WIDTH
Looks = dict[str, int]


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's settings for a figure, and its own again."""
    import matplotlib

    ours = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "axes.axisbelow": True,
        "legend.frameon": False,
        "figure.dpi": DPI,
        "svg.hashsalt": "optbench",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "axes.formatter.useoffset": False,
    }
    with matplotlib.rc_context(ours):
        yield


def new(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def save(figure: Figure, out: Any, ending: str) -> None:
    """Write a figure, without a date and the program's version; signs that no font has become boxes."""
    import warnings

    about: dict[str, Any] = {"Date": None} if ending == "svg" else {"Software": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(out, format=ending, dpi=DPI, metadata=about)


def look(name: str, looks: Looks) -> dict[str, Any]:
    """Colour, dash and marker of a contender."""
    place = looks.get(name, len(looks))
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[(place // len(COLOURS) + place) % len(DASHES)],
        "marker": MARKERS[(place // len(COLOURS) + place) % len(MARKERS)],
    }


def short(name: str) -> str:
    """A name that fits: of a long one the start and the end, in which names of one family differ."""
    line = "".join(c if c.isprintable() else " " for c in name)
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]}…{line[-(half - 1) :]}"


def legend(axes: Axes) -> None:
    """The contenders, above the axes; each row of names but the first makes the figure higher."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    figure = axes.figure
    width, height = figure.get_size_inches()
    columns = max(1, min(4, int(LEGEND_LINE * width / WIDTH) // max(map(len, labels))))
    figure.set_size_inches(width, height + LEGEND_ROW * (math.ceil(len(labels) / columns) - 1))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def log(axis: Any) -> None:
    """Plain numbers on a logarithmic axis, between the powers of ten too where there are few."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):  # here, as matplotlib is imported late
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))


def leaderboard(data: tuple[str, str, Sequence[tuple[str, Estimate, Sequence[float]]]], looks: Looks) -> Figure:
    """Means with intervals, single seeds as thin marks; the best on top."""
    metric, direction, rows = data
    figure, axes = new(1.0 + 0.34 * len(rows))
    for at, (name, estimate, values) in enumerate(reversed(rows)):
        colour = look(name, looks)["color"]
        axes.plot(values, [at] * len(values), "|", color=colour, alpha=0.6, markersize=9)
        if estimate.value is None:
            continue
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [at, at], color=colour, linewidth=2)
        axes.plot([estimate.value], [at], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(rows)), [short(name) for name, _, _ in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{metric} ({'higher' if direction == 'max' else 'lower'} is better)")
    return figure


def curves(data: tuple[str, str, float | None, Sequence[Curve]], looks: Looks) -> Figure:
    """Means over seeds against steps and training seconds, the band from the least to the greatest."""
    from matplotlib.figure import Figure

    words, column, target, bands = data
    figure = Figure(figsize=(1.5 * WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    known = [v for band in bands for v in (*band.value, *band.low) if v is not None]
    for axes, axis, label in ((left, "step", "steps"), (right, "train_seconds", "training seconds")):
        for band in bands:
            at, own = getattr(band, axis), look(band.contender, looks)
            marks = {} if len(at) > 1 else {"marker": own["marker"]}
            axes.plot(
                at, band.value, color=own["color"], linestyle=own["linestyle"], label=short(band.contender), **marks
            )
            if band.low and band.high:
                axes.fill_between(at, floats(band.low), floats(band.high), color=own["color"], alpha=0.15, linewidth=0)
        if target is not None:
            axes.axhline(target, color="#777777", linewidth=0.8, linestyle=":")
        axes.set_xlabel(label)
    if column.endswith("loss") and known and min(known) > 0:
        left.set_yscale("log")
        log(left.yaxis)
    left.set_ylabel(words + (" (dotted: target)" if target is not None else ""))
    legend(left)
    return figure


def floats(values: Sequence[float | None]) -> list[float]:
    """None as nan, which is not drawn."""
    return [math.nan if value is None else value for value in values]


def tuning_budget(data: tuple[str, Sequence[BudgetCurve]], looks: Looks) -> Figure:
    """The expected best against the number of trials."""
    from matplotlib.ticker import MaxNLocator

    words, found = data
    figure, axes = new()
    for curve in found:
        own = look(curve.contender, looks)
        axes.plot(curve.trials, floats(curve.expected), label=short(curve.contender), markersize=4, **own)
        axes.fill_between(
            curve.trials, floats(curve.low), floats(curve.high), color=own["color"], alpha=0.1, linewidth=0
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tuning trials")
    axes.set_ylabel(words)
    legend(axes)
    return figure


def sensitivity(data: tuple[str, str, Sequence[Sensitivity]], looks: Looks) -> Figure:
    """The metric of each trial against its learning rate; failures as crosses at the worst end, the chosen ringed."""
    words, direction, found = data
    figure, axes = new()
    known = [value for of in found for value in of.value if value is not None]
    worst = (min(known) if direction == "max" else max(known)) if known else 0.0
    for of in found:
        own = look(of.contender, looks)
        points = sorted((x, value) for x, value in zip(of.x, of.value, strict=True) if x > 0 and value is not None)
        failed = sorted(x for x, value in zip(of.x, of.value, strict=True) if x > 0 and value is None)
        axes.plot([x for x, _ in points], [v for _, v in points], label=short(of.contender), markersize=4, **own)
        axes.plot(failed, [worst] * len(failed), "x", color=own["color"], markersize=7)
        chosen = [(x, v) for x, v in points if x == of.chosen]
        axes.plot([x for x, _ in chosen], [v for _, v in chosen], "o", mfc="none", color=own["color"], markersize=11)
    axes.set_xscale("log")
    log(axes.xaxis)
    axes.set_xlabel(", ".join(dict.fromkeys(of.key for of in found)) + " (cross: failed, ring: chosen)")
    axes.set_ylabel(words)
    legend(axes)
    return figure


def ladder(data: tuple[str, str, Sequence[LadderStep]], looks: Looks) -> Figure:
    """The headline at the end of complete schedules of several lengths."""
    metric, on, steps = data
    figure, axes = new()
    for name in dict.fromkeys(step.contender for step in steps):
        own = [step for step in steps if step.contender == name]
        estimates = [getattr(step, on) for step in own]
        values = floats([e.value for e in estimates])
        ends = [
            [abs(v - (end if end is not None else v)) for v, end in zip(values, side, strict=True)]
            for side in ([e.low for e in estimates], [e.high for e in estimates])
        ]
        axes.errorbar(
            [s.steps for s in own], values, yerr=ends, capsize=3, markersize=4, label=short(name), **look(name, looks)
        )
    axes.set_xscale("log")
    budgets = sorted({step.steps for step in steps if step.steps > 0})
    axes.set_xticks(budgets, [f"{steps:,}" for steps in budgets])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("steps of the complete schedule")
    axes.set_ylabel(metric)
    legend(axes)
    return figure


def time(data: Sequence[tuple[str, dict[str, float]]], looks: Looks) -> Figure:
    """Mean seconds of a run by phase."""
    figure, axes = new(1.3 + 0.34 * len(data))
    phases = list(dict.fromkeys(phase for _, seconds in data for phase, value in seconds.items() if value > 0))
    start = [0.0] * len(data)
    for phase, colour in zip(phases, (PHASES * (len(phases) // len(PHASES) + 1)), strict=False):
        values = [seconds.get(phase, 0.0) for _, seconds in reversed(data)]
        axes.barh(range(len(data)), values, left=start, color=colour, label=phase, height=0.7)
        start = [a + b for a, b in zip(start, values, strict=True)]
    axes.set_yticks(range(len(data)), [short(name) for name, _ in reversed(data)])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("mean seconds of a run")
    legend(axes)
    return figure


def memory(data: Sequence[tuple[str, int | None, int | None]], looks: Looks) -> Figure:
    """Bytes of optimizer state."""
    figure, axes = new(1.0 + 0.34 * len(data))
    unit, name = next(
        (u, n) for u, n in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")) if largest(data) >= u or u == 1
    )
    for at, (who, state, _) in enumerate(reversed(data)):
        if state is not None:
            axes.barh(at, state / unit, color=look(who, looks)["color"], height=0.7)
    sizes = {parameters for _, _, parameters in data if parameters}
    if len(sizes) == 1:
        axes.axvline(sizes.pop() / unit, color="#777777", linewidth=0.8, linestyle=":")
        axes.set_xlabel(f"optimizer state, {name} (dotted: the parameters)")
    else:
        axes.set_xlabel(f"optimizer state, {name}")
    axes.set_yticks(range(len(data)), [short(who) for who, _, _ in reversed(data)])
    axes.grid(axis="y", visible=False)
    return figure


def largest(data: Sequence[tuple[str, int | None, int | None]]) -> float:
    """The greatest size that is drawn."""
    return max(float(value or 0) for _, *sizes in data for value in sizes)


def trade_offs(data: tuple[str, Sequence[ParetoPoint]], looks: Looks) -> Figure:
    """Quality against training seconds; those on the front are filled."""
    metric, points = data
    figure, axes = new()
    for point in points:
        if point.quality is None or point.train_seconds is None:
            continue
        own = look(point.contender, looks)
        filled = {} if point.front else {"mfc": "none"}
        axes.plot(
            [point.train_seconds],
            [point.quality],
            own["marker"],
            color=own["color"],
            label=short(point.contender),
            markersize=8,
            **filled,
        )
    axes.margins(0.15)
    axes.set_xlabel("training seconds of a run (filled: on the front of quality, time and memory)")
    axes.set_ylabel(metric)
    legend(axes)
    return figure


def profiles(data: Sequence[Profile], looks: Looks) -> Figure:
    """The share of workloads solved within tau times the fastest."""
    figure, axes = new()
    for profile in data:
        own = look(profile.contender, looks)
        axes.step(
            profile.tau,
            profile.share,
            where="post",
            color=own["color"],
            linestyle=own["linestyle"],
            label=short(profile.contender),
        )
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("tau: times the fastest's time to target")
    axes.set_ylabel("share of workloads")
    legend(axes)
    return figure


FIGURES: dict[str, Callable[[Any, Looks], Any]] = {
    "leaderboard": leaderboard,
    "tuning-budget": tuning_budget,
    "sensitivity": sensitivity,
    "ladder": ladder,
    "time": time,
    "memory": memory,
    "trade-offs": trade_offs,
    "profiles": profiles,
}
