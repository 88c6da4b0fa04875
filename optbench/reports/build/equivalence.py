"""Reference-equivalent budgets of a workload and over workloads: which runs go into the measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optbench.reports.build.leaderboard import trivial_of, with_trivial
from optbench.reports.build.sections import Ladder
from optbench.reports.model.content import Workload
from optbench.reports.model.rows import EquivalentBudget, Estimate
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures.equivalent_budget import (
    Arms,
    Equivalent,
    equivalent,
    geometric_mean,
    ladders,
    summary,
    without_curve,
)
from optbench.reports.statistics.scale import DECADES
from optbench.reports.statistics.trained import pooled_sd, trained

Found = tuple[tuple[EquivalentBudget, ...], str]
"""The rows, and why there are none."""


def equivalent_budgets(base: Workload, ladder: Ladder, reference: str, level: float) -> Found:
    """Return the equivalent budgets of the contenders beside the reference, and the reason if there are none.

    Both are empty without a ladder or without the reference. A contender that is not trained at a budget has none."""
    arms, untrained = arms_of(base, ladder, level)
    if reference not in arms or len(ladder) < 2:
        return (), ""
    rungs = ladders(arms, base.scale == DECADES)
    why_not = without_curve(rungs[reference], level)
    if why_not:
        return (), f"The {reference}-equivalent budget cannot be computed for {reference}: {why_not}."
    found = []
    for name in sorted(rungs.keys() - {reference}):
        own = {
            rung.budget: equivalent(rung, rungs[reference], level)
            for rung in rungs[name]
            if (name, rung.budget) not in untrained
        }
        found += [row(name, reference, budget, one, budget == summary(own)) for budget, one in own.items()]
    return tuple(found), ""


def row(name: str, reference: str, budget: float, of: Equivalent, stands: bool) -> EquivalentBudget:
    """Return one row of a report."""
    return EquivalentBudget(name, reference, budget, with_open_ends(of.ratio), of.bound, stands)


def with_open_ends(of: Estimate) -> Estimate:
    """Return a ratio with None for ends beyond the ladder, which are 0 and infinity."""
    return replace(of, low=of.low or None, high=None if of.high == float("inf") else of.high)


def arms_of(base: Workload, ladder: Ladder, level: float) -> tuple[dict[str, Arms], set[tuple[str, float]]]:
    """Return each contender by budget, and (name, budget) of those not shown to beat the trivial answer there."""
    sign = 1.0 if base.direction == "max" else -1.0
    found: dict[str, dict[float, Arm]] = {}
    untrained: set[tuple[str, float]] = set()
    for budget, there in ladder.items():
        contenders = list(there.values())
        trivial = trivial_of(contenders, base.headline)
        arms = with_trivial([one.arm(base.headline, sign) for one in contenders], trivial, sign)
        untrained |= {(name, budget) for name in untrained_in(arms, level)}
        for arm in arms:
            found.setdefault(arm.name, {})[budget] = arm
    return dict(found), untrained


def untrained_in(arms: Sequence[Arm], level: float) -> set[str]:
    """Return the names of those that are not shown to beat the trivial answer."""
    pooled = pooled_sd(arms)
    return {arm.name for arm in arms if trained(arm, level, pooled) is False}


def over_workloads(workloads: Sequence[Workload], contender: str) -> Equivalent | None:
    """Return the geometric mean of the ratios that stand for a contender; None unless every workload has one."""
    rows = [one for w in workloads for one in w.equivalent if one.contender == contender and one.stands]
    if len(rows) < len(workloads):
        return None
    mean = geometric_mean(Equivalent(closed(one), one.bound) for one in rows)
    return replace(mean, ratio=with_open_ends(mean.ratio)) if mean else None


def closed(row: EquivalentBudget) -> Estimate:
    """Return a row's ratio with 0 and infinity for ends beyond the ladder."""
    of = row.ratio
    if of.low is None and of.high is None and of.n < 2:
        return of
    return replace(of, low=of.low or 0.0, high=float("inf") if of.high is None else of.high)
