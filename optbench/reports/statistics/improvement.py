"""The probability that a run of one contender beats a run of another, by the Mann-Whitney statistic."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from optbench.reports.model.content import Estimate


def probability_of_improvement(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """Return P(A > B) + P(A = B) / 2 with Newcombe's (2006) score-type interval, method 5. Larger is better."""
    if not a or not b:
        return Estimate(None)
    wins = sum((x > y) + 0.5 * (x == y) for x in a for y in b)
    share = wins / (len(a) * len(b))
    n = min(len(a), len(b))
    if n < 2:
        return Estimate(share, n=n)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    low = 0.0 if share == 0 else _bound(share, z, len(a), len(b), 0.0)
    high = 1.0 if share == 1 else _bound(share, z, len(a), len(b), 1.0)
    return Estimate(share, low, high, n)


def _bound(share: float, z: float, m: int, n: int, far: float) -> float:
    """Return the value between `share` and `far` that is z of its own standard errors away from `share`; by
    bisection."""
    near, extra = share, (m + n) / 2 - 1
    for _ in range(60):
        middle = (near + far) / 2
        spread = 1 + extra * ((1 - middle) / (2 - middle) + middle / (1 + middle))
        variance = middle * (1 - middle) * spread / (m * n)
        if (middle - share) ** 2 <= z * z * variance:
            near = middle
        else:
            far = middle
    return near
