"""Differences of two independent estimates that have intervals of their own.

The method of variance estimates recovery (Zou and Donner, 2008): each end of the difference is as far from it as the
two ends that pull it there are from their estimates, by Pythagoras. For shares with Wilson's intervals this is
Newcombe's hybrid score interval (1998, method 10).
"""

from __future__ import annotations

import math
import statistics

from optbench.reports.model.content import Estimate


def difference_of(a: Estimate, b: Estimate) -> Estimate:
    """Return a minus b; None if one is unknown, without an interval if one has none."""
    n = min(a.n, b.n)
    if a.value is None or b.value is None:
        return Estimate(None, n=n)
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, n=n)
    below, above = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, value - below, value + above, n)


def wilson(k: int, n: int, level: float = 0.95) -> Estimate:
    """Return k of n with Wilson's score interval (1927)."""
    if n == 0:
        return Estimate(None)
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half), n)
