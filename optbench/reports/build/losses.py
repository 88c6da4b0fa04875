"""Verdicts by test loss beside a metric that is a share: a loss changes with every step, a share with every sample."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from optbench.reports.contenders import Contender
from optbench.reports.read.columns import RunRow
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.verdicts import Margin

LEAST_TRIALS = 4  # or all, of those that could have won


def of_ratios(margin: Margin) -> Margin:
    """Return the margin of a share of a loss in the unit of its logarithm; none for a margin in the metric's unit."""
    return Margin(math.log1p(margin.amount) if margin.relative else 0.0, relative=False)


def loss_arms(contenders: Sequence[Contender], arms: Sequence[Arm], headline: str, sign: float) -> list[Arm]:
    """Return the contenders by -log(test loss), larger is better; none unless each loss on test is known and above 0.

    Tuning chose by the metric. Its selection counts in the loss too: scores and final scores are multiplied by the
    ratio of what the trials that could have won differ by in the loss and in the metric, both on validation."""
    found = []
    if headline != "test_metric":
        return []
    for contender, arm in zip(contenders, arms, strict=True):
        known = [(run["seed"], run["test_loss"]) for run in contender.succeeded]
        losses = [loss for _, loss in known if loss is not None and loss > 0]
        if len(losses) < len(known):
            return []
        factor = loss_per_score(contender, arm, sign)
        found.append(
            replace(
                arm,
                values=tuple(-math.log(loss) for loss in losses),
                seeds=tuple(seed for seed, _ in known),
                scores=tuple(None if score is None else factor * score for score in arm.scores),
                final_scores=tuple(factor * score for score in arm.scored),
                score_floor=factor * arm.score_floor,
                floor=0.0,
                trivial=None,
            )
        )
    return found


def loss_per_score(contender: Contender, arm: Arm, sign: float) -> float:
    """Return the standard deviation of -log(validation loss) over that of the score, of the better half of the trials,
    or else of the final runs; 0 if neither is known."""
    trials = [
        (sign * score, statistics.fmean(losses))
        for trial, runs in contender.tuning.items()
        if (score := contender.score(trial)) is not None and (losses := negative_logs(runs))
    ]
    half = sorted(trials, reverse=True)[: max(LEAST_TRIALS, len(trials) // 2)] if arm.winner is not None else []
    finals = list(zip(arm.scored, negative_logs(contender.succeeded), strict=False))
    for known in (half, finals):
        if len(known) > 1:
            of_scores, of_losses = (statistics.pstdev(values) for values in zip(*known, strict=True))
            if of_scores:
                return of_losses / of_scores
    return 0.0


def negative_logs(runs: Sequence[RunRow]) -> list[float]:
    """Return -log(validation loss) of every run; nothing if one is unknown or not above 0."""
    losses = [run["val_loss"] for run in runs]
    known = [loss for loss in losses if loss is not None and loss > 0]
    return [-math.log(loss) for loss in known] if len(known) == len(losses) else []
