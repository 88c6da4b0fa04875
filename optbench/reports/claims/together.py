"""Measures over all workloads at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.reports.claims.gains import Measurement, of_difference
from optbench.reports.claims.sides import Side, at_greatest_budget, pairs_of
from optbench.reports.statistics.measures.scores import Board, scores
from optbench.reports.statistics.scale import DECADES
from optbench.reports.statistics.trained import pooled_sd, trained

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

WHERE = "all workloads"


def iqm(criterion: Criterion, sides: Sequence[Side], level: float) -> Measurement:
    """Return the difference of scores over workloads (measures.scores), by joint draws.

    1 is the best contender's mean of a workload, 0 the trivial answer, of all contenders of the study there."""
    pairs = pairs_of(criterion, sides)
    names = [{side.contender.name for pair in pairs if (side := pair[i]) is not None} for i in (0, 1)]
    if any(len(found) > 1 for found in names) or not names[0]:
        return Measurement("each side must be one contender, on every workload")
    (ours,), theirs = names[0], next(iter(names[1]), criterion.against)
    used = at_greatest_budget([side for side in sides if side.has(criterion.on)], ())
    by_workload = {workload: board(workload, used, level) for workload in dict.fromkeys(side.workload for side in used)}
    found = scores(by_workload)
    if not found.points or not {name for name in (ours, theirs) if isinstance(name, str)} <= set(found.names):
        return Measurement("a side is not on every workload, or nobody is better than another on any")
    if not isinstance(theirs, (str, float)):
        return Measurement("no workload has both sides")
    n = min(len(arm.values) for one in by_workload.values() for arm in one.arms if arm.name in (ours, theirs))
    a, b = (found.of(name, level).score.value if isinstance(name, str) else name for name in (ours, theirs))
    said = f"{a:.3f} against {b:.3f} over {len(found.points)} workloads, difference"
    return of_difference(found.difference(ours, theirs, level), 1.0, said, n)


def board(workload: str, sides: Sequence[Side], level: float) -> Board:
    """Return a workload as it is scored."""
    there = [side for side in sides if side.workload == workload]
    tested = all(side.contender.values("test") for side in there if side.contender.succeeded)
    headline = "test_metric" if tested else "val_metric"
    arms = [side.contender.arm(headline, side.sign) for side in there]
    pooled = pooled_sd(arms)
    untrained = frozenset(arm.name for arm in arms if trained(arm, level, pooled) is False)
    decades = any(side.contender.scale(headline.removesuffix("_metric")).kind == DECADES for side in there)
    return Board(tuple(arms), decades, untrained)
