"""The rows of a report's sections; `content` puts them together.

Metrics are in their own units, times in seconds, memory in bytes; an interval is at the report's level of confidence.
None: not measured, or not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, of n values; low and high are None where n is too small for one."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on the leaderboard of a workload, tuned, at the full budget, over its final seeds."""

    contender: str
    implementation: str
    rank_low: int
    """One more than the contenders that are shown to be better."""
    rank_high: int
    """One more than those that are not shown to be worse."""
    test: Estimate
    """The mean metric on test at the end of the schedule: the headline."""
    val: Estimate
    best_val: Estimate
    """The best of all evaluations on validation, by seed: a stopping rule in hindsight."""
    train: Estimate
    """The metric on training samples without augmentation at the end."""
    gap: Estimate
    """How much worse test is than train, seed by seed."""
    sd: float | None
    """Standard deviation of the headline over seeds."""
    values: tuple[float, ...]
    """The headline, seed by seed, of the seeds that succeeded."""
    seeds: tuple[int, ...]
    failed: int
    """Final seeds that ended without a result: they count as worse than any that has one."""
    trials: int
    """Points of the box that were tried."""
    tune_val: float | None
    """What the winning trial scored while tuning: optimistic, as it was chosen for it."""
    tuned: Mapping[str, Any] = field(default_factory=dict)
    """What tuning chose."""
    edges: tuple[tuple[str, str], ...] = ()
    """(key, "low" or "high") of chosen values on the edge of the box: undertuned."""
    luck: float = 0.0
    """Standard deviation that the choice of the winner by noisy scores adds to the headline's mean."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The verdict between two contenders on one workload (or across all)."""

    a: str
    b: str
    verdict: str
    """of a: better, worse, tie (shown equivalent) or undecided"""
    difference: Estimate
    """Mean of a minus mean of b, in the metric's unit, simultaneous over all pairs of the family."""
    p: float | None
    """Two-sided, of no difference."""
    adjusted_p: float | None
    """The same after Holm's correction over the family."""
    tie_p: float | None
    """Of a difference beyond the margin, after the same correction: small where the two are equivalent."""
    margin: float | None
    """Differences smaller than this do not matter; the metric's unit."""
    effect: float | None
    """Hedges' g: the difference in pooled standard deviations, positive where a is better."""
    improvement: Estimate
    """Probability that a run of a is better than one of b."""
    more_seeds: int | None
    """Seeds for each, beside those there are, that would decide with a power of 80 % if things are as they look."""
    sentence: str
    """The verdict in words."""
    evidence: tuple[str, ...] = ()
    """What it rests on and what limits it, a sentence each."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One run's records of one column, or a band over seeds; downsampled, extremes kept."""

    contender: str
    column: str
    """val_metric, train_loss, ...: a name of the column dictionary"""
    step: tuple[int, ...]
    samples: tuple[int, ...]
    train_seconds: tuple[float, ...]
    value: tuple[float | None, ...]
    """None where it was not finite."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    """Least and greatest over seeds, for a band; empty for a single run."""
    run_id: str | None = None
    seed: int | None = None
    status: str = "completed"


@dataclass(frozen=True, slots=True)
class BudgetCurve:
    """Expected best validation metric of the first n of a contender's trials in random order, without replacement."""

    contender: str
    trials: tuple[int, ...]
    expected: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    evaluated_samples: float | None
    """Samples through gradient evaluations of one trial."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How the metric depends on the learning rate, other values as the trials had them."""

    contender: str
    key: str
    """which hyperparameter: optimizer.lr"""
    x: tuple[float, ...]
    value: tuple[float | None, ...]
    """Validation metric of each trial; None where it failed."""
    number: Estimate
    """Mean loss of metric, over the searched range on a log scale, against the best (Wortsman et al., 2023).
    None, too, where no trial is better than an answer that has learned nothing."""
    chosen: float | None = None
    second: str = ""
    """What was searched first beside it, where that was numbers above 0: optimizer.weight_decay"""
    y: tuple[float, ...] = ()
    """Its value of each trial"""


@dataclass(frozen=True, slots=True)
class ToTarget:
    """What a contender needed to reach the target on validation; None where it did not: censored, not infinite."""

    contender: str
    kind: str
    """complete: smallest budget of the ladder whose complete schedules reach it, for more than half
    of the seeds. passing: first evaluation inside a
    run that is at or beyond it, which depends on the schedule."""
    reached: int
    of: int
    steps: Estimate
    samples: Estimate
    train_seconds: Estimate
    wall_seconds: Estimate
    flops: Estimate
    """Medians over the seeds, a seed that did not reach it counted as later than any that did."""
    budget: float | None = None
    """For complete: the share of the workload's budget."""


@dataclass(frozen=True, slots=True)
class LadderStep:
    """The headline of a contender at one budget of the ladder."""

    contender: str
    budget: float
    steps: int
    test: Estimate
    val: Estimate


@dataclass(frozen=True, slots=True)
class Stability:
    """How often a contender failed, and how bumpy its way was."""

    contender: str
    runs: int
    failed: int
    share: Estimate
    """Share of tuning runs that diverged or failed otherwise, with a Clopper-Pearson interval."""
    spikes: Estimate
    """Loss spikes in 1,000 judged training records of the final runs; the first 20 of a run only prepare."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Memory and speed of a contender's final runs; relative numbers are against the reference contender."""

    contender: str
    state_bytes: int | None
    parameter_bytes: int | None
    state_per_parameter: float | None
    """Bytes of optimizer state for a byte of parameters."""
    peak_bytes: int | None
    """Peak allocated on a device, else peak resident memory of the process."""
    step_ms: Estimate
    """Median training step."""
    samples_per_second: Estimate
    relative_speed: Estimate
    """Samples a second over the reference's."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds of a run by phase: data, forward, backward, optimizer, evaluation, ..."""
    shared_device: bool = False
    """Whether several runs shared a device: times are then not comparable."""


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A contender by quality, time and memory."""

    contender: str
    quality: float | None
    train_seconds: float | None
    state_bytes: float | None
    front: bool
    """Whether no other contender is at least as good in all three and better in one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended without a result."""

    run_id: str
    contender: str
    workload: str
    stage: str
    status: str
    reason: str
    folder: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a task made of a run's state, as a PNG file."""

    contender: str
    run_id: str
    name: str
    step: int
    path: str
