"""Learning-rate transfer along an axis: the metric against the rate at each value."""

from __future__ import annotations

import math
from collections.abc import Iterator

from optbench.reports.model.axes import Axis, RateCurve, RateTransfer
from optbench.reports.model.document import FlatRow, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, LinePanels, Lines
from optbench.reports.model.flat import spread
from optbench.reports.model.numbers import short
from optbench.reports.model.table import CONTENDER, EVERYWHERE, Cell, Flagged, Table, TableColumn, table

TRANSFER = (
    "The learning rate that is best at the least value, used at each other one: the validation metric it loses there "
    "against the best rate tried, linear in log(rate) between rates. Intervals redraw the noise of all runs. The best "
    "rate lies between the two in brackets if each curve has one maximum. Shift: decades of the best rate for each "
    "doubling, by least squares over the rates tried."
)


def rates(of: Axis) -> Section:
    """Return the transfer of learning rates along the axis."""
    parts = present(rate_figure(of), transfer_table(of))
    return Section("rates", f"Learning-rate transfer along {of.words}", parts, (Records("rates", lambda: trials(of)),))


def rate_figure(of: Axis) -> Figure | None:
    """Return the metric against the learning rate: a panel for each contender, a line for each value."""
    if not of.transfers:
        return None
    names = tuple(f"{of.words} {value:g}" for value in of.values)
    panels = tuple((one.contender, rate_lines(of, one)) for one in of.transfers)
    caption = (
        f"Validation {of.metric} of tuning and final runs by learning rate, a line for each {of.words}. Ring: the best "
        "rate of each."
    )
    return Figure("rates", f"Learning-rate transfer along {of.words}", LinePanels(panels, names), caption)


def rate_lines(of: Axis, one: RateTransfer) -> Lines:
    """Return a contender's curves."""
    series = tuple(line for curve in one.curves for line in curve_lines(of, curve))
    return Lines(series, FigureAxis(f"learning rate, {one.key}", log=True), FigureAxis(f"validation {of.metric}"))


def curve_lines(of: Axis, curve: RateCurve) -> Iterator[FigureSeries]:
    """Yield the curve of one value, and its best rate."""
    name = f"{of.words} {curve.value:g}"
    yield FigureSeries(name, curve.rates, curve.metric, mark="dot")
    best = [value for rate, value in zip(curve.rates, curve.metric, strict=True) if math.isclose(rate, curve.best)]
    yield FigureSeries(name, [curve.best], best, line="none", mark="ring", note="best")


def transfer_table(of: Axis) -> Table:
    """Return the best rate at each value and what the base's costs there."""
    rows = [(one, curve) for one in of.transfers for curve in one.curves]
    return table(
        "Cost of the learning rate that is best at the least value",
        rows,
        (CONTENDER, lambda row: row[1].contender),
        (TableColumn(of.words, "number"), lambda row: row[1].value),
        (TableColumn("best rate", "estimate"), best_rate),
        (TableColumn("cost of the base's rate", "estimate"), lambda row: row[1].cost),
        (TableColumn("shift per doubling", "number", digits=2), lambda row: shift_in(row)),
        note=TRANSFER,
        outputs=EVERYWHERE,
    )


def best_rate(row: tuple[RateTransfer, RateCurve]) -> Cell:
    """Return the best rate with those between which it lies, flagged where it is the last one tried."""
    curve = row[1]
    words = f"{short(curve.best, 3)} [{short(curve.low, 3)}, {short(curve.high, 3)}]"
    return Flagged(words, f"{curve.edge} edge of the rates") if curve.edge else words


def shift_in(row: tuple[RateTransfer, RateCurve]) -> float | None:
    """Return the shift in the row of the largest value."""
    return row[0].shift if row[1] is row[0].curves[-1] else None


def trials(of: Axis) -> Iterator[FlatRow]:
    """Yield every rate of every curve."""
    for one in of.transfers:
        for curve in one.curves:
            shared = {"contender": one.contender, "key": one.key, "value": curve.value}
            ends = {"best": curve.best, "best_low": curve.low, "best_high": curve.high, "edge": curve.edge}
            ends |= {"transferred": curve.transferred, "shift": one.shift} | spread("cost", curve.cost)
            for rate, metric in zip(curve.rates, curve.metric, strict=True):
                yield shared | {"rate": rate, "val_metric": metric} | ends
