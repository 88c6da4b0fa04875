"""Verdicts: better, worse, tie or undecided, for every pair of contenders at once.

They compare procedures, an optimizer tuned at these points and rerun, not the two configurations that happened to win:
the standard error includes selection variance (`selection`). A tie requires that a difference beyond the margin is
ruled out. Both families of tests, of differences and of ties, are corrected by Holm.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from optbench.errors import ConfigError
from optbench.reports.model.content import Estimate, Pair
from optbench.reports.statistics.difference import Arm, Difference, difference, more_seeds
from optbench.reports.statistics.improvement import probability_of_improvement
from optbench.reports.statistics.multiplicity import holm

BETTER, WORSE, TIE, UNDECIDED = "better", "worse", "tie", "undecided"
DEFAULT_MARGIN = "1%"


@dataclass(frozen=True)
class Margin:
    """The difference below which contenders count as equal."""

    amount: float
    relative: bool
    """True if it is a share of the better mean's size."""

    def of(self, *means: float) -> float:
        """Return the margin in the metric's unit, for these means (larger is better)."""
        return self.amount * abs(max(means)) if self.relative else self.amount


def parse_margin(text: str) -> Margin:
    """Parse `1%` of the better mean, or a number in the metric's unit. Raises ConfigError."""
    number = text.strip().removesuffix("%")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount >= 0):
        raise ConfigError(f"--margin {text}: expected a share such as 1% or a number such as 0.005")
    relative = text.strip().endswith("%")
    return Margin(amount / 100 if relative else amount, relative)


def verdicts(arms: Sequence[Arm], margin: Margin, *, level: float = 0.95, sign: float = 1.0) -> list[Pair]:
    """Return the verdict on every pair of arms, in their order.

    `sign` is -1 if the arms' values are negated losses; differences are returned in the metric's own unit."""
    pairs = list(itertools.combinations(arms, 2))
    found = [difference(a, b) for a, b in pairs]
    ps = [difference_p(a, b, d) for (a, b), d in zip(pairs, found, strict=True)]
    margins = [margin_between(a, b, margin) for a, b in pairs]
    ties = [tie_p(a, b, d, m) for (a, b), d, m in zip(pairs, found, margins, strict=True)]
    rows = zip(pairs, found, ps, holm(ps), holm(ties), margins, strict=True)
    family = max(1, len(pairs))
    return [pair(*row, level=level, family=family, sign=sign) for row in rows]


def margin_between(a: Arm, b: Arm, margin: Margin) -> float | None:
    """Return the margin in the metric's unit, None if a side has no results."""
    return margin.of(statistics.fmean(a.values), statistics.fmean(b.values)) if a.values and b.values else None


def difference_p(a: Arm, b: Arm, found: Difference | None) -> float | None:
    """Return the two-sided p-value of no difference, None if there is nothing to test.

    If seeds failed, the results of the others and the numbers of failures (Fisher's exact test) are tested separately,
    and the smaller p-value is doubled. Results that contradict the failures do not count."""
    own = found.p_no_difference() if found else None
    if a.failed == b.failed == 0:
        return own
    from scipy.stats import fisher_exact

    table = [[len(a.values), a.failed], [len(b.values), b.failed]]
    _, of_failures = cast("tuple[float, float]", fisher_exact(table))  # scipy has no types for it
    if own is None or found is None or found.value * failure_lead(a, b) < 0:
        own = 1.0
    return min(1.0, 2 * min(own, float(of_failures)))


def failure_lead(a: Arm, b: Arm) -> float:
    """Return a positive number if a smaller share of a's seeds failed than of b's."""
    shares = [arm.failed / max(1, arm.failed + len(arm.values)) for arm in (a, b)]
    return shares[1] - shares[0]


def tie_p(a: Arm, b: Arm, found: Difference | None, margin: float | None) -> float | None:
    """Return the p-value of a difference beyond the margin, None if a tie is impossible: no results, or failed
    seeds."""
    return found.p_beyond(margin) if found and margin is not None and a.failed == b.failed == 0 else None


