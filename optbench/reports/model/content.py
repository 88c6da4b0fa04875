"""What a report says, as plain data: every output (HTML, Markdown, JSON, CSV, pictures, terminal) draws one of these.

Nothing here computes. `asdict(report)` is report.json. Metrics are in their own units, times in seconds, memory in
bytes; an interval is at the report's level of confidence. None: not measured, or not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optbench.reports.model.rows import (
    BudgetCurve,
    Curve,
    Estimate,
    Failure,
    LadderStep,
    Pair,
    ParetoPoint,
    Picture,
    Resources,
    Row,
    Sensitivity,
    Stability,
    ToTarget,
)

VERDICTS = {True: "supported", False: "not supported", None: "inconclusive"}


@dataclass(frozen=True, slots=True)
class Workload:
    """All that is known of one workload."""

    name: str
    metric: str
    direction: str
    """max or min"""
    headline: str
    """test_metric or val_metric: what the leaderboard and the verdicts go by"""
    target: float | None
    steps: int
    batch_size: int
    budgets: tuple[float, ...]
    answer: tuple[str, ...]
    """Which optimizer to use here and how sure that is."""
    warnings: tuple[str, ...]
    """What weakens the answer: few seeds, edges of boxes, failures."""
    rows: tuple[Row, ...]
    """Best first."""
    pairs: tuple[Pair, ...] = ()
    curves: tuple[Curve, ...] = ()
    """Of the final runs at the full budget, each seed."""
    bands: tuple[Curve, ...] = ()
    """The same with the mean over seeds as value."""
    budget_curves: tuple[BudgetCurve, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    to_target: tuple[ToTarget, ...] = ()
    ladder: tuple[LadderStep, ...] = ()
    stability: tuple[Stability, ...] = ()
    resources: tuple[Resources, ...] = ()
    reference: str | None = None
    """Which contender relative speeds are against."""
    pareto: tuple[ParetoPoint, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def headline_name(self) -> str:
        """The headline in words: test accuracy."""
        return f"{'validation' if self.headline.startswith('val') else 'test'} {self.metric}"

    def headline_of(self, row: Row | LadderStep) -> Estimate:
        """Return the estimate that the leaderboard and the verdicts go by."""
        return row.val if self.headline.startswith("val") else row.test


@dataclass(frozen=True, slots=True)
class Profile:
    """Performance profile: share of workloads solved within tau times the fastest (Dolan and Moré, 2002)."""

    contender: str
    tau: tuple[float, ...]
    share: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A contender over several workloads."""

    contender: str
    score: Estimate
    """AlgoPerf's benchmark score of times to target, 0 to 1; None without times."""
    mean_rank: Estimate
    iqm: Estimate
    """Interquartile mean over seeds and workloads of the normalised headline: 1 the best contender's mean, 0 the
    worst one's. Its interval has the luck of tuning in it."""
    speed_up: Estimate
    """Geometric mean over workloads of the reference's time to target over its own."""
    rank_first: float | None = None
    """Share of the draws in which its interquartile mean is the greatest."""


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The order without one workload: of contenders by mean rank, in `optbench score` of submissions by score."""

    without: str
    order: tuple[str, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Across:
    """All workloads together; where there are two or more."""

    answer: tuple[str, ...]
    scores: tuple[Score, ...]
    profiles: tuple[Profile, ...]
    leave_one_out: tuple[LeaveOneOut, ...]
    ranks: Mapping[str, Mapping[str, tuple[int, int]]]
    """{workload: {contender: (rank_low, rank_high)}}"""
    note: str = ""
    """What the scores are made of: which times, of how many workloads."""


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run."""

    run_id: str
    study: str
    workload: str
    contender: str
    stage: str
    trial: int | None
    seed: int
    budget: float | None
    status: str
    reason: str
    val: float | None
    test: float | None
    train_seconds: float | None
    hardware: str
    command: str
    """What reproduces it."""
    config: Mapping[str, Any]
    """Resolved."""
    folder: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one comparison says of a criterion."""

    where: str
    """The workload, with what else both sides share."""
    holds: bool | None
    words: str
    low: float | None = None
    """The interval of the gain, larger is better; of a ratio in logarithms. None where an end has no bound, or there
    are no numbers."""
    high: float | None = None
    n: int | None = None
    """Results on the smaller side"""
    unit: str = "seeds"
    """seeds, runs or trials"""
    value: float | None = None
    """The gain itself, as its interval"""


@dataclass(frozen=True, slots=True)
class CriterionVerdict:
    """One condition of a claim, and whether it holds."""

    text: str
    """In the study's own words, empty where it has none."""
    statement: str
    """In ours."""
    measure: str
    relation: str
    margin: float
    margin_words: str
    holds: bool | None
    verdict: str
    """supported, not supported or inconclusive"""
    words: str
    """The evidence in a line."""
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the study was to decide, and whether it did."""

    text: str
    holds: bool | None
    """None: undecided"""
    sentence: str
    criteria: tuple[CriterionVerdict, ...] = ()
    seeds: int | None = None
    """The fewest that any of it rests on."""
    few: bool = False
    """Whether those are few."""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return VERDICTS[self.holds]

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each criterion."""
        return tuple(
            f"{one.verdict}: {one.text or one.statement}"
            + (f" ({one.margin_words})" if one.margin_words else "")
            + f": {one.words}"
            for one in self.criteria
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Everything."""

    title: str
    studies: tuple[str, ...]
    made_with: str
    """optbench and its version"""
    command: str
    """what made this report"""
    answer: tuple[str, ...]
    """The first lines: which optimizer for which workload, and how sure that is."""
    assumptions: tuple[str, ...]
    """What was assumed and how the numbers are made, a sentence each."""
    mixed: tuple[str, ...]
    """What was mixed because it was asked for: hardware, budgets, data, versions."""
    level: float
    """Of confidence, 0.95"""
    workloads: tuple[Workload, ...]
    across: Across | None
    runs: tuple[RunDetail, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[tuple[str, str], ...]
    """(path, why it was left out)"""
    claim: Claim | None = None
    open_runs: int = 0
    """Runs that have not ended: the study goes on."""
    schema: int = 1
