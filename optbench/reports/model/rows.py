"""The rows of a report's sections. Units and None as in `content`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of n values with its interval; low and high are None where n is too small."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on a workload: tuned, at the full budget, over its final seeds."""

    contender: str
    implementation: str
    rank_low: int
    """One more than the contenders shown to be better."""
    rank_high: int
    """One more than the contenders not shown to be worse."""
    test: Estimate
    """The mean metric on test at the end of the schedule."""
    val: Estimate
    best_val: Estimate
    """The best evaluation on validation of each seed: a stopping rule in hindsight."""
    train: Estimate
    """The metric on training samples without augmentation, at the end."""
    gap: Estimate
    """The gap between test and train, by seed; larger is worse."""
    sd: float | None
    """Standard deviation of the headline over seeds."""
    values: tuple[float, ...]
    """The headline of each seed that succeeded."""
    seeds: tuple[int, ...]
    failed: int
    """Final seeds without a result; they count as worse than any result."""
    trials: int
    """Points of the search box that were tried."""
    tune_val: float | None
    """The winning trial's score while tuning: optimistic, as it was chosen for it."""
    tuned: Mapping[str, object] = field(default_factory=dict)
    """Tuned hyperparameters by key."""
    edges: tuple[tuple[str, str], ...] = ()
    """(key, "low" or "high") of tuned values on the edge of the search box: undertuned."""
    box: str = ""
    """The search box by name (published, that of a preset, study) with its intervals; empty if it is not known."""
    trained: bool | None = None
    """True if shown to beat the trivial answer, False if not. None: no result, or the trivial answer is unknown."""
    waiting: int = 0
    """Final runs that have not ended."""
    given: tuple[str, ...] = ()
    """Values that this contender alone was given, neither searched nor set for the others: key=value (source)."""
    loss: Estimate = Estimate(None)
    """The mean test loss; beside a share, the more powerful metric."""
    luck: float = 0.0
    """Selection standard deviation: what choosing the winner by noisy scores adds to the headline's mean."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The verdict between two contenders on one workload."""

    a: str
    b: str
    verdict: str
    """The verdict on a: better, worse, tie (shown equivalent) or undecided."""
    difference: Estimate
    """Mean of a minus mean of b in the metric's unit; the interval is simultaneous over all pairs."""
    p: float | None
    """Two-sided, of no difference."""
    adjusted_p: float | None
    """The same after Holm's correction over all pairs."""
    tie_p: float | None
    """p-value of a difference beyond the margin, after the same correction; small if the two are equivalent."""
    margin: float | None
    """Smaller differences do not matter; in the metric's unit."""
    effect: float | None
    """Hedges' g: the difference in pooled standard deviations, positive where a is better."""
    improvement: Estimate
    """Probability that a run of a is better than one of b."""
    more_seeds: int | None
    """Further seeds of each that would decide with a power of 80 % if the estimates are true."""
    sentence: str
    """The verdict in words."""
    evidence: tuple[str, ...] = ()
    """The evidence for the verdict and its limits, in sentences."""
    undertuned: str = ""
    """The loser, if it is undecided because the loser's best value is on the edge of its search box."""
    remedy: str = ""
    """The remedy for a pair that more final seeds would not decide: "points" or "tuning seeds"."""

    def of(self, a: str) -> Pair:
        """Return the same verdict as one on `a`, which is either of the two."""
        if a == self.a:
            return self
        return replace(
            self,
            a=self.b,
            b=self.a,
            verdict=REVERSED.get(self.verdict, self.verdict),
            difference=mirrored(self.difference, 0.0),
            effect=None if self.effect is None else -self.effect,
            improvement=mirrored(self.improvement, 1.0),
        )


REVERSED = {"better": "worse", "worse": "better"}


def mirrored(of: Estimate, total: float) -> Estimate:
    """Return `total` minus an estimate."""
    value, low, high = (None if end is None else total - end for end in (of.value, of.high, of.low))
    return Estimate(value, low, high, of.n)


