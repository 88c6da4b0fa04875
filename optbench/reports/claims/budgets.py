"""Reference-equivalent budget of one side of a claim; the other side is the reference."""

from __future__ import annotations

from dataclasses import replace

from optbench.reports.claims.gains import Measurement, of_ratio, with_interval
from optbench.reports.claims.limits import untrained
from optbench.reports.claims.sides import Side
from optbench.reports.statistics.measures.equivalent_budget import equivalent, ladders, summary, without_curve
from optbench.reports.statistics.scale import DECADES


def equivalent_budget(of: Side, against: Side | float, level: float) -> Measurement:
    """Return how many times the data of `of` the side `against` needs for the same result.

    At the budget that stands for `of` (measures.equivalent_budget); at its own, if the criterion names a smaller one
    than the greatest. An end beyond the reference's ladder is open."""
    if not isinstance(against, Side):
        return Measurement("equivalent_budget is taken against another side, the reference")
    both = (of, against)
    tested = all(rung.contender.values("test") for side in both for rung in side.ladder if rung.contender.succeeded)
    column = "test" if tested else "val"
    arms = {
        number: {rung.budget: rung.contender.arm(f"{column}_metric", side.sign) for rung in side.ladder}
        for number, side in zip("ab", both, strict=True)
    }
    rungs = ladders(arms, of.contender.scale(column).kind == DECADES)
    name, why_not = against.contender.name, without_curve(rungs["b"], level)
    if why_not:
        return Measurement(f"{name} has no equivalent budgets: {why_not}")
    idle = {rung.budget for rung in of.ladder if untrained(rung, level)}
    found = {one.budget: equivalent(one, rungs["b"], level) for one in rungs["a"] if one.budget not in idle}
    budget = summary(found) if of.budget == max(rung.budget for rung in of.ladder) else of.budget
    if budget is None or budget not in found:
        return Measurement(f"{of.contender.name} is not shown to beat the trivial answer")
    ratio, bound = found[budget].ratio, found[budget].bound
    if ratio.low is None:
        return Measurement("no interval", n=ratio.n)
    much = f"{bound} {with_interval(ratio)}".strip()
    return replace(
        of_ratio(ratio, 1.0, name, ratio.n), words=f"{name} needs {much} times the data at {budget:g} of the budget"
    )
