"""Measures over the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from optbench.config.measures import MEASURES
from optbench.config.values import as_number
from optbench.reports.claims.gains import Measurement, of_difference, of_ratio, with_interval
from optbench.reports.claims.sides import Side
from optbench.reports.contenders import tried_by
from optbench.reports.model.content import Estimate, Sensitivity
from optbench.reports.rate_sensitivity import learning_rate_key, sensitivity_of
from optbench.reports.statistics.measures.paired_intervals import difference_of
from optbench.reports.statistics.measures.regret import at_defaults
from optbench.reports.statistics.measures.separability import Point, separability, separability_difference
from optbench.reports.statistics.measures.spread import trial_sd_ratio
from optbench.reports.statistics.scale import DECADES

TRIALS, DECAY = "trials", "weight_decay"


def trial_sd(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the ratio of standard deviations of the trials' validation metrics.

    A failed trial counts as the trivial answer; if that is unknown, as the worst trial of both sides."""
    if not isinstance(against, Side):
        return Measurement("trial_sd is taken against another side", unit=TRIALS)
    floor = floor_of([of, against])
    first, second = (scores_of(side, floor) for side in (of, against))
    found = trial_sd_ratio(first, second, level)
    return of_ratio(found, -1.0, f"that of {against.contender.name}", min(len(first), len(second)), TRIALS)


def floor_of(sides: Sequence[Side]) -> float | None:
    """Return the metric of the trivial answer, larger is better; if unknown, the worst score."""
    sign = sides[0].sign
    trivial = [sign * run["val_trivial"] for side in sides for run in side.runs if run["val_trivial"] is not None]
    known = [sign * score for side in sides for score in side.contender.scores() if score is not None]
    return max(trivial) if trivial else min(known, default=None)


def scores_of(side: Side, floor: float | None) -> list[float]:
    """Return the score of each trial, larger is better, none below the floor."""
    if floor is None:
        return []
    return [floor if score is None else max(floor, side.sign * score) for score in side.contender.scores()]


def lr_sensitivity(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the difference in decades of learning rate near a side's own best (measures.sensitivity).

    A side whose range tried cuts the good rates off has at least its number: its gain has no upper end."""
    found = rates_of(of, level)
    if found is None:
        return Measurement("no learning rate was searched", n=0, unit=TRIALS)
    beside = rates_of(against, level) if isinstance(against, Side) else None
    if isinstance(against, Side):
        base = beside.decades if beside is not None else Estimate(None)
        said = f"{in_decades(found.decades)} against {in_decades(base)}, difference"
    else:
        base, said = Estimate(against, against, against, found.decades.n), f"{in_decades(found.decades)}, above"
    box = math.log10(max(found.x) / min(found.x))
    gain = of_difference(open_difference(found.decades, base), 1.0, said, min(found.decades.n, base.n), TRIALS)
    return gain.beside(base.value, (0.0, box), 1.0)


def rates_of(side: Side, level: float) -> Sensitivity | None:
    """Return the trials of one side by learning rate; None if it was not searched."""
    key = learning_rate_key(side.contender.searched)
    found = sensitivity_of(side.contender, key, "max" if side.sign > 0 else "min", level) if key else None
    return found if found is not None and found.x and min(found.x) > 0 else None


def in_decades(of: Estimate) -> str:
    """Return a number of decades in words."""
    if of.value is None:
        return "unknown"
    return f"{'at least ' if of.low is not None and of.high is None else ''}{of.value:.2f} decades"


def open_difference(a: Estimate, b: Estimate) -> Estimate:
    """Return a minus b; an upper end of None is unbounded, a lower one unknown."""
    if a.low is None or b.low is None:
        return Estimate(None if a.value is None or b.value is None else a.value - b.value)
    ends = [replace(one, high=math.inf if one.high is None else one.high) for one in (a, b)]
    return difference_of(*ends)


def regret_at_defaults(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the difference in what tuning gains over the own values, on validation (measures.regret)."""
    found, n = own_values(of, level), len(of.contender.points)
    base = own_values(against, level) if isinstance(against, Side) else Estimate(against, against, against, n)
    missing = [reason for reason in (found, base) if isinstance(reason, str)]
    if isinstance(found, str) or isinstance(base, str):
        return Measurement(missing[0], n=0, unit=TRIALS)
    how = f"against {with_interval(base)}, difference" if isinstance(against, Side) else f"above {against:g} by"
    return of_difference(difference_of(found, base), -1.0, f"{with_interval(found)} {how}", n, TRIALS)


def own_values(side: Side, level: float) -> Estimate | str:
    """Return the regret of a side at its own values, or why it has none."""
    tried, name = tried_by(side.contender, side.sign), side.contender.name
    if not tried.has_default:
        return f"{name}'s own values were not tried: the study needs include_default"
    if tried.default is None:
        return f"{name}'s own values failed"
    if side.contender.scale("val").kind == DECADES:
        return "a metric over decades has no interval here"
    return at_defaults(tried, side.sign, level) or f"{name} has fewer than two final seeds"


def separable(of: Side, against: Side | float, level: float) -> Measurement:
    """Return the difference in separability of learning rate and weight decay, if both were searched."""
    points = [surface_of(side) for side in (of, against) if isinstance(side, Side)]
    n = min(map(len, points))
    if isinstance(against, Side):
        each = [separability(surface, level) for surface in points]
        said = " against ".join("unknown" if e.value is None else f"{e.value:.3f}" for e in each)
        found, base = separability_difference(points[0], points[1], level), each[1].value
        said = f"{said}, difference"
    else:
        found = difference_of(separability(points[0], level), Estimate(against, against, against, n))
        said, base = f"above {against:g} by", against
    bounds = MEASURES["separability"].bounds_on(None)
    return of_difference(found, 1.0, said, n, TRIALS).beside(base, bounds, 1.0)


def surface_of(side: Side) -> list[Point]:
    """Return learning rate, weight decay and metric of each trial, larger is better."""
    rate = learning_rate_key(side.contender.searched)
    decay = next((key for key in side.contender.searched if key.split(".")[-1] == DECAY), None)
    floor = floor_of([side])
    if rate is None or decay is None or floor is None:
        return []
    values = side.contender.settings
    scores = dict(zip(side.contender.points, scores_of(side, floor), strict=True))
    found = []
    for trial, score in scores.items():
        x, y = (as_number(values[trial].get(key)) for key in (rate, decay))
        if x is not None and y is not None and x > 0 and y > 0:
            found.append((x, y, score))
    return found
