"""Differences of two estimates that have intervals of their own.

Of independent ones by the method of variance estimates recovery (Zou and Donner, 2008): each end of the difference is
as far from it as the two ends that pull it there are from their estimates, by Pythagoras. For shares with Wilson's
intervals this is Newcombe's hybrid score interval (1998, method 10).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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


def paired_share_difference(a: Sequence[bool], b: Sequence[bool], level: float = 0.95) -> Estimate:
    """Return the share of true in a minus that in b, which belong together one by one: Newcombe's interval for paired
    data (1998b, method 10), Wilson's intervals with the correlation of the two."""
    n = len(a)
    if n == 0:
        return Estimate(None)
    both = sum(x and y for x, y in zip(a, b, strict=True))
    first, second = wilson(sum(a), n, level), wilson(sum(b), n, level)
    assert first.value is not None and first.low is not None and first.high is not None
    assert second.value is not None and second.low is not None and second.high is not None
    value = first.value - second.value
    phi = correlation(both, sum(a) - both, sum(b) - both, n)

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    below = reach(first.value - first.low, second.high - second.value)
    above = reach(first.high - first.value, second.value - second.low)
    return Estimate(value, max(-1.0, value - below), min(1.0, value + above), n)


def correlation(both: int, only_a: int, only_b: int, n: int) -> float:
    """Return the correlation of two shares of n; a positive one corrected for continuity; 0 if either does not vary."""
    neither = n - both - only_a - only_b
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    lead = both * neither - only_a * only_b
    return (max(0.0, lead - n / 2) if lead > 0 else lead) / math.sqrt(product) if product else 0.0
