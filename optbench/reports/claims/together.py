"""Measures over all workloads at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.reports.claims.gains import Measurement, of_difference
from optbench.reports.claims.sides import Side, at_greatest_budget, pairs_of
from optbench.reports.model.content import Estimate
from optbench.reports.statistics.difference import arm_selection_variance
from optbench.reports.statistics.measures.iqm import iqm_interval, normalised, scales
from optbench.reports.statistics.measures.paired_intervals import difference_of

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

WHERE = "all workloads"


def iqm(criterion: Criterion, sides: Sequence[Side], level: float) -> Measurement:
    """Return the difference of interquartile means of the normalised headline (measures.iqm).

    1 is the best contender's mean of a workload, 0 the worst one's, of all contenders of the study there. The intervals
    include selection variance and are combined as if independent."""
    pairs = pairs_of(criterion, sides)
    names = [{side.contender.name for pair in pairs if (side := pair[i]) is not None} for i in (0, 1)]
    if any(len(found) > 1 for found in names) or not names[0]:
        return Measurement("each side must be one contender, on every workload")
    (ours,), theirs = names[0], next(iter(names[1]), None)
    used = at_greatest_budget([side for side in sides if side.has(criterion.on)], ())
    scores = {workload: by_contender(workload, used) for workload in dict.fromkeys(side.workload for side in used)}
    signs = {side.workload: "max" if side.sign > 0 else "min" for side in used}
    found = normalised(scores, signs)
    if ours not in found or (theirs is not None and theirs not in found):
        return Measurement("a side is not on every workload, or all means are equal on each")
    n = min(len(values) for name in (ours, theirs) if name in found for values in found[name].values())
    selection_sd = selection_sd_by_contender(
        used, {workload: width for workload, (_, width) in scales(scores, signs).items()}
    )
    a = iqm_interval(found[ours], level, selection_sd=selection_sd[ours])
    known = criterion.against
    if theirs is not None:
        b = iqm_interval(found[theirs], level, seed=1, selection_sd=selection_sd[theirs])
    elif isinstance(known, float):
        b = Estimate(known, known, known, n)
    else:
        return Measurement("no workload has both sides")
    said = f"{a.value:.3f} against {b.value:.3f} over {len(found[ours])} workloads, difference"
    return of_difference(difference_of(a, b), 1.0, said, n)


def selection_sd_by_contender(sides: Sequence[Side], widths: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return {contender: {workload: standard deviation by selection, in units of the workload's width}}."""
    found: dict[str, dict[str, float]] = {}
    for side in sides:
        own = found.setdefault(side.contender.name, {})
        if side.workload in widths:
            headline = "test_metric" if side.contender.values("test") else "val_metric"
            own[side.workload] = (
                math.sqrt(arm_selection_variance(side.contender.arm(headline, side.sign))) / widths[side.workload]
            )
    return found


def by_contender(workload: str, sides: Sequence[Side]) -> dict[str, list[float | None]]:
    """Return the headline of each final seed of a workload, None for failed seeds."""
    there = [side.contender for side in sides if side.workload == workload]
    return {c.name: [*(c.values("test") or c.values("val")), *[None] * c.failed] for c in there}
