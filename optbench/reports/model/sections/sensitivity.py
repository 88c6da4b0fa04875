"""Sensitivity: how the metric depends on the learning rate and on a second hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from optbench.reports.model.content import Workload
from optbench.reports.model.document import FlatRow, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, HeatMaps, Lines
from optbench.reports.model.flat import spread
from optbench.reports.model.numbers import MISSING, estimate_text, short
from optbench.reports.model.rows import Estimate, Sensitivity
from optbench.reports.model.table import CONTENDER, HTML, Table, TableColumn, Whisker, table

LEAST_TRIALS = 8  # fewer are no map
CLIPPED = 0.1  # the worst tenth of all trials has one colour
CAPTION = "Each trial, other values as tuning had them. A cross is a trial that failed, a ring the one chosen."


def sensitivity(workload: Workload) -> Section:
    """Return the metric of each trial against its learning rate, and the sensitivity as a number."""
    found = workload.sensitivity
    parts = present(by_rate(workload), numbers(found))
    return Section("sensitivity", "Learning-rate sensitivity", parts, (Records("sensitivity", lambda: trials(found)),))


def numbers(found: Sequence[Sensitivity]) -> Table:
    """Return one row for each contender."""
    return table(
        "Sensitivity to the learning rate",
        found,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("hyperparameter", "code"), lambda one: one.key),
        (TableColumn("decades near the best"), lambda one: decades(one.decades)),
        (TableColumn("loss of a random rate", "estimate"), lambda one: one.number),
        (TableColumn("interval", "whisker", HTML), lambda one: Whisker(one.number)),
        (TableColumn("trials", "count"), lambda one: len(one.x)),
        (TableColumn("failed", "count"), lambda one: one.value.count(None)),
        (TableColumn("chosen", "number"), lambda one: one.chosen),
        note="Decades of learning rate that lose at most a twentieth of the way from the trivial answer to the best; "
        "more is better, at least: the range tried ends before the good rates do. Loss of a random rate: the mean loss "
        "of metric over the range tried, which depends on where that range lies (Wortsman et al., 2023); 0 is best.",
    )


def decades(of: Estimate) -> str:
    """Return a number of decades in words; without an upper end it is a lower bound."""
    if of.value is None:
        return MISSING
    return f"at least {short(of.value, 2)}" if of.low is not None and of.high is None else estimate_text(of)


def by_rate(workload: Workload) -> Figure | None:
    """Return the figure of the trials by learning rate."""
    found = [one for one in workload.sensitivity if any(x > 0 for x in one.x)]
    if not found:
        return None
    edge = bad_edge([value for one in found for value in one.value], workload.direction)
    series = tuple(line for one in found for line in series_of(one, edge))
    keys = ", ".join(dict.fromkeys(one.key for one in found))
    lines = Lines(series, FigureAxis(keys, log=True), FigureAxis(f"validation {workload.metric}"))
    return Figure("sensitivity", "Learning-rate sensitivity", lines, CAPTION)


def series_of(one: Sensitivity, edge: float) -> Iterator[FigureSeries]:
    """Yield a contender's trials in order of the rate: those with a result, then the failed at `edge`, then the chosen
    one."""
    trials = sorted((x, value) for x, value in zip(one.x, one.value, strict=True) if x > 0 and value is not None)
    failed = sorted((x, edge) for x, value in zip(one.x, one.value, strict=True) if x > 0 and value is None)
    chosen = [(x, value) for x, value in trials if one.chosen is not None and math.isclose(x, one.chosen)]
    yield FigureSeries(one.contender, *columns(trials), mark="dot")
    if failed:
        yield FigureSeries(one.contender, *columns(failed), line="none", mark="cross", note="failed")
    if chosen:
        yield FigureSeries(one.contender, *columns(chosen), line="none", mark="ring", note="chosen")


def columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the x and the y of some points."""
    return [x for x, _ in points], [y for _, y in points]


def bad_edge(values: Sequence[float | None], direction: str) -> float:
    """Return a value just beyond the worst that was reached."""
    finite = [value for value in values if value is not None]
    if not finite:
        return 0.0
    reach = (max(finite) - min(finite)) or abs(finite[0]) or 1.0
    return min(finite) - 0.06 * reach if direction == "max" else max(finite) + 0.06 * reach


def heat_maps(workload: Workload) -> Section:
    """Return the metric over two hyperparameters, where two were searched by enough trials."""
    maps = [one for one in workload.sensitivity if len(one.y) >= LEAST_TRIALS and min(one.x) > 0]
    maps = [one for one in maps if any(value is not None for value in one.value)]
    known = sorted((v for one in maps for v in one.value if v is not None), reverse=workload.direction == "min")
    if not known:
        return Section("heat-maps", "Two hyperparameters")
    scale = (known[round(CLIPPED * (len(known) - 1))], known[-1])
    data = HeatMaps(f"validation {workload.metric}", tuple(maps), known[0], scale)
    caption = "Each dot is a trial; the worst tenth has one colour, a cross failed, a ring was chosen."
    figure = Figure("heat-maps", "Heat maps of two hyperparameters", data, caption)
    return Section("heat-maps", "Two hyperparameters", (figure,))


def trials(found: Sequence[Sensitivity]) -> Iterator[FlatRow]:
    """Yield every trial, with the sensitivity in each row."""
    for one in found:
        for x, y, value in zip(one.x, one.y or (None,) * len(one.x), one.value, strict=True):
            row = {"contender": one.contender, "key": one.key, "x": x, "second": one.second, "y": y}
            row |= {"val_metric": value, "chosen": x == one.chosen}
            yield row | spread("sensitivity", one.number) | spread("decades", one.decades)
