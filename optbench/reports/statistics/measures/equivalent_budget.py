"""Reference-equivalent budget: how much data the reference needs for the result that a contender has at its budget.

The reference's means over final seeds at the budgets of its ladder, each from a complete schedule, are made monotone by
weighted isotonic regression (weights: numbers of seeds) and joined by straight lines over log(budget); metrics over
decades are compared by their logarithms. The equivalent budget e(b) of a contender is the smallest budget at which
this curve reaches the contender's mean at budget b; the ratio is e(b) / b: 2 means that the reference needs twice as
much data. Nothing is extrapolated. A contender better than the whole curve has a lower bound only, one worse than all
of it an upper bound, and an end of an interval that lies beyond the ladder is open (0 or infinity).

The idea is the effective-data speed-up of marin's optimizer benchmark (Wen et al. 2025, arXiv:2509.02046). They fit a
power law L(D) = alpha D^-B + beta to the reference's losses and invert it, also beyond the data. Here no law is
assumed, any metric will do, and there are intervals.

Intervals are quantiles of joint draws, in which the means of contender and reference move by the noise of their seeds
and by selection variance, with the isotonic fit made anew. They have Student's t tails with Satterthwaite's degrees of
freedom of the difference between contender and curve. A draw's equivalent budget is below e exactly if its curve at e
is above its contender, so that these quantiles are Fieller's interval (1954). Contender and reference are drawn
independently even if they have common seeds: runs of different lengths share a start, but not a schedule, and a
correlation would only make the intervals wider than they need be. A ladder whose greatest budget is not shown to be
better than its least one has no curve to invert. The slow tests measure coverage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optbench.reports.model.rows import Estimate
from optbench.reports.statistics.difference import Arm, difference, satterthwaite
from optbench.reports.statistics.measures.scores import DRAWS, Board, Part, mean_of, scored_arms, variance_parts
from optbench.reports.statistics.trained import pooled_sd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

AT_LEAST, AT_MOST = "at least", "at most"
Arms = Mapping[float, Arm]
"""A contender by budget."""


@dataclass(frozen=True)
class Rung:
    """A contender at one budget, on the scale on which it is compared; larger is better."""

    budget: float
    arm: Arm
    parts: tuple[Part, ...] | None
    """Variances of the mean with their degrees of freedom; None if nothing tells the noise of a run."""

    @property
    def mean(self) -> float:
        """The mean over final seeds."""
        return mean_of(self.arm)

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return sum(variance for variance, _ in self.parts or ())


@dataclass(frozen=True)
class Equivalent:
    """The equivalent budget over the contender's own."""

    ratio: Estimate
    """Ends beyond the ladder are 0 and infinity; None without an interval."""
    bound: str = ""
    """`at least` or `at most` if the value is a bound only: the end of the reference's ladder."""


def ladders(arms: Mapping[str, Arms], decades: bool = False) -> dict[str, list[Rung]]:
    """Return contenders as they are compared, by budget; those without final runs at a budget are left out there.

    Failed seeds count as the trivial answer, without one as the worst value of all (scores.py). A single run has the
    noise of the others at its budget."""
    kept = [(name, b, arm) for name, own in arms.items() for b, arm in sorted(own.items()) if arm.values or arm.failed]
    named = [replace(arm, name=f"{budget} {name}") for name, budget, arm in kept]
    scored, _ = scored_arms(Board(tuple(named), decades), [arm.name for arm in named])
    noise = {b: pooled_sd(arm for arm, (_, own, _) in zip(scored, kept, strict=True) if own == b) for _, b, _ in kept}
    found: dict[str, list[Rung]] = {name: [] for name in arms}
    for (name, budget, _), arm in zip(kept, scored, strict=True):
        found[name].append(Rung(budget, arm, variance_parts(arm, noise[budget])))
    return found


def without_curve(reference: Sequence[Rung], level: float) -> str:
    """Return the reason why a reference's ladder cannot be inverted; empty if it can."""
    if len(reference) < 2:
        return "it has a single budget"
    found = difference(reference[-1].arm, reference[0].arm)
    if found is None:
        return "it has fewer than two seeds at an end of its ladder"
    if found.value <= 0 or found.p_no_difference() > 1 - level:
        ends = f"{reference[-1].budget:g} of the budget is not shown to be better than {reference[0].budget:g}"
        return f"its ladder is flat within noise: {ends}"
    return ""


