"""Ratios of standard deviations with their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.intervals import t_quantile

LEAST_TRIALS = 6
LEAST_SEEDS = 4  # of an interval: one value may be left out, and three tell of tails


def sd_ratio(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """Return the standard deviation of a over that of b, with Bonett's interval (2006), which allows for heavy tails.

    A ratio must not hang on a single run: the interval also covers what remains without the most extreme value of the
    wider side. None if either side has fewer than two values or no spread; no interval for fewer than four."""
    n = min(len(a), len(b))
    if n < 2 or not (statistics.pstdev(a) and statistics.pstdev(b)):
        return Estimate(None, n=n)
    ratio = statistics.stdev(a) / statistics.stdev(b)
    if n < LEAST_SEEDS:
        return Estimate(ratio, n=n)
    wider, other = (a, b) if ratio > 1 else (b, a)
    (low, high), (low_without, high_without) = log_ends(wider, other, level), log_ends(tamer(wider), other, level)
    ends = sorted((1 if wider is a else -1) * end for end in (min(low, low_without), max(high, high_without)))
    return Estimate(ratio, math.exp(ends[0]), math.exp(ends[1]), n)


def log_ends(a: Sequence[float], b: Sequence[float], level: float) -> tuple[float, float]:
    """Return both ends of Bonett's interval of the logarithm of the ratio of standard deviations."""
    if not statistics.pstdev(a):
        return -math.inf, 0.0
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    tails = kurtosis(a, b)
    variance = sum((tails - (len(v) - 3) / len(v)) / (len(v) - 1) for v in (a, b))
    middle = math.log(statistics.stdev(a) / statistics.stdev(b)) + (small(len(a), z) - small(len(b), z)) / 2
    half = z * math.sqrt(max(0.0, variance)) / 2
    return middle - half, middle + half


def small(n: int, z: float) -> float:
    """Return the logarithm of Bonett's correction of a variance of n values, a factor of at most 2."""
    return math.log(n / (n - min(z, n / 2)))


def kurtosis(*sides: Sequence[float]) -> float:
    """Return the pooled kurtosis about trimmed means; 3 for normal values."""
    fourth = sum(sum((x - trimmed_mean(values)) ** 4 for x in values) for values in sides)
    second = sum(statistics.variance(values) * (len(values) - 1) for values in sides)
    return sum(map(len, sides)) * fourth / second**2


def trimmed_mean(values: Sequence[float]) -> float:
    """Return the mean without a share of 1 / (2 sqrt(n - 4)) of the values at each end."""
    n = len(values)
    cut = min(int(n / (2 * math.sqrt(n - 4))) if n > 4 else 0, (n - 1) // 2)
    return statistics.fmean(sorted(values)[cut : n - cut])


def tamer(values: Sequence[float]) -> list[float]:
    """Return the values without the one that is furthest from the median."""
    middle = statistics.median(values)
    furthest = max(range(len(values)), key=lambda i: abs(values[i] - middle))
    return [value for i, value in enumerate(values) if i != furthest]


def sd_against(a: Sequence[float], known: float, level: float = 0.95) -> Estimate:
    """Return the standard deviation of a over a known one, with Bonett's interval; none for fewer than four values."""
    n = len(a)
    if n < 2 or known <= 0:
        return Estimate(None, n=n)
    ratio = statistics.stdev(a) / known
    if n < LEAST_SEEDS or ratio == 0:
        return Estimate(ratio, n=n)
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    error = math.sqrt(max(0.0, kurtosis(a) - (n - 3) / n) / (n - 1)) * math.exp(small(n, z))
    middle, half = math.log(ratio) + small(n, z) / 2, z * error / 2
    return Estimate(ratio, math.exp(middle - half), math.exp(middle + half), n)


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
