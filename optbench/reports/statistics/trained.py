"""Has a contender learned anything? The test of its mean against the trivial answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from optbench.reports.statistics.difference import Arm, Difference, arm_selection_variance, difference_from
from optbench.reports.statistics.scale import spread

Noise = tuple[float, float]
"""Standard deviation of a run, and its degrees of freedom."""


def trained(arm: Arm, level: float = 0.95, pooled: Noise | None = None) -> bool | None:
    """Return True if a contender is shown to beat the trivial answer, False if it is not, None if that is unknown.

    The test is one-sided at 1 - level, with selection variance. A failed seed counts as no better than the trivial
    answer, and no contender whose seeds failed in the majority is trained. `pooled` (`pooled_sd`) is the noise of a
    single seed; without it the floor is, and without that a single result above the trivial answer shows nothing."""
    if arm.trivial is None or not (arm.values or arm.failed):
        return None
    if arm.failed > len(arm.values):
        return False
    values = (*arm.values, *[min(arm.trivial, *arm.values)] * arm.failed)
    whole = replace(arm, values=values, failed=0, groups=())  # other points would not undo what was learned here
    found = difference_from(whole, arm.trivial) or difference_of_one(whole, arm.trivial, pooled)
    if found is None:
        return None if arm.values[0] > arm.trivial else False
    return found.value > 0 and found.tail_beyond(found.value) <= 1 - level


def difference_of_one(arm: Arm, known: float, pooled: Noise | None) -> Difference | None:
    """Return the difference between a single result and a known number, None if nothing tells its noise."""
    noise = noise_of(arm.values, arm.floor, pooled)
    if noise is None:
        return None
    sd, df = noise
    return Difference(arm.values[0] - known, sd**2, sd**2, arm_selection_variance(arm), df, df, arm.floor**2)


def noise_of(values: Sequence[float], floor: float, pooled: Noise | None) -> Noise | None:
    """Return the noise of a run: its own, or the pooled one of a single run; not below the floor, which is known."""
    own = (spread(values), len(values) - 1.0) if len(values) > 1 else pooled
    if own is None or own[0] < floor:
        return (floor, math.inf) if floor else None
    return own


def pooled_sd(arms: Iterable[Arm]) -> Noise | None:
    """Return the noise of a run pooled over contenders, None if none has two results."""
    several = [arm.values for arm in arms if len(arm.values) > 1]
    df = float(sum(len(values) - 1 for values in several))
    if not df:
        return None
    return math.sqrt(sum(spread(values) ** 2 * (len(values) - 1) for values in several) / df), df