def equivalent(own: Rung, reference: Sequence[Rung], level: float) -> Equivalent:
    """Return the equivalent budget of a contender at one budget. `reference`: two budgets or more, ascending."""
    import numpy as np

    x = np.log([rung.budget for rung in reference])
    means, seeds = np.array([rung.mean for rung in reference]), np.array([len(rung.arm.values) for rung in reference])
    place = float(inverse(x, isotonic(means[None], seeds), np.array([own.mean]))[0])
    bound = AT_LEAST if place == math.inf else AT_MOST if place == -math.inf else ""
    value = math.exp(min(max(place, float(x[0])), float(x[-1]))) / own.budget
    if own.parts is None or any(rung.parts is None for rung in reference):
        return Equivalent(Estimate(value, n=len(own.arm.values)), bound)
    random, df = np.random.default_rng(0), freedom(own, reference, place)
    tails = np.sqrt(df / random.chisquare(df, DRAWS)) if math.isfinite(df) else np.ones(DRAWS)
    noise = random.standard_normal((DRAWS, 1 + len(means))) * tails[:, None]
    errors = np.sqrt([rung.variance for rung in reference])
    drawn = inverse(x, isotonic(means + noise[:, 1:] * errors, seeds), own.mean + noise[:, 0] * math.sqrt(own.variance))
    low, high = (float(np.exp(end)) / own.budget for end in outer_quantiles(drawn, level))
    n = min(len(own.arm.values), int(seeds.min()))
    return Equivalent(Estimate(value, min(low, value), max(high, value), n), bound)


def freedom(own: Rung, reference: Sequence[Rung], place: float) -> float:
    """Return Satterthwaite's degrees of freedom of the contender's mean less the curve at log(budget) `place`."""
    parts = list(own.parts or ())
    x = [math.log(rung.budget) for rung in reference]
    place = min(max(place, x[0]), x[-1])
    after = next(index for index in range(1, len(x)) if place <= x[index])
    share = (place - x[after - 1]) / (x[after] - x[after - 1])
    for rung, weight in ((reference[after - 1], 1 - share), (reference[after], share)):
        parts += [(weight**2 * variance, df) for variance, df in rung.parts or ()]
    return satterthwaite(*parts)


def isotonic(means: Numbers, weights: Numbers) -> Numbers:
    """Return the nearest rows (draws, budgets) that never fall, by weighted least squares: the greatest over all starts
    of the least over all ends of the weighted mean between them (Barlow et al., 1972)."""
    import numpy as np

    sums, total = np.cumsum(means * weights, axis=1), np.cumsum(weights)
    count = means.shape[1]

    def mean(first: int, last: int) -> Numbers:
        before, weight = (sums[:, first - 1], total[first - 1]) if first else (0.0, 0.0)
        return (sums[:, last] - before) / (total[last] - weight)

    def at(place: int) -> Numbers:
        least = [np.min([mean(first, last) for last in range(place, count)], axis=0) for first in range(place + 1)]
        return np.max(least, axis=0)

    return np.stack([at(place) for place in range(count)], axis=1)


def inverse(x: Numbers, curves: Numbers, values: Numbers) -> Numbers:
    """Return the smallest x (draws,) at which each curve (draws, budgets) reaches its value: minus infinity if it is
    above it from the start, infinity if it never gets there."""
    import numpy as np

    rows = np.arange(len(values))
    after = np.clip((curves < values[:, None]).sum(axis=1), 1, len(x) - 1)
    low, high = curves[rows, after - 1], curves[rows, after]
    width = np.where(high > low, high - low, 1.0)
    found = x[after - 1] + (values - low) / width * (x[after] - x[after - 1])
    found = np.where(values == curves[:, 0], x[0], found)
    return np.where(values < curves[:, 0], -np.inf, np.where(values > curves[:, -1], np.inf, found))


def outer_quantiles(drawn: Numbers, level: float) -> tuple[float, float]:
    """Return the two quantiles of draws of which some may be infinite, each a draw."""
    import numpy as np

    low = np.quantile(drawn, (1 - level) / 2, method="lower")
    return float(low), float(np.quantile(drawn, (1 + level) / 2, method="higher"))


def summary(found: Mapping[float, Equivalent]) -> float | None:
    """Return the budget that stands for a contender: the largest whose ratio is not a bound, else the largest."""
    known = [budget for budget, one in found.items() if not one.bound]
    return max(known or found, default=None)


def geometric_mean(found: Iterable[Equivalent]) -> Equivalent | None:
    """Return the geometric mean over workloads; a bound makes it one, and bounds of both kinds make it None.

    The interval is by variance estimates recovery on the log scale (Zou and Donner, 2008)."""
    every = list(found)
    bounds = {one.bound for one in every} - {""}
    if not every or len(bounds) > 1:
        return None
    values = [math.log(one.ratio.value or math.nan) for one in every]
    ends = [[log(end) for end in (one.ratio.low, one.ratio.high)] for one in every]
    mean, n = math.fsum(values) / len(values), len(values)
    if any(end is None for pair in ends for end in pair):
        return Equivalent(Estimate(math.exp(mean), n=n), *bounds)
    low, high = (
        math.hypot(*((pair[which] or 0.0) - value for pair, value in zip(ends, values, strict=True))) / n
        for which in (0, 1)
    )
    high = math.exp(mean + high) if math.isfinite(high) else math.inf
    return Equivalent(Estimate(math.exp(mean), math.exp(mean - low), high, n), *bounds)


def log(value: float | None) -> float | None:
    """Return the logarithm, also of 0 and infinity; None of None."""
    return value if value is None else -math.inf if value == 0 else math.log(value)
