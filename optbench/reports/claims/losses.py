"""Losses and metrics that tuning did not choose by: the winner was still chosen, so that its luck is in them too.

Selection variance is known in the unit of the validation score (statistics.selection). A column of other values moves
with the score over the trials: its standard deviation over those that could have won, over that of their scores, is
the factor between the units. Where a column moves apart from the score (training loss, of a network that overfits), the
trials differ in it all the same, so that no correlation is asked for.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

from optbench.reports.claims.sides import Side
from optbench.reports.contenders import Contender, succeeded
from optbench.reports.read.columns import number_in
from optbench.reports.statistics.difference import Arm, Difference, arm_selection_variance, difference, difference_from

LEAST_TRIALS = 4  # or all, of those that could have won
Unit = Callable[[float], float]
"""From a value to the unit of the comparison, larger is better."""


def negative_log(value: float) -> float:
    """Return the unit of losses: compared by ratio, less is better."""
    return -math.log(value) if value > 0 else math.nan


def outcome(side: Side, column: str, unit: Unit) -> Arm:
    """Return a side's final values of a column; nothing was selected by it."""
    known = [(run["seed"], number_in(run, column)) for run in side.contender.succeeded]
    found = [(seed, unit(value)) for seed, value in known if value is not None]
    values, seeds = tuple(value for _, value in found), tuple(seed for seed, _ in found)
    return Arm(side.contender.name, values, side.contender.failed, seeds=seeds)


def with_luck(found: Difference, sides: list[Side], column: str, unit: Unit) -> Difference:
    """Return a difference of a column with the variance that selecting the winners of both sides adds to it."""
    return replace(found, selection=sum(selection(side, column, unit) for side in sides))


def outcome_difference(of: Side, against: Side | float, column: str, unit: Unit) -> Difference | None:
    """Return the difference of a column between two sides, or from a number, None for fewer than two results."""
    a, sides = outcome(of, column, unit), [side for side in (of, against) if isinstance(side, Side)]
    if isinstance(against, Side):
        found = difference(a, outcome(against, column, unit), paired=of.paired and against.paired)
    else:
        found = difference_from(a, unit(against))
    return None if found is None else with_luck(found, sides, column, unit)


def selection(side: Side, column: str, unit: Unit) -> float:
    """Return the variance that selecting a winner adds to a column; 0 if nothing was selected."""
    headline = "test_metric" if side.contender.values("test") else "val_metric"
    arm = side.contender.arm(headline, side.sign)
    variance = arm_selection_variance(arm)
    trials = could_have_won(side.contender, column, unit, side.sign) if arm.winner is not None else []
    if len(trials) < 2:
        return variance
    of_scores, of_column = (statistics.pstdev(values) for values in zip(*trials, strict=True))
    return variance * (of_column / of_scores) ** 2 if of_scores else of_column**2


def could_have_won(contender: Contender, column: str, unit: Unit, sign: float) -> list[tuple[float, float]]:
    """Return (score, mean of the column) of the better half of the trials, larger is better in both."""
    found = []
    for trial, runs in contender.tuning.items():
        score, values = contender.score(trial), [number_in(run, column) for run in runs if succeeded(run)]
        known = [unit(value) for value in values if value is not None]
        if score is not None and known and all(map(math.isfinite, known)):
            found.append((sign * score, statistics.fmean(known)))
    return sorted(found, reverse=True)[: max(LEAST_TRIALS, len(found) // 2)]
