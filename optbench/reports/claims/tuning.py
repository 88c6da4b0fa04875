"""Measures over the trials of a search."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.config.measures import MEASURES
from optbench.config.values import as_number
from optbench.reports.claims.gains import Measurement, of_difference, of_ratio
from optbench.reports.claims.sides import Side
from optbench.reports.model.content import Estimate
from optbench.reports.rate_sensitivity import learning_rate_key, sensitivity_of
from optbench.reports.statistics.measures.paired_intervals import difference_of
from optbench.reports.statistics.measures.separability import Point, separability, separability_difference
from optbench.reports.statistics.measures.spread import trial_sd_ratio

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
    """Return the difference of what a learning rate drawn from the box costs (measures.sensitivity)."""
    numbers = [rate_cost(side, level) for side in (of, against) if isinstance(side, Side)]
    n = min(number.n for number in numbers)
    if isinstance(against, Side):
        said = " against ".join("unknown" if n.value is None else f"{n.value:.4g}" for n in numbers)
        return of_difference(difference_of(*numbers), -1.0, f"{said}, difference", n, TRIALS)
    known = Estimate(against, against, against, n)
    return of_difference(difference_of(numbers[0], known), -1.0, f"above {against:g} by", n, TRIALS)


def rate_cost(side: Side, level: float) -> Estimate:
    """Return the sensitivity of one side."""
    key = learning_rate_key(side.contender.searched)
    if key is None:
        return Estimate(None)
    return sensitivity_of(side.contender, key, "max" if side.sign > 0 else "min", level).number


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
    scores = dict(zip(sorted(side.contender.tuning), scores_of(side, floor), strict=True))
    found = []
    for trial, score in scores.items():
        x, y = (as_number(values[trial].get(key)) for key in (rate, decay))
        if x is not None and y is not None and x > 0 and y > 0:
            found.append((x, y, score))
    return found
