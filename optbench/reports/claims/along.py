"""Measures along a numeric axis: of a contender tuned at each value of it (claims/axes.py)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from optbench.reports.claims.budgets import equivalent_budget
from optbench.reports.claims.gains import Measurement, of_difference
from optbench.reports.claims.sides import Side, edges_of
from optbench.reports.model.content import Estimate
from optbench.reports.rate_curves import rate_curve, rate_key
from optbench.reports.statistics.measures.axis_span import axis_span
from optbench.reports.statistics.measures.equivalent_trend import trend
from optbench.reports.statistics.measures.paired_intervals import difference_of
from optbench.reports.statistics.measures.rate_transfer import Curve, cost, difference_of_costs

Curves = tuple[Curve, Curve]


def span(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the difference of the spans of two contenders, or of one from a number; a smaller span is better.

    A setting on an edge of its box may be far from the best one, so that the span may be larger or smaller."""
    sides = [side for side in (of, against) if isinstance(side, Side)]
    spans = [span_of(side, level) for side in sides]
    said = " against ".join("unknown" if one.value is None else f"{one.value:.4g}" for one in spans)
    n = min(one.n for one in spans)
    edges = undertuned([cell for side in sides for cell in side.along])
    if edges:
        return Measurement(f"span {said}: {edges}", n=n)
    if any(side.contender.failed for one in sides for side in one.along):
        return Measurement(f"span {said}: some seeds failed", n=n)
    if isinstance(against, Side):
        return of_difference(difference_of(*spans), -1.0, f"span {said}, difference", n)
    return from_number(spans[0], against, "span", n)


def undertuned(cells: Iterable[Side]) -> str:
    """Return which cells have their setting on an edge of the box, in words; empty if none has."""
    found = [f"{cell.workload} ({edges_of(cell)})" for cell in cells if cell.edges]
    return f"undertuned on {', '.join(found)}" if found else ""


def span_of(side: Side, level: float) -> Estimate:
    """Return the span of one contender, on test if every cell has it."""
    tested = all(cell.contender.values("test") for cell in side.along)
    arms = [cell.contender.arm("test_metric" if tested else "val_metric", cell.sign) for cell in side.along]
    return axis_span(arms, level, paired=side.paired)


def from_number(of: Estimate, known: float, words: str, n: int) -> Measurement:
    """Return the gain of an estimate, less is better, over a number."""
    value, low, high = (None if end is None else end - known for end in (of.value, of.low, of.high))
    less = Estimate(value, low, high, of.n)
    found = of_difference(less, -1.0, f"{words} above {known:g} by" if known else words, n)
    return found.beside(known, (0.0, math.inf), -1.0)


def rate_transfer_cost(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the difference of what the base's best rate costs at the largest value, or that of one from a number.

    A base whose best rate is the last one tried has none that is known. At the largest value it makes the cost too
    small, so that a number has no upper end."""
    sides = [side for side in (of, against) if isinstance(side, Side)]
    curves = [curves_of(side) for side in sides]
    for side, found in zip(sides, curves, strict=True):
        if isinstance(found, str):
            return Measurement(f"{side.contender.name}: {found}")
    known = [found for found in curves if not isinstance(found, str)]
    if len(known) == 2:
        n = min(len(curve.finals) for pair in known for curve in pair)
        if any(other.edge for _, other in known):
            return Measurement("a best rate is the last one tried", n=n)
        each = " against ".join(f"{cost(*pair, level).value:.4g}" for pair in known)
        return of_difference(difference_of_costs(known[0], known[1], level), -1.0, f"cost {each}, difference", n)
    assert not isinstance(against, Side)
    base, other = known[0]
    found = cost(base, other, level)
    if other.edge and found.high is not None:
        found = replace(found, high=math.inf)
    return from_number(found, against, "cost", found.n)


def curves_of(side: Side) -> Curves | str:
    """Return the curves of the least and the largest value; the reason if there are none to compare."""
    key = rate_key(side.along[0].contender)
    if key is None or any(rate_key(cell.contender) != key for cell in side.along):
        return "more than the learning rate was searched, or nothing"
    found = [rate_curve(cell.contender, key, cell.sign) for cell in (side.along[0], side.along[-1])]
    base, other = found
    if base is None or other is None:
        return "no result at two learning rates"
    if base.edge:
        return f"the base's best rate is the {base.edge}est one tried"
    return base, other


def equivalent_budget_trend(of: Side, against: Side | float, level: float) -> Measurement:
    """Return equivalent_budget at the largest value of the axis over that at the least; `against` is the reference.

    A setting on an edge of its box, of either side, may change it both ways."""
    if not isinstance(against, Side):
        return Measurement("equivalent_budget_trend is taken against another side, the reference")
    places = [(of.along[at], against.along[at]) for at in (0, -1)]
    first, last = (equivalent_budget(ours, theirs, level) for ours, theirs in places)
    words = f"{first.words} on {places[0][0].workload}, {last.words} on {places[1][0].workload}"
    edges = undertuned(cell for place in places for cell in place)
    if edges:
        return Measurement(f"{words}: {edges}")
    found = trend(*(Estimate(one.value, one.low, one.high, one.n or 0) for one in (first, last)))
    if found.value is None or found.low is None or found.high is None:
        return Measurement(words)
    return Measurement(f"{math.exp(found.value):.4g} times: {words}", found.low, found.high, found.n, value=found.value)
