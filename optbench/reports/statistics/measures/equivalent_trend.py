"""Trend of an equivalent budget along an axis: its ratio at the largest value over that at the least.

Above 1 a contender's lead in data grows with scale, below 1 it shrinks. On the log scale this is the difference of two
estimates from different networks with different runs: its interval is by variance estimates recovery (Zou and Donner,
2008). Where an interval is open, as a ladder ends there, the estimate beside it may be a bound, and the interval is
that of the two intervals' ends instead, which is wider. The slow tests measure coverage.
"""

from __future__ import annotations

import math

from optbench.reports.model.rows import Estimate
from optbench.reports.statistics.measures.paired_intervals import difference_of


def trend(first: Estimate, last: Estimate) -> Estimate:
    """Return the difference of two logarithms of ratios. Infinite ends are open; no interval if one has none."""
    found = difference_of(last, first)
    if found.low is None or first.low is None or first.high is None or last.low is None or last.high is None:
        return found
    if all(map(math.isfinite, (first.low, first.high, last.low, last.high))):
        return found
    return Estimate(found.value, last.low - first.high, last.high - first.low, found.n)


def ratio_trend(first: Estimate, last: Estimate) -> Estimate:
    """Return the same of ratios as a report has them: an end of None is open where there are two values or more."""
    found = trend(logarithms(first), logarithms(last))
    value, low, high = (None if end is None else math.exp(end) for end in (found.value, found.low, found.high))
    return Estimate(value, low or None, None if high == math.inf else high, found.n)


def logarithms(of: Estimate) -> Estimate:
    """Return the logarithms of a ratio; open ends are infinite."""
    if of.value is None:
        return of
    low, high = (math.log(end) if end else far for end, far in ((of.low, -math.inf), (of.high, math.inf)))
    return Estimate(math.log(of.value), low, high, of.n) if of.n > 1 else Estimate(math.log(of.value), n=of.n)
