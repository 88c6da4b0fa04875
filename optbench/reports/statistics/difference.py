"""The difference between two contenders, its standard error and its tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.statistics.intervals import t_quantile
from optbench.reports.statistics.scale import RESOLUTION, spread
from optbench.reports.statistics.selection import SELECTION_DF, selection_variance

POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Arm:
    """A tuned contender: its final runs and its tuning. Larger is better everywhere."""

    name: str
    values: tuple[float, ...]
    """The headline of each final seed that succeeded."""
    failed: int = 0
    """Final seeds without a result."""
    scores: tuple[float | None, ...] = ()
    """Tuning score of each trial; None if it failed."""
    winner: int | None = None
    """Index of the trial that was rerun."""
    final_scores: tuple[float, ...] = ()
    """Scores of the final seeds in the unit of the tuning scores; empty: the headline itself."""

    seeds: tuple[int, ...] = ()
    """The seed of each value; contenders with common seeds are compared in pairs."""
    floor: float = 0.0
    """Least standard deviation of one run that the metric's resolution and the size of its test set allow."""
    score_floor: float = 0.0
    """The same for a score."""
    score_seeds: tuple[int, ...] = ()
    """Tuning seeds behind each score; empty: one each."""
    groups: tuple[int, ...] = ()
    """The scramble that each trial belongs to; empty: one for all."""
    trivial: float | None = None
    """The trivial answer's value in the unit of `values`."""

    @property
    def scored(self) -> tuple[float, ...]:
        """The final runs in the unit of the tuning scores."""
        return self.final_scores or self.values


@dataclass(frozen=True)
class Difference:
    """Mean of a minus mean of b."""

    value: float
    run_variance: float
    """n seeds of each divide it by n: variance of one run of a plus that of one run of b, less twice the covariance of
    pairs."""
    seed_variance: float
    """Squared standard error from the final seeds."""
    selection: float
    """Variance added by the selection of the winners."""
    df_seeds: float
    df_pooled: float
    floor: float = 0.0
    """Least squared standard error of the seeds that the metric allows; known, not estimated."""
    pairs: int = 0
    """Number of common seeds if compared in pairs, else 0."""

    @property
    def errors(self) -> tuple[tuple[float, float], ...]:
        """Standard error and Satterthwaite's degrees of freedom, by the seeds and by the metric's least noise.

        A claim must hold for both: few seeds may be alike by chance. Student's quantile times the larger of the two
        would be needlessly wide, since the second one is known."""
        measured = self.with_seeds(self.seed_variance, self.df_seeds)
        return (measured, self.with_seeds(self.floor, math.inf)) if self.floor else (measured,)

    def with_seeds(self, variance: float, df: float) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom for this variance from the seeds."""
        parts = variance**2 / df + self.selection**2 / min(SELECTION_DF, self.df_pooled)
        total = variance + self.selection
        return math.sqrt(total), total**2 / parts if parts else math.inf

    def p_no_difference(self) -> float:
        """Return the two-sided p-value of no difference: Student's t with the selection variance."""
        return min(1.0, 2 * self.tail_beyond(abs(self.value)))

    def p_beyond(self, margin: float) -> float:
        """Return the p-value of a difference of at least the margin: the greater of two one-sided tests (Schuirmann,
        1987)."""
        return self.tail_beyond(margin - abs(self.value))

    def tail_beyond(self, distance: float) -> float:
        """Return the greater share of the two distributions above this distance; without any noise 0 above 0."""
        return max(tail(distance / error, df) if error else float(distance <= 0) for error, df in self.errors)

    def half_width(self, level: float) -> float:
        """Return half the width of the interval at this level."""
        return max(t_quantile(0.5 + level / 2, df) * error if error else 0.0 for error, df in self.errors)


def difference(a: Arm, b: Arm, *, paired: bool = False) -> Difference | None:
    """Return the difference between two arms, None if either has fewer than two results.

    `paired`: the design gives both the same seeds; where one failed, the pair is left out."""
    pairs = common_seeds(a, b) if paired else []
    selection = pair_selection_variance(a, b) if min(len(a.values), len(b.values)) > 1 else 0.0
    if len(pairs) > 1:
        return paired_difference(pairs, a.floor**2 + b.floor**2, selection)
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    va, vb = spread(a.values) ** 2, spread(b.values) ** 2
    sa, sb = va / n, vb / m
    return Difference(
        value=statistics.fmean(a.values) - statistics.fmean(b.values),
        run_variance=max(va, a.floor**2) + max(vb, b.floor**2),
        seed_variance=sa + sb,
        selection=selection,
        df_seeds=satterthwaite((sa, n - 1), (sb, m - 1)),
        df_pooled=n + m - 2.0,
        floor=a.floor**2 / n + b.floor**2 / m,
    )


