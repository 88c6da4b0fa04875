"""Ratios of standard deviations with their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.intervals import t_quantile

LEAST_TRIALS = 6


def sd_ratio(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """Return the standard deviation of a over that of b, with the F interval of the ratio of variances.

    Assumes normal values; with five on each side the interval spans a factor of nine. None if either side has fewer
    than two values or no spread."""
    n = min(len(a), len(b))
    if n < 2 or not (statistics.pstdev(a) and statistics.pstdev(b)):
        return Estimate(None, n=n)
    from scipy.stats import f

    ratio, tail = statistics.variance(a) / statistics.variance(b), (1 - level) / 2
    low, high = (ratio / float(f.ppf(q, len(a) - 1, len(b) - 1)) for q in (1 - tail, tail))
    return Estimate(math.sqrt(ratio), math.sqrt(low), math.sqrt(high), n)


def sd_against(a: Sequence[float], known: float, level: float = 0.95) -> Estimate:
    """Return the standard deviation of a over a known one, with the chi-square interval."""
    if len(a) < 2 or known <= 0:
        return Estimate(None, n=len(a))
    from scipy.special import chdtri

    df, tail = len(a) - 1, (1 - level) / 2
    low, high = (math.sqrt(df / float(chdtri(df, q))) for q in (tail, 1 - tail))
    ratio = statistics.stdev(a) / known
    return Estimate(ratio, ratio * low, ratio * high, len(a))


def trial_sd_ratio(a: Sequence[float], b: Sequence[float], level: float = 0.95, *, paired: bool = True) -> Estimate:
    """Return the same ratio for the trials of a search, whose metrics are far from normal.

    Miller's jackknife (1968) of the logarithms of the standard deviations, with Student's t. `paired`: trial i of both
    is the same point of the unit cube and is left out of both. None if either has fewer than six trials or no
    spread."""
    n = min(len(a), len(b))
    if n < LEAST_TRIALS or not (statistics.pstdev(a) and statistics.pstdev(b)):
        return Estimate(None, n=n)
    first, second = pseudo_values(a), pseudo_values(b)
    if first is None or second is None:
        return Estimate(None, n=n)
    if paired and len(a) == len(b):
        differences = [x - y for x, y in zip(first, second, strict=True)]
        middle = statistics.fmean(differences)
        half = t_quantile(0.5 + level / 2, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    else:
        middle = statistics.fmean(first) - statistics.fmean(second)
        parts = [(statistics.variance(values) / len(values), len(values) - 1) for values in (first, second)]
        error = sum(part for part, _ in parts)
        df = error**2 / sum(part**2 / free for part, free in parts) if error else math.inf
        half = t_quantile(0.5 + level / 2, df) * math.sqrt(error) if error else 0.0
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half), n)


def pseudo_values(values: Sequence[float]) -> list[float] | None:
    """Return the pseudo-values of the logarithm of the standard deviation; None if it rests on a single value."""
    n, whole = len(values), math.log(statistics.stdev(values))
    without = [statistics.stdev([*values[:i], *values[i + 1 :]]) for i in range(n)]
    return [n * whole - (n - 1) * math.log(sd) for sd in without] if min(without) > 0 else None
