"""The difference between two contenders, its standard error and its tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.statistics.intervals import t_quantile
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
    """Variance of one run of a plus that of one run of b; n seeds each divide it by n."""
    seed_variance: float
    """Squared standard error from the final seeds."""
    selection: float
    """Variance added by the selection of the winners."""
    df_seeds: float
    df_pooled: float

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.seed_variance + self.selection)

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom; infinite if nothing varies."""
        parts = self.seed_variance**2 / self.df_seeds + self.selection**2 / min(SELECTION_DF, self.df_pooled)
        return (self.seed_variance + self.selection) ** 2 / parts if parts else math.inf

    def p_no_difference(self) -> float:
        """Return the two-sided p-value of no difference: Welch's t with the selection variance."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return min(1.0, 2 * tail(abs(self.value) / self.error, self.df))

    def p_beyond(self, margin: float) -> float:
        """Return the p-value of a difference of at least the margin: the greater of two one-sided tests (Schuirmann,
        1987)."""
        if self.error == 0:
            return 0.0 if abs(self.value) < margin else 1.0
        return tail((margin - abs(self.value)) / self.error, self.df)

    def half_width(self, level: float) -> float:
        """Return half the width of the interval at this level."""
        return 0.0 if self.error == 0 else t_quantile(0.5 + level / 2, self.df) * self.error


def difference(a: Arm, b: Arm) -> Difference | None:
    """Return the difference between two arms, None if either has fewer than two results."""
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    va, vb = statistics.variance(a.values), statistics.variance(b.values)
    sa, sb = va / n, vb / m
    parts = sa**2 / (n - 1) + sb**2 / (m - 1)
    return Difference(
        value=statistics.fmean(a.values) - statistics.fmean(b.values),
        run_variance=va + vb,
        seed_variance=sa + sb,
        selection=pair_selection_variance(a, b),
        df_seeds=(sa + sb) ** 2 / parts if parts else n + m - 2.0,
        df_pooled=n + m - 2.0,
    )


def pair_selection_variance(a: Arm, b: Arm) -> float:
    """Return the variance that selecting both winners adds; the noise of a run is pooled over both."""
    scored = [arm.scored for arm in (a, b)]
    df = sum(len(values) - 1 for values in scored)
    sd = math.sqrt(sum(statistics.variance(v) * (len(v) - 1) for v in scored) / df)
    return sum(
        selection_variance(arm.scores, arm.winner, statistics.fmean(arm.scored), len(arm.scored), sd)
        for arm in (a, b)
        if arm.winner is not None
    )


def arm_selection_variance(arm: Arm) -> float:
    """Return the variance that selecting one winner adds to its mean; 0 if nothing was selected."""
    if arm.winner is None or not arm.scored:
        return 0.0
    sd = statistics.stdev(arm.scored) if len(arm.scored) > 1 else 0.0
    return selection_variance(arm.scores, arm.winner, statistics.fmean(arm.scored), len(arm.scored), sd)


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
        df = 2.0 * (n - 1)
        if distance >= (t_quantile(share, df) + t_quantile(POWER, df)) * error:
            return n - now
    return None


def seed_counts(now: int) -> Sequence[int]:
    """Return the seed counts to try above `now`: one by one up to a hundred, then in steps of ten."""
    first = max(now + 1, 2)
    return [*range(first, 101), *range(max(first, 110), MOST_SEEDS + 1, 10)]
