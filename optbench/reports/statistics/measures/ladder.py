"""The shortest complete schedule that reaches the target, and the ratio of two such costs.

At each budget of a ladder, k of n seeds end at the target. The chance p of one seed has Jeffreys' posterior Beta(k +
1/2, n - k + 1/2), and the budget is enough if p > 1/2. A larger budget is then enough too, so this is the probability
that the smallest sufficient budget is no larger: a distribution of the cost, whose rest is infinite. The interval of a
ratio of costs is the quantiles of its distribution. Costs (steps, median seconds) are taken as known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.model.content import Estimate


@dataclass(frozen=True)
class Rung:
    """One budget: the cost of a complete schedule, and how many of its seeds end at the target."""

    cost: float
    reached: int
    of: int


CostDistribution = list[tuple[float, float]]  # (cost, probability that it is the least_cost that is enough)


def cost_distribution(ladder: Sequence[Rung]) -> CostDistribution:
    """Return the distribution of the smallest sufficient cost."""
    from scipy.special import betainc

    found, below = [], 0.0
    for rung in sorted((rung for rung in ladder if rung.of), key=lambda rung: rung.cost):
        enough = 1.0 - float(betainc(rung.reached + 0.5, rung.of - rung.reached + 0.5, 0.5))
        found.append((rung.cost, max(0.0, enough - below)))
        below = max(below, enough)
    return [*found, (math.inf, 1.0 - below)]


def least_cost(ladder: Sequence[Rung]) -> float:
    """Return the smallest cost at which more than half of the seeds reach the target, else infinity."""
    return min((rung.cost for rung in ladder if 2 * rung.reached > rung.of), default=math.inf)


def cost_ratio(a: Sequence[Rung], b: Sequence[Rung] | float, level: float = 0.95) -> Estimate:
    """Return the least cost of a over that of b, or over a known cost.

    The value is None if neither reaches the target; the interval then allows everything."""
    if not a or b == []:
        return Estimate(None)
    other: CostDistribution = [(b, 1.0)] if isinstance(b, (int, float)) else cost_distribution(b)
    n = min(rung.of for rung in (*a, *(() if isinstance(b, (int, float)) else b)))
    drawn = [(ratio_bounds(x, y), p * q) for x, p in cost_distribution(a) for y, q in other]
    tail = (1 - level) / 2
    low = quantile([(low, p) for (low, _), p in drawn], tail)
    high = -quantile([(-high, p) for (_, high), p in drawn], tail)
    bottom = b if isinstance(b, (int, float)) else least_cost(b)
    value = ratio_bounds(least_cost(a), bottom)
    return Estimate(value[0] if value[0] == value[1] else None, low, high, n)


def ratio_bounds(x: float, y: float) -> tuple[float, float]:
    """Return the bounds of the ratio of two costs."""
    if math.isinf(x) and math.isinf(y):
        return 0.0, math.inf
    ratio = 0.0 if math.isinf(y) else x / y
    return ratio, ratio


def quantile(weighted: Sequence[tuple[float, float]], share: float) -> float:
    """Return the smallest value up to which the weights sum to more than a share."""
    total = 0.0
    for value, weight in sorted(weighted):
        total += weight
        if total > share + 1e-12:
            return value
    return max(value for value, _ in weighted)
