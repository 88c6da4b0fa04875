"""Regret of little tuning: how much worse a contender is without tuning, or after few trials, than its best trial.

The score of a trial is its mean validation metric; the best one is that of all trials, the optimizer's own values
included if they were tried. After k trials the regret is the distance from it to the expected best of k points of the
search box, drawn without replacement from those that were tried (expected_best.py). A share divides a regret by the
distance from the trivial answer to the best trial of any contender on the workload, the scale of scores; metrics over
decades are compared by their logarithms. The intervals after k trials are quantiles over the orders of the trials that
were tried: they say how lucky k trials can be, nothing of other points or other seeds. The best of noisy scores is too
good, so that these regrets are too large by the noise of about one run.

`At defaults` is the distance from the mean of the final seeds to the score of the own values, whose runs are taken to
vary as the final seeds do: s^2 (1 / finals + 1 / runs), with the variance of the selection and of the points added
(difference.py). It has no such bias, and may be below 0. Where the own values won it is 0, with that error. Without
final seeds, and over decades, it is the distance from the best trial and has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.difference import Arm, difference_from
from optbench.reports.statistics.measures.expected_best import budget_curve


@dataclass(frozen=True)
class Tried:
    """The scores of one contender's trials."""

    points: tuple[float | None, ...]
    """At points of its box; None: failed."""
    default: float | None = None
    """Of its own values; None if they failed or were not tried."""
    has_default: bool = False
    default_runs: int = 1
    """The runs behind the score of its own values."""
    tuned: Arm | None = None
    """Its final seeds by the metric on validation, larger is better."""
    default_won: bool = False

    @property
    def known(self) -> list[float]:
        """The scores of trials that succeeded."""
        return [score for score in (*self.points, self.default) if score is not None and math.isfinite(score)]


@dataclass(frozen=True)
class Regrets:
    """Regrets of one contender in one unit."""

    best: float
    """Its best score, in the metric's unit."""
    default: Estimate
    after: tuple[Estimate, ...]
    """After 1, 2, ... trials; None while all of them may have failed."""


def scale_of(tried: Mapping[str, Tried], trivial: float | None, direction: str, decades: bool = False) -> float | None:
    """Return the distance from the trivial answer to the best trial of all contenders; None if it is not above 0."""
    known = [score for one in tried.values() for score in one.known]
    if trivial is None or not known:
        return None
    best = max(known) if direction == "max" else min(known)
    found = distance(best, trivial, direction, decades)
    return found if found is not None and found > 0 else None


def distance(best: float, other: float, direction: str, decades: bool) -> float | None:
    """Return how much worse another value is than the best one; None for a logarithm of 0 or less."""
    if decades:
        if min(best, other) <= 0:
            return None
        best, other = math.log(best), math.log(other)
    return best - other if direction == "max" else other - best


def regrets(tried: Tried, direction: str, level: float, decades: bool = False, scale: float = 1.0) -> Regrets | None:
    """Return the regrets of a contender, each divided by `scale`; None if all of its trials failed.

    With `decades` they are logarithms: the expected best is the mean of logarithms."""
    if not tried.known:
        return None
    best = max(tried.known) if direction == "max" else min(tried.known)

    def of(value: float | None) -> float | None:
        found = None if value is None else distance(best, value, direction, decades)
        return None if found is None else max(0.0, found / scale)

    losses = [of(score) for score in tried.points]
    curve = budget_curve("", losses, "min", level)
    expected = [None if value is None else abs(value) for value in curve.expected]  # a sum of nothing may be minus 0
    each = zip(expected, curve.low, curve.high, curve.trials, strict=True)
    default = None if decades else at_defaults(tried, 1.0 if direction == "max" else -1.0, level, scale)
    return Regrets(best, default or Estimate(of(tried.default), n=1), tuple(Estimate(*ends) for ends in each))


def at_defaults(tried: Tried, sign: float, level: float, scale: float = 1.0) -> Estimate | None:
    """Return the regret at defaults with its interval, divided by `scale`; None without the scores for it.

    `sign`: 1 if more of the metric is better, else -1."""
    if tried.tuned is None or tried.default is None:
        return None
    found = difference_from(tried.tuned, sign * tried.default)
    if found is None:
        return None
    more = 1 + len(tried.tuned.values) / tried.default_runs
    found = replace(found, seed_variance=more * found.seed_variance, floor=more * found.floor)
    value, half = 0.0 if tried.default_won else found.value, found.half_width(level)
    return Estimate(value / scale, (value - half) / scale, (value + half) / scale, tried.default_runs)


def after(found: Regrets, k: int) -> Estimate:
    """Return the regret after k trials; None if there were fewer."""
    return found.after[k - 1] if k <= len(found.after) else Estimate(None)


def mean_default(shares: Sequence[float | None]) -> float | None:
    """Return the mean regret at defaults over workloads; None unless every one is known."""
    known = [share for share in shares if share is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(shares) else None
