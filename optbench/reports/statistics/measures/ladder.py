"""The shortest complete schedule that reaches the target, and the ratio of two such costs.

At each budget of a ladder k of n seeds end at the target. The budget's own chance p of doing so has Jeffreys' posterior
Beta(k + 1/2, n - k + 1/2), and the budget is enough where p > 1/2. As a larger one is then enough too, that probability
is the one of the least budget being no larger: a distribution of the cost, whose rest is infinite, beyond the ladder.
The ratio of two costs has one too, and its quantiles are the interval. Costs themselves (steps, median seconds) are
taken as known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.model.content import Estimate


@dataclass(frozen=True)
class Rung:
    """One budget: what a complete schedule costs, and how many of its seeds end at the target."""

    cost: float
    reached: int
    of: int


Chances = list[tuple[float, float]]  # (cost, probability that it is the least that is enough)


def chances(ladder: Sequence[Rung]) -> Chances:
    """The distribution of the least cost that is enough."""
    from scipy.special import betainc

    found, below = [], 0.0
    for rung in sorted((rung for rung in ladder if rung.of), key=lambda rung: rung.cost):
        enough = 1.0 - float(betainc(rung.reached + 0.5, rung.of - rung.reached + 0.5, 0.5))
        found.append((rung.cost, max(0.0, enough - below)))
        below = max(below, enough)
    return [*found, (math.inf, 1.0 - below)]


def least(ladder: Sequence[Rung]) -> float:
    """The least cost at which more than half of the seeds reach the target; infinite where there is none."""
    return min((rung.cost for rung in ladder if 2 * rung.reached > rung.of), default=math.inf)


def cost_ratio(a: Sequence[Rung], b: Sequence[Rung] | float, level: float = 0.95) -> Estimate:
    """The least cost of a over that of b, or over a known one. Where neither is enough anything is possible. The value
    is None where neither reaches the target."""
    if not a or b == []:
        return Estimate(None)
    other: Chances = [(b, 1.0)] if isinstance(b, (int, float)) else chances(b)
    n = min(rung.of for rung in (*a, *(() if isinstance(b, (int, float)) else b)))
    drawn = [(ends(x, y), p * q) for x, p in chances(a) for y, q in other]
    tail = (1 - level) / 2
    low = quantile([(low, p) for (low, _), p in drawn], tail)
    high = -quantile([(-high, p) for (_, high), p in drawn], tail)
    bottom = b if isinstance(b, (int, float)) else least(b)
    value = ends(least(a), bottom)
    return Estimate(value[0] if value[0] == value[1] else None, low, high, n)


def ends(x: float, y: float) -> tuple[float, float]:
    """The ratio of two costs, as the ends between which it lies."""
    if math.isinf(x) and math.isinf(y):
        return 0.0, math.inf
    ratio = 0.0 if math.isinf(y) else x / y
    return ratio, ratio


def quantile(weighted: Sequence[tuple[float, float]], share: float) -> float:
    """The least value up to which the weights sum to more than a share."""
    total = 0.0
    for value, weight in sorted(weighted):
        total += weight
        if total > share + 1e-12:
            return value
    return max(value for value, _ in weighted)
