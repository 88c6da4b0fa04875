"""The cost of reaching the target: inside a run, and by complete schedules.

The first passing inside a run depends on the schedule: a longer one passes later. So the measure is the smallest budget
of a ladder whose complete schedules end at the target; the passing is reported beside it. A run that did not reach the
target is censored: it takes longer than any that did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optbench.reports.model.content import Estimate, ToTarget
from optbench.reports.statistics.intervals import median_interval

COMPLETE, PASSING = "complete", "passing"


@dataclass(frozen=True)
class Cost:
    """The cost of one run up to its target; None: unknown."""

    steps: float | None = None
    samples: float | None = None
    train_seconds: float | None = None
    wall_seconds: float | None = None
    flops: float | None = None


def reaches(value: float | None, target: float, direction: str) -> bool:
    """Return True if a metric is at or beyond the target; False for nan."""
    return value is not None and (value >= target if direction == "max" else value <= target)


def first_passing(values: Sequence[float | None], target: float, direction: str) -> int | None:
    """Return the index of the first evaluation at or beyond the target."""
    return next((i for i, value in enumerate(values) if reaches(value, target, direction)), None)


def passing(contender: str, costs: Sequence[Cost | None], level: float = 0.95) -> ToTarget:
    """Return the median cost over seeds of the first passing; None: the seed did not reach the target, or failed."""
    return to_target(contender, PASSING, costs, level, None)


def complete(contender: str, ladder: Mapping[float, Sequence[Cost | None]], level: float = 0.95) -> ToTarget:
    """Return the smallest budget at which more than half of the seeds end their schedule at the target.

    `ladder`: the full cost of each seed at each budget, None if it did not end at the target. If no budget is enough,
    the largest is reported with its censored seeds."""
    for budget in sorted(ladder):
        costs = ladder[budget]
        if costs and 2 * sum(cost is not None for cost in costs) > len(costs):
            return to_target(contender, COMPLETE, costs, level, budget)
    return to_target(contender, COMPLETE, ladder[max(ladder)] if ladder else (), level, None)


def to_target(contender: str, kind: str, costs: Sequence[Cost | None], level: float, budget: float | None) -> ToTarget:
    """Return the median of each cost, with censoring."""
    reached = [cost for cost in costs if cost is not None]

    def median(name: str) -> Estimate:
        known = [value for cost in reached if (value := getattr(cost, name)) is not None]
        if len(known) < len(reached):
            return Estimate(None)
        return median_interval(known, level, censored=len(costs) - len(reached))

    return ToTarget(
        contender=contender,
        kind=kind,
        reached=len(reached),
        of=len(costs),
        steps=median("steps"),
        samples=median("samples"),
        train_seconds=median("train_seconds"),
        wall_seconds=median("wall_seconds"),
        flops=median("flops"),
        budget=budget,
    )
