"""Losses and other columns that tuning did not choose by: choosing the winner still adds selection variance to them.

Another search at the same points, with other seeds, may pick another trial, and with it another loss. Which trials it
may pick follows from their scores: each is scored again with the noise of a run, the winner around the mean of its
fresh seeds. Half the mean squared distance between the losses of the trials that come out and the winner's is the
variance that selection adds. It asks for no relation between the loss and the score.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from optbench.reports.contenders import Contender, succeeded
from optbench.reports.read.columns import number_in
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.verdicts import Margin

DRAWS, SEED = 2000, 0
Unit = Callable[[float], float]
"""From a value to the unit of the comparison, larger is better."""


def negative_log(value: float) -> float:
    """Return the unit of losses: compared by ratio, less is better; nan unless above 0."""
    return -math.log(value) if value > 0 else math.nan


def of_ratios(margin: Margin) -> Margin:
    """Return the margin of a share of a loss in the unit of its logarithm; none for a margin in the metric's unit."""
    return Margin(math.log1p(margin.amount) if margin.relative else 0.0, relative=False)


def loss_arms(contenders: Sequence[Contender], sign: float) -> list[Arm]:
    """Return contenders by -log(test loss), none unless each loss is known and above 0. `sign`: of the metric."""
    arms = [outcome(contender, sign, "test_loss", negative_log) for contender in contenders]
    known = [len(arm.values) == len(one.succeeded) for one, arm in zip(contenders, arms, strict=True)]
    return arms if all(known) and all(map(math.isfinite, (v for arm in arms for v in arm.values))) else []


def outcome(contender: Contender, sign: float, column: str, unit: Unit) -> Arm:
    """Return a contender by a column; its scores are the trials' values of the column. `sign`: of the metric."""
    known = [(run["seed"], number_in(run, column)) for run in contender.succeeded]
    found = [(seed, unit(value)) for seed, value in known if value is not None]
    values = tuple(value for _, value in found)
    chosen = contender.arm("test_metric" if contender.values("test") else "val_metric", sign)
    columns = tuple(column_of(contender, trial, column, unit) for trial in sorted(contender.tuning))
    tuned = bool(values and chosen.scored) and chosen.winner is not None and columns[chosen.winner] is not None
    return Arm(
        contender.name,
        values,
        contender.failed,
        scores=columns if tuned else (),
        winner=chosen.winner if tuned else None,
        seeds=tuple(seed for seed, _ in found),
        score_seeds=chosen.score_seeds,
        groups=chosen.groups,
        selection=selection(chosen, columns, statistics.fmean(values)) if tuned else 0.0,
    )


def selection(chosen: Arm, columns: Sequence[float | None], own: float) -> float:
    """Return the variance that selecting a winner adds to a column. `chosen`: the contender by what it was chosen by;
    `columns`: of each trial; `own`: mean of the winner's final runs."""
    import numpy as np

    known = [
        (index, score, value)
        for index, (score, value) in enumerate(zip(chosen.scores, columns, strict=True))
        if score is not None and value is not None
    ]
    final, winner = statistics.fmean(chosen.scored), chosen.winner
    noise = max(statistics.stdev(chosen.scored) if len(chosen.scored) > 1 else 0.0, chosen.score_floor)
    scores = np.array([final if index == winner else score for index, score, _ in known])
    counts = np.array([chosen.score_seeds[index] if chosen.score_seeds else 1 for index, _, _ in known])
    random = np.random.default_rng(SEED).standard_normal((DRAWS, len(known)))
    picked = (scores + noise / np.sqrt(counts) * random).argmax(1)
    values = np.array([own if index == winner else value for index, _, value in known])
    return float(((values[picked] - own) ** 2).mean() / 2)


def column_of(contender: Contender, trial: int, column: str, unit: Unit) -> float | None:
    """Return the mean of a column over a trial's runs; None where it is unknown."""
    values = [number_in(run, column) for run in contender.tuning[trial] if succeeded(run)]
    known = [unit(value) for value in values if value is not None]
    return statistics.fmean(known) if known and all(map(math.isfinite, known)) else None
