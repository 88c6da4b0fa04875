"""The difference between two contenders, its standard error and the tests of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.statistics.intervals import t_quantile
from optbench.reports.statistics.selection import FREEDOM, selection_variance

POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Arm:
    """A tuned contender: its final runs, and how it was tuned. Larger is better everywhere."""

    name: str
    values: tuple[float, ...]
    """The headline of each final seed that succeeded."""
    failed: int = 0
    """Final seeds without a result."""
    scores: tuple[float | None, ...] = ()
    """What tuning saw of each trial; None where it failed."""
    winner: int | None = None
    """Which trial was rerun."""
    final_scores: tuple[float, ...] = ()
    """What tuning would have seen of the final seeds; empty: the headline itself."""

    @property
    def scored(self) -> tuple[float, ...]:
        """The final runs in the unit of the tuning scores."""
        return self.final_scores or self.values


@dataclass(frozen=True)
class Difference:
    """Mean of a minus mean of b."""

    value: float
    variance_seeds: float
    """Of one run of a plus one of b, so that n seeds each divide it by n."""
    seeds_error: float
    """Squared standard error that the final seeds leave."""
    selection: float
    """Variance that the selection of the winners adds."""
    freedom_seeds: float
    freedom_pooled: float

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.seeds_error + self.selection)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom; infinite where nothing varies."""
        parts = self.seeds_error**2 / self.freedom_seeds + self.selection**2 / min(FREEDOM, self.freedom_pooled)
        return (self.seeds_error + self.selection) ** 2 / parts if parts else math.inf

    def p_none(self) -> float:
        """Two-sided, of no difference: Welch's t with the variance of the selection."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return min(1.0, 2 * tail(abs(self.value) / self.error, self.freedom))

    def p_beyond(self, margin: float) -> float:
        """Of a difference of at least the margin either way: the greater of two one-sided tests (Schuirmann, 1987)."""
        if self.error == 0:
            return 0.0 if abs(self.value) < margin else 1.0
        return tail((margin - abs(self.value)) / self.error, self.freedom)

    def half_width(self, level: float) -> float:
        """Half the interval at this level."""
        return 0.0 if self.error == 0 else t_quantile(0.5 + level / 2, self.freedom) * self.error


def difference(a: Arm, b: Arm) -> Difference | None:
    """The difference between two arms, or None where either has fewer than two results."""
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    va, vb = statistics.variance(a.values), statistics.variance(b.values)
    sa, sb = va / n, vb / m
    parts = sa**2 / (n - 1) + sb**2 / (m - 1)
    return Difference(
        value=statistics.fmean(a.values) - statistics.fmean(b.values),
        variance_seeds=va + vb,
        seeds_error=sa + sb,
        selection=selection_of(a, b),
        freedom_seeds=(sa + sb) ** 2 / parts if parts else n + m - 2.0,
        freedom_pooled=n + m - 2.0,
    )


def selection_of(a: Arm, b: Arm) -> float:
    """Variance that the selection of both winners adds; the noise of a run is pooled over both."""
    scored = [arm.scored for arm in (a, b)]
    freedom = sum(len(values) - 1 for values in scored)
    sd = math.sqrt(sum(statistics.variance(v) * (len(v) - 1) for v in scored) / freedom)
    return sum(
        selection_variance(arm.scores, arm.winner, statistics.fmean(arm.scored), len(arm.scored), sd)
        for arm in (a, b)
        if arm.winner is not None
    )


def luck_of(arm: Arm) -> float:
    """Variance that the selection of one winner adds to its mean; 0 where nothing was selected."""
    if arm.winner is None or not arm.scored:
        return 0.0
    sd = statistics.stdev(arm.scored) if len(arm.scored) > 1 else 0.0
    return selection_variance(arm.scores, arm.winner, statistics.fmean(arm.scored), len(arm.scored), sd)


def tail(t: float, freedom: float) -> float:
    """Share of Student's t above t."""
    from scipy.special import stdtr

    return float(stdtr(freedom, -t)) if math.isfinite(freedom) else statistics.NormalDist().cdf(-t)


def more_seeds(found: Difference, now: int, alpha: float, margin: float | None) -> int | None:
    """Seeds for each arm, beside `now`, that would decide with a power of 80 %, if the difference and the noise are as
    they look: for a difference where it is beyond the margin, else for equivalence. None where no number up to 1,000
    would, as the selection alone leaves too much open."""
    size = abs(found.value)
    equivalence = margin is not None and size < margin
    distance, share = (margin - size, 1 - alpha) if equivalence and margin is not None else (size, 1 - alpha / 2)
    for n in seed_counts(now):
        error = math.sqrt(found.variance_seeds / n + found.selection)
        freedom = 2.0 * (n - 1)
        if distance >= (t_quantile(share, freedom) + t_quantile(POWER, freedom)) * error:
            return n - now
    return None


def seed_counts(now: int) -> Sequence[int]:
    """More seeds than now, one by one up to a hundred, then in steps of ten."""
    first = max(now + 1, 2)
    return [*range(first, 101), *range(max(first, 110), MOST_SEEDS + 1, 10)]
