"""The results along a numeric axis of a study: workloads that differ in one key. Units and None as in `content`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optbench.reports.model.rows import EquivalentBudget, Estimate


@dataclass(frozen=True, slots=True)
class AxisPoint:
    """A contender at one value of the axis, tuned there."""

    contender: str
    value: float
    headline: Estimate
    failed: int = 0
    """Final seeds without a result."""
    edges: tuple[tuple[str, str], ...] = ()
    """(key, "low" or "high") of tuned values on the edge of the search box: undertuned."""
    tuned: Mapping[str, object] = field(default_factory=dict)
    """Tuned hyperparameters by key."""
    steps: int | None = None
    samples: int | None = None
    parameters: int | None = None


@dataclass(frozen=True, slots=True)
class AxisSpan:
    """A contender's largest mean of the headline along the axis minus its least."""

    contender: str
    span: Estimate
    best: float | None
    """The value of the axis with the best mean; None without a result."""


NO_COST = Estimate(None)


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Validation metric against the learning rate at one value of the axis, from tuning and final runs."""

    contender: str
    value: float
    rates: tuple[float, ...]
    metric: tuple[float | None, ...]
    """The mean over the runs of each rate; None where one failed."""
    best: float
    """The best rate tried."""
    low: float
    """With `high`: rates between which the best one lies."""
    high: float
    edge: str = ""
    """"low" or "high" where the best rate is the last one tried on that side."""
    transferred: float | None = None
    """The metric at the base's best rate, linear in log(rate) between the rates tried; None beyond them."""
    cost: Estimate = NO_COST
    """The loss of that against the best rate."""


@dataclass(frozen=True, slots=True)
class RateTransfer:
    """The learning rate of the least value of the axis, used at every other one."""

    contender: str
    key: str
    """The hyperparameter: optimizer.lr."""
    curves: tuple[RateCurve, ...]
    """By the value of the axis; the first is the base."""
    shift: float | None
    """Decades that the best rate moves for each doubling of the value: the slope of a least-squares line."""


@dataclass(frozen=True, slots=True)
class AxisEquivalent:
    """The data that the reference needs over the contender's own, at one value of the axis."""

    value: float
    budget: EquivalentBudget
    """At the budget that stands for the contender there."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Workloads that differ in one numeric key."""

    key: str
    """The key: batch_size, model.width."""
    words: str
    """The key in words: batch size."""
    workload: str
    """The name that the workloads share."""
    metric: str
    direction: str
    headline_name: str
    values: tuple[float, ...]
    points: tuple[AxisPoint, ...]
    spans: tuple[AxisSpan, ...] = ()
    transfers: tuple[RateTransfer, ...] = ()
    equivalents: tuple[AxisEquivalent, ...] = ()
    """By contender and value; empty without a ladder of budgets."""
    trends: Mapping[str, Estimate] = field(default_factory=dict)
    """Of each contender: the ratio at its largest value over that at its least."""
    samples: int | None = None
    """Of every run, where all are trained on as many, to less than a batch; None if they differ."""
