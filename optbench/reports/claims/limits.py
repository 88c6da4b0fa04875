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
from optbench.reports.claims.sides import Side
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.trained import pooled_sd, trained

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

GOOD = ("better", "better_by", "not_worse")
"""Relations that say something good of the first side."""


@dataclass(frozen=True)
class Limited:
    """What is left of a relation, and why."""

    holds: bool | None
    testable: bool = True
    why: str = ""


def limited(
    criterion: Criterion,
    holds: bool | None,
    found: Measurement,
    margin: float,
    sides: Sequence[Side | None],
    level: float,
) -> Limited:
    """Return whether a relation may count as shown. `sides`: both; None instead of a number."""
    of, against = (*sides, None, None)[:2]
    measure = MEASURES[criterion.measure]
    if measure.of_winner and of is not None and against is not None and not anyone_trained(of.beside, level):
        return Limited(None, False, "no contender there is shown to beat the trivial answer")
    if holds is not True and not can_hold(criterion.relation, found, margin):
        room = found.reach[1] if criterion.relation in GOOD else -found.reach[0]
        return Limited(None, False, f"the bound of the measure leaves room for {room:.2g}, less than the margin")
    if holds is None or not measure.of_winner:
        return Limited(holds)
    if holds and (idle := next((s for s in winners(criterion.relation, of, against) if untrained(s, level)), None)):
        return Limited(None, True, f"undecided: {idle.contender.name} is not shown to beat the trivial answer")
    if loser := next((side for side in losers(criterion.relation, holds, found, of, against) if side.edges), None):
        return Limited(None, True, f"undecided: {loser.contender.name} is undertuned ({edges_of(loser)})")
    return Limited(holds)


def winners(relation: str, of: Side | None, against: Side | None) -> list[Side]:
    """Return the sides that a relation says something good of."""
    good = [of, against] if relation == "tie" else [of] if relation in GOOD else [against]
    return [side for side in good if side is not None]


def losers(relation: str, holds: bool, found: Measurement, of: Side | None, against: Side | None) -> list[Side]:
    """Return the sides whose better tuning could change what was found."""
    if relation == "tie":
        behind = of if (found.value or 0.0) < 0 else against
        sides = [of, against] if holds else [behind]
    else:
        sides = [against if holds == (relation in GOOD) else of]
    return [side for side in sides if side is not None]


def edges_of(side: Side) -> str:
    """Return the edges of its box that a side's winner lies on, in words."""
    return ", ".join(f"{key.split('.')[-1]} on the {end} edge" for key, end in side.edges)


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