def pair(
    arms: tuple[Arm, Arm],
    found: Difference | None,
    p: float | None,
    adjusted: float | None,
    tie: float | None,
    margin: float | None,
    *,
    level: float,
    family: int,
    sign: float,
) -> Pair:
    """Return one verdict with its evidence."""
    a, b = arms
    alpha = 1 - level
    verdict = decide(lead(a, b, found), adjusted, tie, alpha)
    more = None
    if verdict == UNDECIDED and found and a.failed == b.failed == 0:
        more = more_seeds(found, min(len(a.values), len(b.values)), alpha / family, margin)
    return Pair(
        a=a.name,
        b=b.name,
        verdict=verdict,
        difference=estimate(a, b, found, 1 - alpha / family, sign),
        p=p,
        adjusted_p=adjusted,
        tie_p=tie,
        margin=margin,
        effect=hedges_g(a, b),
        improvement=probability_of_improvement(a.values, b.values, level),
        more_seeds=more,
        sentence=sentence(a, b, verdict, found, margin),
        evidence=tuple(evidence(a, b, found, adjusted, tie, margin, more, verdict)),
    )


def lead(a: Arm, b: Arm, found: Difference | None) -> float:
    """Return a positive number if a is ahead: by fewer failures first, then by its mean."""
    return failure_lead(a, b) or (found.value if found else 0.0)


def decide(ahead: float, adjusted: float | None, tie: float | None, alpha: float) -> str:
    """Return the verdict on a. Shown equivalence is a tie, even if a difference inside the margin is significant."""
    if tie is not None and tie <= alpha:
        return TIE
    if adjusted is not None and adjusted <= alpha and ahead:
        return BETTER if ahead > 0 else WORSE
    return UNDECIDED


def estimate(a: Arm, b: Arm, found: Difference | None, level: float, sign: float) -> Estimate:
    """Return the difference of the means with its interval, in the metric's own unit."""
    n = min(len(a.values), len(b.values))
    if found is None:
        value = statistics.fmean(a.values) - statistics.fmean(b.values) if n else None
        return Estimate(value if value is None else sign * value, n=n)
    half = found.half_width(level)
    return Estimate(sign * found.value, sign * found.value - half, sign * found.value + half, n)


def hedges_g(a: Arm, b: Arm) -> float | None:
    """Return Hedges' g (1981): the difference in pooled standard deviations, corrected for few values; positive: a is
    better."""
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    df = n + m - 2
    pooled = ((n - 1) * statistics.variance(a.values) + (m - 1) * statistics.variance(b.values)) / df
    if pooled == 0:
        return None
    distance = (statistics.fmean(a.values) - statistics.fmean(b.values)) / math.sqrt(pooled)
    return distance * (1 - 3 / (4 * df - 1))


def sentence(a: Arm, b: Arm, verdict: str, found: Difference | None, margin: float | None) -> str:
    """Return the verdict in words."""
    if verdict == TIE:
        return f"{a.name} and {b.name} tie: they differ by less than {margin:.3g}"
    if verdict == UNDECIDED:
        return f"{a.name} and {b.name}: undecided"
    better, other = (a, b) if verdict == BETTER else (b, a)
    by = f" by {abs(found.value):.3g}" if found and not (a.failed or b.failed) else ""
    return f"{better.name} is better than {other.name}{by}"


def evidence(
    a: Arm,
    b: Arm,
    found: Difference | None,
    adjusted: float | None,
    tie: float | None,
    margin: float | None,
    more: int | None,
    verdict: str,
) -> list[str]:
    """Return what the verdict rests on and what limits it."""
    lines = [f"{len(a.values)} seeds of {a.name}, {len(b.values)} of {b.name}"]
    lines += [f"{arm.failed} seeds of {arm.name} failed" for arm in (a, b) if arm.failed]
    if found is None:
        return [*lines, "one side has fewer than two results, so seed noise is unknown"]
    if adjusted is not None:
        lines.append(f"p = {adjusted:.2g} of no difference, corrected for all pairs (Welch's t, Holm)")
    if tie is not None and margin is not None:
        lines.append(f"p = {tie:.2g} of a difference of {margin:.3g} or more (two one-sided tests, Holm)")
    if found.seed_variance + found.selection > 0:
        share = found.selection / (found.seed_variance + found.selection)
        lines.append(
            f"{share:.0%} of the variance is selection variance (which trial tuning picked), the rest seed noise"
        )
    if verdict == UNDECIDED and not (a.failed or b.failed):
        lines.append(
            f"about {more} more seeds each would decide, if the means and the noise stay as they are"
            if more
            else "more final seeds alone would not decide; tune with more seeds or trials"
        )
    return lines