@dataclass(frozen=True, slots=True)
class Curve:
    """One column of a run's records, or a band over seeds; thinned, extremes kept."""

    contender: str
    column: str
    """A name of the column dictionary: val_metric, train_loss, ..."""
    step: tuple[int, ...]
    samples: tuple[int, ...]
    """Empty where they are not known."""
    train_seconds: tuple[float, ...]
    value: tuple[float | None, ...]
    """None where it was not finite."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    """With `low`: least and greatest over seeds; empty for a single run."""
    run_id: str | None = None
    seed: int | None = None
    status: str = "completed"


@dataclass(frozen=True, slots=True)
class BudgetCurve:
    """Expected best validation metric of n of a contender's trials, drawn without replacement."""

    contender: str
    trials: tuple[int, ...]
    expected: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    evaluated_samples: float | None
    """Samples of one trial, through gradient evaluations; the further seeds of a shortlist are spread over all."""
    headline: tuple[float | None, ...] = ()
    """Expected headline of the trial that validation chooses among n; empty if a trial has none."""
    final_samples: float | None = None
    """Samples of one final run."""
    trial_seconds: float | None = None
    """Training seconds of one trial; None if times may not be compared, as for `final_seconds`."""
    final_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Regret:
    """A contender untuned, or after few trials, against its best trial: the distance by validation, 0 is best."""

    contender: str
    best: float
    """Score of its best trial, the own values included."""
    default: Estimate
    """Of the optimizer's own values, against the final seeds; None if they were not tried, or failed."""
    one: Estimate
    four: Estimate
    eight: Estimate
    """This and the two above: of the best to expect of so many trials; the interval covers their order."""
    default_share: float | None = None
    """`default` over the distance from the trivial answer to the best trial of any contender."""
    shares: tuple[Estimate, ...] = ()
    """The same after 1, 2, ... trials; empty where the trivial answer is unknown."""
    default_failed: bool = False
    logarithms: bool = False
    """True where distances are of logarithms: the metric spans decades."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The metric against the learning rate, other values as the trials had them."""

    contender: str
    key: str
    """The hyperparameter: optimizer.lr."""
    x: tuple[float, ...]
    value: tuple[float | None, ...]
    """Validation metric of each trial; None where it failed."""
    number: Estimate
    """Mean loss of metric over the searched range, on a log scale, against the best (Wortsman et al., 2023). None where
    no trial beats the trivial answer."""
    decades: Estimate = Estimate(None)
    """Decades of learning rate near the best; the upper end is None where the range tried cuts them off."""
    chosen: float | None = None
    second: str = ""
    """The first other hyperparameter searched over numbers above 0: optimizer.weight_decay."""
    y: tuple[float, ...] = ()
    """Its value in each trial."""


@dataclass(frozen=True, slots=True)
class ToTarget:
    """Cost to reach the target on validation; None where it was not reached: censored, not infinite."""

    contender: str
    kind: str
    """complete: the smallest budget of the ladder whose complete schedules reach it, for more than half of the seeds.
    passing: the first evaluation inside a run that is at or beyond it, which depends on the schedule."""
    reached: int
    of: int
    steps: Estimate
    samples: Estimate
    train_seconds: Estimate
    wall_seconds: Estimate
    flops: Estimate
    """This and the four above: medians over seeds; a seed that did not reach it counts as later than any that did."""
    budget: float | None = None
    """The budget of a complete schedule, as a share of the workload's."""


@dataclass(frozen=True, slots=True)
class LadderStep:
    """The headline of a contender at one budget of the ladder."""

    contender: str
    budget: float
    steps: int
    test: Estimate
    val: Estimate


@dataclass(frozen=True, slots=True)
class EquivalentBudget:
    """Budget that the reference needs for the result that a contender has at one budget of the ladder."""

    contender: str
    reference: str
    budget: float
    """The contender's, as a share of the workload's."""
    ratio: Estimate
    """The reference's over the contender's: 2 is twice the data. Ends beyond the reference's ladder are None."""
    bound: str = ""
    """`at least` or `at most` if the value is only a bound: the reference's ladder ends there."""
    stands: bool = False
    """True at the budget that stands for the contender: the largest whose ratio is not a bound, else the largest."""


@dataclass(frozen=True, slots=True)
class Stability:
    """A contender's failures and loss spikes."""

    contender: str
    runs: int
    failed: int
    share: Estimate
    """Share of tuning runs that diverged or failed, with a Clopper-Pearson interval."""
    spikes: Estimate
    """Spikes in 1,000 training records of the final runs, without the first 20 records of a run."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Memory and speed of a contender's final runs; relative numbers are against the reference contender."""

    contender: str
    state_bytes: int | None
    parameter_bytes: int | None
    state_per_parameter: float | None
    """Bytes of optimizer state for each byte of parameters."""
    peak_bytes: int | None
    """Peak allocated on the device, else the peak resident memory of the process."""
    step_ms: Estimate
    """Median training step."""
    samples_per_second: Estimate
    relative_speed: Estimate
    """Samples a second over those of the reference."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds of a run by phase: data, forward, backward, optimizer, evaluation, ..."""
    shared_device: bool = False
    """True where several runs, or other programs, shared a device: times are longer than alone."""


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A contender by quality, time and memory."""

    contender: str
    quality: float | None
    train_seconds: float | None
    state_bytes: float | None
    front: bool
    """True where no other contender is at least as good in all three and better in one."""


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
    """A PNG file that a task made of a run's state."""

    contender: str
    run_id: str
    name: str
    step: int
    path: str
    seed: int
