"""The content of a report as plain data; as JSON it is report.json.

Metrics are in their own units, times in seconds, memory in bytes; intervals are at the report's level of confidence.
None: not measured, or not available.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optbench.reports.model.axes import Axis
from optbench.reports.model.rows import (
    BudgetCurve,
    Curve,
    EquivalentBudget,
    Estimate,
    Failure,
    LadderStep,
    Pair,
    ParetoPoint,
    Picture,
    Regret,
    Resources,
    Row,
    Sensitivity,
    Stability,
    ToTarget,
)

VERDICTS = {True: "supported", False: "not supported", None: "undecided"}
NOT_TESTABLE = "not testable here"


def verdict_word(holds: bool | None, testable: bool, held: int = 0, of: int = 0) -> str:
    """Return a verdict in words; `held` of several parts are supported, and others are not: mixed."""
    if not testable:
        return NOT_TESTABLE
    return f"mixed ({held} of {of})" if holds is False and held else VERDICTS[holds]


@dataclass(frozen=True, slots=True)
class Workload:
    """The results on one workload."""

    name: str
    metric: str
    direction: str
    """max or min"""
    headline: str
    """The metric of the leaderboard and the verdicts: test_metric or val_metric."""
    target: float | None
    steps: int | None
    """None, like the batch size, where a training script goes by a budget of its own that is not known."""
    batch_size: int | None
    budgets: tuple[float, ...]
    answer: tuple[str, ...]
    """The answer: the optimizer to use, and the certainty."""
    warnings: tuple[str, ...]
    """Limits of the answer: few seeds, edges of search ranges, failures."""
    rows: tuple[Row, ...]
    """Best first."""
    trivial: float | None = None
    """The headline of the trivial answer."""
    scale: str = "real"
    """The values of the metric: share, positive, decades or real."""
    pairs: tuple[Pair, ...] = ()
    loss_pairs: tuple[Pair, ...] = ()
    """Verdicts by -log(test loss), larger is better, where the headline is a share on test; empty otherwise."""
    curves: tuple[Curve, ...] = ()
    """Curves of the final runs at the full budget, by seed."""
    bands: tuple[Curve, ...] = ()
    """The means over seeds."""
    budget_curves: tuple[BudgetCurve, ...] = ()
    regret: tuple[Regret, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    to_target: tuple[ToTarget, ...] = ()
    ladder: tuple[LadderStep, ...] = ()
    equivalent: tuple[EquivalentBudget, ...] = ()
    not_equivalent: str = ""
    """Why the reference has no equivalent budgets, in a sentence; empty without a ladder."""
    stability: tuple[Stability, ...] = ()
    resources: tuple[Resources, ...] = ()
    reference: str | None = None
    """The contender that relative speeds are against."""
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
    """A performance profile: share of workloads solved within tau times the fastest (Dolan and Moré, 2002)."""

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
    mean: Estimate
    """Over workloads, of the headline between 0 (the trivial answer) and 1 (the best contender's mean): the mean, from
    eight workloads on the interquartile mean. The interval includes the selection variance of tuning."""
    speed_up: Estimate
    """Geometric mean over workloads of the reference's time to target over its own."""
    rank_first: float | None = None
    """P(best): that its score over workloads is the greatest."""
    minimum: float | None = None
    """The least score on a workload."""
    weakest: str = ""
    """That workload."""
    by_workload: Mapping[str, float] = field(default_factory=dict)
    """The score on each workload that is scored."""
    equivalent: Estimate = field(default_factory=lambda: Estimate(None))
    """Geometric mean over workloads of the reference-equivalent budget over the contender's own."""
    at_defaults: Estimate = field(default_factory=lambda: Estimate(None))
    """Mean regret at defaults over workloads, as a share of the way from the trivial answer to the best trial."""
    equivalent_bound: str = ""
    """`at least` or `at most` if it is a bound, as on some workload."""


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The order without one workload: contenders by score or mean rank; in `optbench score`, submissions."""

    without: str
    order: tuple[str, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Across:
    """Two or more workloads together."""

    answer: tuple[str, ...]
    scores: tuple[Score, ...]
    profiles: tuple[Profile, ...]
    leave_one_out: tuple[LeaveOneOut, ...]
    ranks: Mapping[str, Mapping[str, tuple[int, int]]]
    """{workload: {contender: (rank_low, rank_high)}}"""
    note: str = ""
    """The times behind the scores, and the number of workloads."""
    left_out_by: str = "mean rank"
    """The measure behind `leave_one_out`: score, or mean rank where there are no scores of two workloads."""


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
    """It reproduces the run."""
    config: Mapping[str, object]
    """Resolved."""
    folder: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One comparison for a criterion."""

    where: str
    """The workload, and what else both sides share."""
    holds: bool | None
    words: str
    low: float | None = None
    """With `high`: the interval of the gain, larger is better; of a ratio in logarithms. None: unbounded or unknown."""
    high: float | None = None
    n: int | None = None
    """Results on the smaller side."""
    unit: str = "seeds"
    """The unit of `n`: seeds, runs or trials."""
    value: float | None = None
    """The gain, in the unit of its interval."""
    testable: bool = True
    """False where no result could show the relation, or nothing was trained."""


@dataclass(frozen=True, slots=True)
class CriterionVerdict:
    """The verdict on one criterion of a claim."""

    text: str
    """The study's own words, or empty."""
    statement: str
    """The same in standard words."""
    measure: str
    relation: str
    margin: float
    margin_words: str
    holds: bool | None
    verdict: str
    """supported, not supported, mixed (k of n workloads), undecided, or not testable here"""
    words: str
    """The evidence in a line."""
    evidence: tuple[Evidence, ...]
    testable: bool = True
    control: bool = False
    """True for what must hold for the claim to be testable."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The study's claim, and the verdict on it."""

    text: str
    holds: bool | None
    """None: undecided"""
    sentence: str
    criteria: tuple[CriterionVerdict, ...] = ()
    seeds: int | None = None
    """The fewest of any comparison."""
    few: bool = False
    """True where these are too few for small differences."""
    testable: bool = True
    level: float | None = None
    """The level of confidence of the intervals; higher than the report's where several comparisons are corrected."""

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        parts = [one for one in self.criteria if not one.control]
        if len(parts) == 1 and self.testable and self.holds is parts[0].holds:
            return parts[0].verdict
        return verdict_word(self.holds, self.testable, sum(one.holds is True for one in parts), len(parts))

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each criterion."""
        return tuple(
            f"{one.verdict}: {'control: ' if one.control else ''}{one.text or one.statement}"
            + (f" ({one.margin_words})" if one.margin_words else "")
            + f": {one.words}"
            for one in self.criteria
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence on something that the training script of some runs leaves open.

    Examples: an equal budget, a seed or a setting that the script never reads."""

    text: str
    runs: Mapping[str, int]
    """Number of runs by contender."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """A command to type next."""

    reason: str
    """The reason for it."""
    command: str


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a report."""

    title: str
    studies: tuple[str, ...]
    made_with: str
    """optbench and its version."""
    command: str
    """The command that made this report."""
    answer: tuple[str, ...]
    """The answer: the optimizer for each workload, and the certainty."""
    assumptions: tuple[str, ...]
    """Assumptions and methods, in sentences."""
    mixed: tuple[str, ...]
    """Differences that were mixed on request: hardware, budgets, data, versions."""
    level: float
    """The level of confidence, e.g. 0.95."""
    workloads: tuple[Workload, ...]
    across: Across | None
    runs: tuple[RunDetail, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[tuple[str, str], ...]
    """(path, reason)"""
    claim: Claim | None = None
    open_runs: int = 0
    """Runs that have not ended."""
    next_steps: tuple[NextStep, ...] = ()
    notes: tuple[Note, ...] = ()
    """What training scripts leave open."""
    axes: tuple[Axis, ...] = ()
    """Workloads that differ in one number: batch sizes, widths."""
    schema: int = 1
