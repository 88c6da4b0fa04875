"""Measure headline, span and the transfer of learning rates along each numeric axis of a study."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from optbench.reports.claims.axes import along, numeric_axes, value_of
from optbench.reports.claims.sides import Side, at_greatest_budget
from optbench.reports.contenders import samples_of, steps_of
from optbench.reports.model.axes import Axis, AxisEquivalent, AxisPoint, AxisSpan, RateCurve, RateTransfer
from optbench.reports.model.content import Workload
from optbench.reports.model.rows import Estimate, Row
from optbench.reports.rate_curves import rate_curve, rate_key
from optbench.reports.statistics.measures.axis_span import axis_span
from optbench.reports.statistics.measures.equivalent_trend import ratio_trend
from optbench.reports.statistics.measures.rate_transfer import Curve, best_between, cost, shift, transferred

BYTES = 4  # of a parameter: networks are float32, also where precision is lower
Rows = Mapping[tuple[str, str], tuple[Workload, Row]]


def axes(sides: Sequence[Side], workloads: Sequence[Workload], level: float) -> tuple[Axis, ...]:
    """Return every numeric axis, once for each group of workloads that differ in nothing else."""
    sides = at_greatest_budget(sides, ())
    rows = {(workload.name, row.contender): (workload, row) for workload in workloads for row in workload.rows}
    found = []
    for key in numeric_axes(sides):
        groups: dict[str, list[Side]] = {}
        for side in along(sides, key):
            groups.setdefault(side.workload, []).append(side)
        found += [axis(key, name, group, rows, level) for name, group in groups.items()]
    return tuple(found)


def axis(key: str, name: str, contenders: Sequence[Side], rows: Rows, level: float) -> Axis:
    """Return one axis. `contenders`: each with its values in `along`."""
    cells = [side for one in contenders for side in one.along]
    shown = [found for side in cells if (found := rows.get((side.workload, side.contender.name)))]
    first = shown[0][0]
    headline = "test_metric" if all(workload.headline == "test_metric" for workload, _ in shown) else "val_metric"
    points = [point(side, key, headline, rows) for side in cells]
    equivalents = [
        AxisEquivalent(value_of(side, key) or 0.0, one)
        for side in cells
        for one in rows[side.workload, side.contender.name][0].equivalent
        if one.stands and one.contender == side.contender.name
    ]
    transfers = [found for one in contenders if (found := transfer(one, key, level))]
    return Axis(
        key=key,
        words=key.replace(".", " ").replace("_", " "),
        workload=name,
        metric=first.metric,
        direction=first.direction,
        headline_name=first.headline_name if headline == first.headline else f"validation {first.metric}",
        values=tuple(sorted({one.value for one in points})),
        points=tuple(points),
        spans=tuple(span(one, key, headline, level) for one in contenders),
        transfers=tuple(transfers),
        equivalents=tuple(equivalents),
        trends=trends(equivalents),
        samples=common_samples(cells),
    )


def point(side: Side, key: str, headline: str, rows: Rows) -> AxisPoint:
    """Return a contender at one value, with the numbers of its leaderboard."""
    row, run = rows[side.workload, side.contender.name][1], (side.contender.finals or side.runs)[0]
    size = next((one["parameter_bytes"] for one in side.runs if one["parameter_bytes"]), None)
    return AxisPoint(
        contender=side.contender.name,
        value=value_of(side, key) or 0.0,
        headline=row.test if headline == "test_metric" else row.val,
        failed=row.failed,
        edges=row.edges,
        tuned=row.tuned,
        steps=steps_of(run),
        samples=samples_of(run),
        parameters=size // BYTES if size else None,
    )


def trends(found: Sequence[AxisEquivalent]) -> dict[str, Estimate]:
    """Return how each contender's equivalent budget changes from its least value to its largest."""
    names = dict.fromkeys(one.budget.contender for one in found)
    own = {name: [one.budget.ratio for one in found if one.budget.contender == name] for name in names}
    return {name: ratio_trend(ratios[0], ratios[-1]) for name, ratios in own.items() if len(ratios) > 1}


def common_samples(sides: Sequence[Side]) -> int | None:
    """Return the samples that every run is trained on, where they differ by less than a batch; else None."""
    runs = [side.runs[0] for side in sides]
    found = [samples_of(run) for run in runs]
    known = [count for count in found if count is not None]
    alike = len(known) == len(found) and max(known) - min(known) < max(run["batch_size"] for run in runs)
    return max(known) if alike else None


def span(one: Side, key: str, headline: str, level: float) -> AxisSpan:
    """Return how much a contender changes along the axis."""
    arms = [side.contender.arm(headline, side.sign) for side in one.along]
    values = [value_of(side, key) for side in one.along]
    means = [(statistics.fmean(arm.values), value) for arm, value in zip(arms, values, strict=True) if arm.values]
    best = max(means, key=lambda entry: entry[0])[1] if means else None
    return AxisSpan(one.contender.name, axis_span(arms, level, paired=one.paired), best)


def transfer(one: Side, key: str, level: float) -> RateTransfer | None:
    """Return what the base's learning rate costs at every value; None unless the rate is all that was searched."""
    rate = rate_key(one.along[0].contender)
    curves = [rate_curve(side.contender, rate, side.sign) if rate else None for side in one.along]
    known = [curve for curve in curves if curve is not None]
    if rate is None or len(known) < len(curves) or any(rate_key(side.contender) != rate for side in one.along):
        return None
    values = [value_of(side, key) or 0.0 for side in one.along]
    shown = [
        rate_row(one.contender.name, value, curve, known[0], one.sign, level)
        for value, curve in zip(values, known, strict=True)
    ]
    return RateTransfer(one.contender.name, rate, tuple(shown), shift(values, [curve.best for curve in shown]))


def rate_row(contender: str, value: float, curve: Curve, base: Curve, sign: float, level: float) -> RateCurve:
    """Return one value's curve, and the cost of the base's best rate there."""
    low, high = best_between(curve, level)
    at_base = transferred(base, curve)
    return RateCurve(
        contender=contender,
        value=value,
        rates=curve.rates,
        metric=tuple(sign * mean if runs else None for mean, runs in zip(curve.means, curve.runs, strict=True)),
        best=curve.rates[curve.best],
        low=low,
        high=high,
        edge=curve.edge,
        transferred=None if at_base is None else sign * at_base,
        **({} if curve is base else {"cost": cost(base, curve, level)}),
    )
