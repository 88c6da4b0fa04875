"""The span of a tuned contender along an axis: the largest of its means minus the least.

The upper end is the largest upper end of |difference| over all pairs of values, each at the level of one pair: the pair
with the largest true difference alone covers it (an intersection-union test; Berger, 1982). So a span below a margin
says what equivalence tests of all pairs say together, with no correction. The lower end is the largest lower end over
the pairs, at a level that holds for all of them at once (Bonferroni), since the pair with the largest difference was
chosen by the data. Selection variance and the seeds are in each difference. Few seeds and many equal means make the
interval wide. The slow tests measure coverage.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from optbench.reports.model.rows import Estimate
from optbench.reports.statistics.difference import Arm, difference


def axis_span(arms: Sequence[Arm], level: float, *, paired: bool = False) -> Estimate:
    """Return the span of the means. `arms`: the contender at each value, two or more; n is of the smallest.

    No interval if one has fewer than two results or a failed seed, no value if one has none."""
    n = min(len(arm.values) for arm in arms)
    if n == 0:
        return Estimate(None)
    means = [statistics.fmean(arm.values) for arm in arms]
    value = max(means) - min(means)
    pairs = [difference(a, b, paired=paired) for a, b in itertools.combinations(arms, 2)]
    found = [pair for pair in pairs if pair is not None]
    if len(found) < len(pairs) or any(arm.failed for arm in arms):
        return Estimate(value, n=n)
    of_all = 1 - (1 - level) / len(found)
    high = max(abs(pair.value) + pair.half_width(level) for pair in found)
    low = max(0.0, *(abs(pair.value) - pair.half_width(of_all) for pair in found))
    return Estimate(value, min(low, value), max(high, value), n)
