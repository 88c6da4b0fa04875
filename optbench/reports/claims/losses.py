"""Losses and metrics that tuning did not choose by: the winner was still chosen, so that its luck is in them too.

Another search at the same points, with other seeds, may pick another trial, and with it another loss. Which trials it
may pick follows from their scores: each is scored again with the noise of a run, the winner around the mean of its
fresh seeds. Half the mean squared distance between the losses of the trials that come out and the winner's is the
variance that selection adds. It asks for no relation between the loss and the score.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

from optbench.reports.claims.sides import Side
from optbench.reports.contenders import Contender, succeeded
from optbench.reports.read.columns import number_in
from optbench.reports.statistics.difference import Arm, Difference, difference, difference_from

DRAWS, SEED = 2000, 0
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
    import numpy as np

    headline = "test_metric" if side.contender.values("test") else "val_metric"
    arm, own = side.contender.arm(headline, side.sign), outcome(side, column, unit).values
    if arm.winner is None or not arm.scored or not own:
        return 0.0
    columns = [column_of(side.contender, trial, column, unit) for trial in sorted(side.contender.tuning)]
    known = [
        (index, score, value)
        for index, (score, value) in enumerate(zip(arm.scores, columns, strict=True))
        if score is not None and value is not None
    ]
    if arm.winner not in [index for index, _, _ in known]:
        return 0.0
    noise = max(statistics.stdev(arm.scored) if len(arm.scored) > 1 else 0.0, arm.score_floor)
    scores = np.array([statistics.fmean(arm.scored) if index == arm.winner else score for index, score, _ in known])
    counts = np.array([arm.score_seeds[index] if arm.score_seeds else 1 for index, _, _ in known])
    random = np.random.default_rng(SEED).standard_normal((DRAWS, len(known)))
    picked = (scores + noise / np.sqrt(counts) * random).argmax(1)
    values = np.array([statistics.fmean(own) if index == arm.winner else value for index, _, value in known])
    return float(((values[picked] - statistics.fmean(own)) ** 2).mean() / 2)


def column_of(contender: Contender, trial: int, column: str, unit: Unit) -> float | None:
    """Return the mean of a column over a trial's runs; None where it is unknown."""
    values = [number_in(run, column) for run in contender.tuning[trial] if succeeded(run)]
    known = [unit(value) for value in values if value is not None]
    return statistics.fmean(known) if known and all(map(math.isfinite, known)) else None
