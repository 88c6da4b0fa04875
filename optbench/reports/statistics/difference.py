"""The difference between two contenders, its standard error and its tests."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from optbench.reports.statistics.intervals import t_quantile
from optbench.reports.statistics.points import POINTS_DF, points_variance
from optbench.reports.statistics.scale import RESOLUTION, spread
from optbench.reports.statistics.selection import SELECTION_DF, selection_variance

POWER = 0.8
MOST_SEEDS = 1000
POINTS, TUNING_SEEDS = "points", "tuning seeds"  # what may be wanting beside final seeds
STEPS_A_DOUBLING = 16  # of the noise in `cached_selection`: within 2.2 %


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
    between: float | None = None
    """What a parabola leaves between the best value of a grid in one number and its neighbours, in the unit of the
    scores; None without one."""
    selection: float | None = None
    """Variance that the selection of the winner adds to the mean of `values`; None: it follows from the scores."""

    @property
    def scored(self) -> tuple[float, ...]:
        """The final runs in the unit of the tuning scores."""
        return self.final_scores or self.values

    @cached_property
    def variance(self) -> float:
        """Variance of two or more values."""
        return spread(self.values) ** 2

    @cached_property
    def scored_variance(self) -> float:
        """Variance of two or more final runs in the unit of the tuning scores."""
        return statistics.variance(self.scored)


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
    points: float = 0.0
    """Variance added by the points that were searched; 0 also if it is unknown."""

    @property
    def tuning(self) -> float:
        """Variance that more final seeds do not reduce."""
        return self.selection + self.points

    @property
    def remedy(self) -> str:
        """The remedy for most of the variance that more final seeds leave; empty if they leave none."""
        if not self.tuning:
            return ""
        return POINTS if self.points > self.selection else TUNING_SEEDS

    @property
    def errors(self) -> tuple[tuple[float, float], ...]:
        """Standard error and Satterthwaite's degrees of freedom, by the seeds and by the metric's least noise.

        A claim must hold for both: few seeds may be alike by chance. Student's quantile times the larger of the two
        would be needlessly wide, since the second one is known."""
        measured = self.with_seeds(self.seed_variance, self.df_seeds)
        return (measured, self.with_seeds(self.floor, math.inf)) if self.floor else (measured,)

    def with_seeds(self, variance: float, df: float) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom for this variance from the seeds."""
        parts = variance**2 / df + self.selection**2 / min(SELECTION_DF, self.df_pooled) + self.points**2 / POINTS_DF
        total = variance + self.tuning
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
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    selection, points = tuning_variances(a, b)
    pairs = common_seeds(a, b) if paired else []
    if len(pairs) > 1:
        return paired_difference(pairs, a.floor**2 + b.floor**2, selection, points)
    va, vb = a.variance, b.variance
    sa, sb = va / n, vb / m
    return Difference(
        value=statistics.fmean(a.values) - statistics.fmean(b.values),
        run_variance=max(va, a.floor**2) + max(vb, b.floor**2),
        seed_variance=sa + sb,
        selection=selection,
        df_seeds=satterthwaite((sa, n - 1), (sb, m - 1)),
        df_pooled=n + m - 2.0,
        floor=a.floor**2 / n + b.floor**2 / m,
        points=points,
    )


def common_seeds(a: Arm, b: Arm) -> list[tuple[float, float]]:
    """Return the values of each common seed; empty unless the sides have the same seeds but for failed ones."""
    first, second = (dict(zip(arm.seeds, arm.values, strict=False)) for arm in (a, b))
    if len(first) < len(a.values) or len(second) < len(b.values):  # seeds unknown, or one that counts twice
        return []
    common = sorted(first.keys() & second.keys())
    planned = min(len(first) + a.failed, len(second) + b.failed)
    return [(first[seed], second[seed]) for seed in common] if len(common) + a.failed + b.failed >= planned else []


def paired_difference(
    pairs: Sequence[tuple[float, float]], floor: float, selection: float, points: float
) -> Difference:
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
        points=points,
    )


def difference_from(arm: Arm, known: float) -> Difference | None:
    """Return the difference between an arm and a known number, None if the arm has fewer than two results."""
    n = len(arm.values)
    if n < 2:
        return None
    variance = arm.variance
    selection, points = tuning_variances(arm)
    return Difference(
        value=statistics.fmean(arm.values) - known,
        run_variance=max(variance, arm.floor**2),
        seed_variance=variance / n,
        selection=selection,
        df_seeds=n - 1.0,
        df_pooled=n - 1.0,
        floor=arm.floor**2 / n,
        points=points,
    )


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of independent variances, given each with its own."""
    squares = sum(variance**2 / df for variance, df in parts)
    return sum(variance for variance, _ in parts) ** 2 / squares if squares else math.inf


def tuning_variances(*arms: Arm) -> tuple[float, float]:
    """Return the variance that selecting the winners adds, and that of the points; the noise of a run is pooled over
    the arms."""
    weights = [(arm, len(arm.scored) - 1) for arm in arms if len(arm.scored) > 1]
    df = sum(weight for _, weight in weights)
    noise = sum(arm.scored_variance * weight for arm, weight in weights) / df if df else 0.0
    selection = sum(winner_variance(arm, math.sqrt(noise)) for arm in arms)
    tuned = [arm for arm in arms if arm.winner is not None]
    points = sum(
        points_variance(arm.scores, arm.groups, max(noise, arm.score_floor**2), arm.score_seeds) for arm in tuned
    )
    return selection, points


def arm_selection_variance(arm: Arm) -> float:
    """Return the variance that selecting one winner and the points that were searched add to its mean; 0 if nothing
    was selected."""
    return sum(tuning_variances(arm)) if arm.scored else 0.0


def winner_variance(arm: Arm, sd: float) -> float:
    """Return the variance that the selection of one winner adds; `sd` of a run, its least one if that is larger."""
    if arm.selection is not None:
        return arm.selection
    noise = max(sd, arm.score_floor)
    if arm.winner is None or noise == 0:
        return 0.0
    rounded = 2.0 ** (round(STEPS_A_DOUBLING * math.log2(noise)) / STEPS_A_DOUBLING)
    final = statistics.fmean(arm.scored)
    return cached_selection(arm.scores, arm.winner, final, len(arm.scored), rounded, arm.score_seeds)


@lru_cache(maxsize=10_000)
def cached_selection(
    scores: tuple[float | None, ...], winner: int, final: float, finals: int, sd: float, seeds: tuple[int, ...]
) -> float:
    """Return `selection_variance`; of many pairs with one contender each noise is computed once."""
    return selection_variance(scores, winner, final, finals, sd, seeds)


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

    def decides(n: int) -> bool:
        error, df = math.sqrt(found.run_variance / n + found.tuning), (n - 1.0) * (1 if found.pairs else 2)
        return distance >= (t_quantile(share, df) + t_quantile(POWER, df)) * error

    counts = range(max(now + 1, 2), MOST_SEEDS + 1)
    first = bisect.bisect_left(counts, True, key=decides)
    return counts[first] - now if first < len(counts) else None
