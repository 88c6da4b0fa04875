"""Intervals for few values.

A percentile bootstrap of three seeds covers far less than its level, so none is used: means get Student's t, shares
Clopper and Pearson's exact binomial interval, medians the exact one between order statistics, which needs six values.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.scale import REAL, SHARE, Scale

LEVEL = 0.95
LARGEST_LOG = 700.0  # of a number in double precision


def mean_interval(values: Sequence[float], level: float = LEVEL, scale: Scale | None = None) -> Estimate:
    """Return the mean with Student's t interval; one value has no interval.

    With a scale the interval stays inside the values that the metric can take."""
    n = len(values)
    if n == 0:
        return Estimate(None)
    mean = statistics.fmean(values)
    if n == 1:
        return Estimate(mean, n=1)
    scale = scale or Scale()
    if scale.kind == SHARE:
        low, high = share_ends(values, level, scale.samples)
    else:
        half = t_quantile(0.5 + level / 2, n - 1) * statistics.stdev(values) / math.sqrt(n)
        low, high = (mean - half, mean + half) if scale.kind == REAL else positive_ends(mean, half)
    return Estimate(mean, min(low, mean), max(high, mean), n)


def positive_ends(mean: float, half: float) -> tuple[float, float]:
    """Return both ends of the interval of a positive mean by the delta method on its logarithm."""
    factor = math.exp(min(half / mean, LARGEST_LOG)) if mean > 0 else 1.0
    return mean / factor, mean * factor


def share_ends(values: Sequence[float], level: float, samples: int | None) -> tuple[float, float]:
    """Return both ends of the interval of a mean share: Wilson's (1927) for as many samples as would give the standard
    error of the values (Korn and Graubard, 1998), with Student's quantile; at least his interval for all samples."""
    mean, n = statistics.fmean(values), len(values)
    ends = [(mean, mean)]
    if 0 < mean < 1:
        per_sample = statistics.variance(values) / n / (mean * (1 - mean))
        ends.append(wilson_ends(mean, per_sample, t_quantile(0.5 + level / 2, n - 1)))
    if samples:
        ends.append(wilson_ends(mean, 1 / (samples * n), t_quantile(0.5 + level / 2, math.inf)))
    return min(low for low, _ in ends), max(high for _, high in ends)


def wilson_ends(mean: float, per_sample: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share; `per_sample`: one over the number of samples."""
    extra = quantile**2 * per_sample
    middle = (mean + extra / 2) / (1 + extra)
    half = math.sqrt(extra * mean * (1 - mean) + extra**2 / 4) / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)


def median_interval(values: Sequence[float], level: float = LEVEL, *, censored: int = 0) -> Estimate:
    """Return the median with the exact interval between order statistics (Conover 1999, section 3.2).

    `censored` further values are known only to exceed all of `values`; a median or end that falls on one is None. Takes
    the innermost pair of order statistics that covers at `level`: six values have one at 95 %, five do not."""
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
    """Return the greatest d for which the d-th smallest and d-th largest of n values cover the median at `level`, else
    0."""
    depth, tail = 0, 0.0
    for k in range(n // 2):
        tail += math.comb(n, k) / 2**n  # P(Binomial(n, 1/2) <= k)
        if 1 - 2 * tail < level:
            break
        depth = k + 1
    return depth


def share_interval(k: int, n: int, level: float = LEVEL) -> Estimate:
    """Return k of n with Clopper and Pearson's (1934) exact interval."""
    if n == 0:
        return Estimate(None)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Estimate(k / n, low, high, n)


def ratio_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Estimate:
    """Return the ratio of geometric means of positive values, a over b, with Welch's t interval of the logarithms."""
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
    df = (va + vb) ** 2 / (va**2 / (len(la) - 1) + vb**2 / (len(lb) - 1))
    half = t_quantile(0.5 + level / 2, df) * math.sqrt(va + vb)
    return Estimate(math.exp(difference), math.exp(difference - half), math.exp(difference + half), n)


def t_quantile(probability: float, df: float) -> float:
    """Return the quantile of Student's t at a probability."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def finite(value: float | None) -> float | None:
    """Return the value, None if it is infinite."""
    return value if value is not None and math.isfinite(value) else None
