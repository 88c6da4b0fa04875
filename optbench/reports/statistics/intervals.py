"""Intervals for few values.

A percentile bootstrap of three seeds covers far less than it says, so none is used here: means get Student's t, shares
Clopper and Pearson's exact binomial interval, medians the exact one between order statistics, which few values do not
have at all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optbench.reports.model.content import Estimate

LEVEL = 0.95


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """The mean with Student's t interval; of one value no interval, of none no mean."""
    n = len(values)
    if n == 0:
        return Estimate(None)
    mean = statistics.fmean(values)
    if n == 1:
        return Estimate(mean, n=1)
    half = t_quantile(0.5 + level / 2, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def median_interval(values: Sequence[float], level: float = LEVEL, *, censored: int = 0) -> Estimate:
    """The median with the exact interval between order statistics (Conover 1999, section 3.2).

    `censored` further values are known only to be greater than any of `values`. A median or end that falls on one of
    them is None. The innermost pair of order statistics that covers at `level` is taken; six values have one at 95 %,
    five do not."""
    n = len(values) + censored
    ordered = [*sorted(values), *[math.inf] * censored]
    if n == 0:
        return Estimate(None)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    low = high = None
    depth = median_depth(n, level)
    if depth:
        low, high = ordered[depth - 1], ordered[n - depth]
    return Estimate(finite(middle), finite(low), finite(high), n)


def median_depth(n: int, level: float) -> int:
    """The greatest d for which the d-th least and d-th greatest of n values hold the median between them at `level`; 0
    where not even the least and the greatest do."""
    depth, tail = 0, 0.0
    for k in range(n // 2):
        tail += math.comb(n, k) / 2**n  # P(Binomial(n, 1/2) <= k)
        if 1 - 2 * tail < level:
            break
        depth = k + 1
    return depth


def share_interval(k: int, n: int, level: float = LEVEL) -> Estimate:
    """k of n with Clopper and Pearson's (1934) exact interval."""
    if n == 0:
        return Estimate(None)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Estimate(k / n, low, high, n)


def ratio_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Estimate:
    """The geometric mean of a over that of b, with Welch's t interval of the logarithms. Values must be positive."""
    if not a or not b or min(*a, *b) <= 0:
        return Estimate(None, n=min(len(a), len(b)))
    la, lb = [math.log(x) for x in a], [math.log(x) for x in b]
    difference = statistics.fmean(la) - statistics.fmean(lb)
    n = min(len(a), len(b))
    if n < 2:
        return Estimate(math.exp(difference), n=n)
    va, vb = statistics.variance(la) / len(la), statistics.variance(lb) / len(lb)
    if va + vb == 0:
        return Estimate(math.exp(difference), math.exp(difference), math.exp(difference), n)
    freedom = (va + vb) ** 2 / (va**2 / (len(la) - 1) + vb**2 / (len(lb) - 1))
    half = t_quantile(0.5 + level / 2, freedom) * math.sqrt(va + vb)
    return Estimate(math.exp(difference), math.exp(difference - half), math.exp(difference + half), n)


def t_quantile(probability: float, freedom: float) -> float:
    """Student's t below which a share of `probability` lies."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def finite(value: float | None) -> float | None:
    """The value, or None where it is infinite."""
    return value if value is not None and math.isfinite(value) else None
