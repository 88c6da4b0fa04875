"""What keeps a comparison from deciding a criterion, whatever its interval says.

bounds      no result could reach the margin: the other side is nearer to the measure's bound than that
trained     a workload on which no contender is shown to beat the trivial answer compares nothing (a number is what it
            is), and a side that is not shown to beat it is neither better nor equal
undertuned  the loser's best setting lies on the edge of its search box: a wider box might have changed the result
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.config.measures import MEASURES
from optbench.reports.claims.gains import Measurement, can_hold
from optbench.reports.claims.sides import Side, edges_of
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.trained import pooled_sd, trained

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

GOOD = ("better", "better_by", "not_worse")
"""Relations that say something good of the first side."""
Pair = tuple[Side, Side | None]
"""Both sides at one place; None instead of a number."""


@dataclass(frozen=True)
class Limited:
    """A relation after the limits: whether it still counts as shown, and the reason if not."""

    holds: bool | None
    testable: bool = True
    why: str = ""


def limited(
    criterion: Criterion, holds: bool | None, found: Measurement, margin: float, pairs: Sequence[Pair], level: float
) -> Limited:
    """Return whether a relation may count as shown. `pairs`: one, or for a measure over all workloads one on each."""
    good, measure = criterion.relation in GOOD, MEASURES[criterion.measure]
    compared = [of for of, against in pairs if against is not None]
    if measure.of_winner and compared and not any(anyone_trained(of.beside, level) for of in compared):
        return Limited(None, False, "no contender there is shown to beat the trivial answer")
    if holds is not True and not can_hold(criterion.relation, found, margin):
        room = found.reach[1] if good else -found.reach[0]
        return Limited(None, False, f"the bound of the measure leaves room for {room:.2g}, less than the margin")
    if holds is None or not measure.of_winner:
        return Limited(holds)
    winners = (0, 1) if criterion.relation == "tie" else (0,) if good else (1,)
    for winner in winners if holds else ():
        idle = [side for pair in pairs if (side := pair[winner]) is not None and untrained(side, level)]
        if idle and len(idle) == len(pairs):
            return Limited(None, True, f"undecided: {idle[0].contender.name} is not shown to beat the trivial answer")
    for loser in losers(criterion.relation, holds, found):
        edge = next((side for pair in pairs if (side := pair[loser]) is not None and side.edges), None)
        if edge is not None:
            return Limited(None, True, f"undecided: {edge.contender.name} is undertuned ({edges_of(edge)})")
    return Limited(holds)


def losers(relation: str, holds: bool, found: Measurement) -> tuple[int, ...]:
    """Return which sides' better tuning could change what was found: 0 the first, 1 the second."""
    if relation == "tie":
        return (0, 1) if holds else (0,) if (found.value or 0.0) < 0 else (1,)
    return (1,) if holds == (relation in GOOD) else (0,)


def anyone_trained(sides: Iterable[Side], level: float) -> bool:
    """Return False if every side is known not to be shown to beat the trivial answer."""
    arms = [arm_of(side) for side in sides]
    noise = pooled_sd(arms)
    return not arms or any(trained(arm, level, noise) is not False for arm in arms)


def untrained(side: Side, level: float) -> bool:
    """Return True if a side is known not to be shown to beat the trivial answer."""
    return trained(arm_of(side), level, pooled_sd(arm_of(one) for one in side.beside)) is False


def arm_of(side: Side) -> Arm:
    """Return the final runs of a side, by the metric on test if there is one."""
    headline = "test_metric" if side.contender.values("test") else "val_metric"
    return side.contender.arm(headline, side.sign)
