"""Has a contender learned anything? The test of its mean against the trivial answer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from optbench.reports.statistics.difference import Arm, Difference, arm_selection_variance


def trained(arm: Arm, level: float = 0.95, pooled: tuple[float, int] | None = None) -> bool | None:
    """Return True if a contender is shown to beat the trivial answer, False if it is not, None if that is unknown.

    The test is one-sided at 1 - level, with selection variance. A failed seed counts as no better than the trivial
    answer, and no contender whose seeds failed in the majority is trained. `pooled` (`pooled_sd`) is the noise of a
    single seed; without it the floor is, and without that a single result above the trivial answer shows nothing."""
    if arm.trivial is None or not (arm.values or arm.failed):
        return None
    if arm.failed > len(arm.values):
        return False
    values = [*arm.values, *[min(arm.trivial, *arm.values)] * arm.failed]
    gain = statistics.fmean(values) - arm.trivial
    if gain <= 0:
        return False
    variance, df = noise_of(values, arm.floor, pooled)
    if variance is None:
        return None
    found = Difference(gain, variance, variance / len(values), arm_selection_variance(arm), df, df)
    return found.tail_beyond(gain) <= 1 - level


def noise_of(values: list[float], floor: float, pooled: tuple[float, int] | None) -> tuple[float | None, float]:
    """Return the variance of one run and its degrees of freedom; the variance is None if nothing tells."""
    if len(values) > 1:
        return max(statistics.variance(values), floor**2), len(values) - 1.0
    sd, df = pooled if pooled else (0.0, math.inf)
    least = max(sd, floor)
    return (least**2 if least else None), (float(df) if sd >= floor else math.inf)


def pooled_sd(arms: Iterable[Arm]) -> tuple[float, int] | None:
    """Return the standard deviation of a run over seeds, pooled over contenders, and its degrees of freedom; None if
    no contender has two results."""
    several = [arm.values for arm in arms if len(arm.values) > 1]
    df = sum(len(values) - 1 for values in several)
    if not df:
        return None
    return math.sqrt(sum(statistics.variance(values) * (len(values) - 1) for values in several) / df), df
