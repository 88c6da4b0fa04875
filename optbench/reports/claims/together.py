"""Measures over all workloads at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.reports.claims.gains import Measured, of_difference
from optbench.reports.claims.sides import Side, greatest, pairs_of
from optbench.reports.model.content import Estimate
from optbench.reports.statistics.difference import luck_of
from optbench.reports.statistics.measures.iqm import iqm_interval, normalised, scales
from optbench.reports.statistics.measures.paired_intervals import difference_of

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

WHERE = "all workloads"


def iqm(criterion: Criterion, sides: Sequence[Side], level: float) -> Measured:
    """The interquartile mean of the normalised headline (measures.iqm): 1 is the best contender's mean of a workload, 0
    the worst one's, of all contenders of the study there. The intervals have the luck of tuning in them, and are
    combined as if independent."""
    pairs = pairs_of(criterion, sides)
    names = [{side.contender.name for pair in pairs if (side := pair[at]) is not None} for at in (0, 1)]
    if any(len(found) > 1 for found in names) or not names[0]:
        return Measured("each side must be one contender, on every workload")
    ours, theirs = (next(iter(found), None) for found in names)
    used = greatest([side for side in sides if side.has(criterion.on)], ())
    scores = {workload: by_contender(workload, used) for workload in dict.fromkeys(side.workload for side in used)}
    signs = {side.workload: "max" if side.sign > 0 else "min" for side in used}
    found = normalised(scores, signs)
    if ours not in found or (theirs is not None and theirs not in found):
        return Measured("a side is not on every workload, or none is told apart")
    n = min(len(values) for name in (ours, theirs) if name in found for values in found[name].values())
    luck = luck_by_contender(used, {workload: width for workload, (_, width) in scales(scores, signs).items()})
    a = iqm_interval(found[ours], level, luck=luck[ours])
    known = criterion.against
    if isinstance(known, float):
        b = Estimate(known, known, known, n)
    else:
        b = iqm_interval(found[theirs], level, seed=1, luck=luck[theirs])
    said = f"{a.value:.3f} against {b.value:.3f} over {len(found[ours])} workloads, difference"
    return of_difference(difference_of(a, b), 1.0, said, n)


def luck_by_contender(sides: Sequence[Side], widths: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """{contender: {workload: standard deviation of the luck of tuning, in units of the workload's width}}"""
    found: dict[str, dict[str, float]] = {}
    for side in sides:
        own = found.setdefault(side.contender.name, {})
        if side.workload in widths:
            headline = "test_metric" if side.contender.values("test") else "val_metric"
            own[side.workload] = math.sqrt(luck_of(side.contender.arm(headline, side.sign))) / widths[side.workload]
    return found


def by_contender(workload: str, sides: Sequence[Side]) -> dict[str, list[float | None]]:
    """The headline of each final seed of a workload, None for one that failed."""
    there = [side.contender for side in sides if side.workload == workload]
    return {c.name: [*(c.values("test") or c.values("val")), *[None] * c.failed] for c in there}