def common_seeds(a: Arm, b: Arm) -> list[tuple[float, float]]:
    """Return the values of each common seed; empty unless the sides have the same seeds but for failed ones."""
    first, second = (dict(zip(arm.seeds, arm.values, strict=False)) for arm in (a, b))
    if len(first) < len(a.values) or len(second) < len(b.values):  # seeds unknown, or one that counts twice
        return []
    common = sorted(first.keys() & second.keys())
    planned = min(len(first) + a.failed, len(second) + b.failed)
    return [(first[seed], second[seed]) for seed in common] if len(common) + a.failed + b.failed >= planned else []


def paired_difference(pairs: Sequence[tuple[float, float]], floor: float, selection: float) -> Difference:
    """Return the difference of pairs by seed; `floor` is the least variance of one pair's difference."""
    n = len(pairs)
    differences = [x - y for x, y in pairs]
    size = max(abs(value) for pair in pairs for value in pair)
    variance = max(statistics.variance(differences), (RESOLUTION * size) ** 2)
    return Difference(
        value=statistics.fmean(differences),
        run_variance=max(variance, floor),
        seed_variance=variance / n,
        selection=selection,
        df_seeds=n - 1.0,
        df_pooled=2.0 * (n - 1),
        floor=floor / n,
        pairs=n,
    )


def difference_from(arm: Arm, known: float) -> Difference | None:
    """Return the difference between an arm and a known number, None if the arm has fewer than two results."""
    n = len(arm.values)
    if n < 2:
        return None
    variance = spread(arm.values) ** 2
    return Difference(
        value=statistics.fmean(arm.values) - known,
        run_variance=max(variance, arm.floor**2),
        seed_variance=variance / n,
        selection=arm_selection_variance(arm),
        df_seeds=n - 1.0,
        df_pooled=n - 1.0,
        floor=arm.floor**2 / n,
    )


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of independent variances, given each with its own."""
    squares = sum(variance**2 / df for variance, df in parts)
    return sum(variance for variance, _ in parts) ** 2 / squares if squares else math.inf


def pair_selection_variance(a: Arm, b: Arm) -> float:
    """Return the variance that selecting both winners adds; the noise of a run is pooled over both."""
    scored = [arm.scored for arm in (a, b)]
    df = sum(len(values) - 1 for values in scored)
    sd = math.sqrt(sum(statistics.variance(v) * (len(v) - 1) for v in scored) / df)
    return sum(winner_variance(arm, sd) for arm in (a, b))


def arm_selection_variance(arm: Arm) -> float:
    """Return the variance that selecting one winner adds to its mean; 0 if nothing was selected."""
    return winner_variance(arm, statistics.stdev(arm.scored) if len(arm.scored) > 1 else 0.0) if arm.scored else 0.0


def winner_variance(arm: Arm, sd: float) -> float:
    """Return the same for this standard deviation of a run; its least one if that is larger."""
    if arm.winner is None:
        return 0.0
    noise = max(sd, arm.score_floor)
    return selection_variance(
        arm.scores, arm.winner, statistics.fmean(arm.scored), len(arm.scored), noise, arm.score_seeds
    )


def tail(t: float, df: float) -> float:
    """Return the share of Student's t above t."""
    from scipy.special import stdtr

    return float(stdtr(df, -t)) if math.isfinite(df) else statistics.NormalDist().cdf(-t)


def more_seeds(found: Difference, now: int, alpha: float, margin: float | None) -> int | None:
    """Return how many more seeds each arm needs beside `now` for a power of 80 %, None if 1,000 are not enough.

    Assumes that the difference and the noise stay as they are. Decides a difference if it is beyond the margin, else
    equivalence. Selection variance can make any number of seeds too few."""
    size = abs(found.value)
    equivalence = margin is not None and size < margin
    distance, share = (margin - size, 1 - alpha) if equivalence and margin is not None else (size, 1 - alpha / 2)
    for n in seed_counts(now):
        error = math.sqrt(found.run_variance / n + found.selection)
        df = float(n - 1) if found.pairs else 2.0 * (n - 1)
        if distance >= (t_quantile(share, df) + t_quantile(POWER, df)) * error:
            return n - now
    return None


def seed_counts(now: int) -> Sequence[int]:
    """Return the seed counts to try above `now`: one by one up to a hundred, then in steps of ten."""
    first = max(now + 1, 2)
    return [*range(first, 101), *range(max(first, 110), MOST_SEEDS + 1, 10)]
