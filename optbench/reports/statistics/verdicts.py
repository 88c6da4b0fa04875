"""Verdicts: better, worse, tie or undecided, for every pair of contenders at once.

The question is about the procedure, an optimizer tuned at these points and rerun, not about the two configurations that
happened to win: the standard error counts the selection of the winners (`selection`). A tie is said only where a
difference beyond the margin is ruled out. Both families of tests, of differences and of ties, are corrected by Holm.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.errors import ConfigError
from optbench.reports.model.content import Estimate, Pair
from optbench.reports.statistics.difference import Arm, Difference, difference, more_seeds
from optbench.reports.statistics.improvement import probability_of_improvement
from optbench.reports.statistics.multiplicity import holm

BETTER, WORSE, TIE, UNDECIDED = "better", "worse", "tie", "undecided"
DEFAULT_MARGIN = "1%"


@dataclass(frozen=True)
class Margin:
    """Differences smaller than this do not matter."""

    amount: float
    relative: bool
    """Whether it is a share of the better mean's size."""

    def of(self, *means: float) -> float:
        """In the metric's unit, for these means (larger is better)."""
        return self.amount * abs(max(means)) if self.relative else self.amount


def parse_margin(text: str) -> Margin:
    """`1%` of the better mean, or a number in the metric's unit. Raises ConfigError."""
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
    """Every pair of the arms, in their order. `sign` is -1 where the arms' values are negated losses: differences are
    given back in the metric's own unit."""
    pairs = list(itertools.combinations(arms, 2))
    found = [difference(a, b) for a, b in pairs]
    ps = [p_of(a, b, d) for (a, b), d in zip(pairs, found, strict=True)]
    margins = [margin_of(a, b, margin) for a, b in pairs]
    ties = [tie_of(a, b, d, m) for (a, b), d, m in zip(pairs, found, margins, strict=True)]
    rows = zip(pairs, found, ps, holm(ps), holm(ties), margins, strict=True)
    family = max(1, len(pairs))
    return [pair(*row, level=level, family=family, sign=sign) for row in rows]


def margin_of(a: Arm, b: Arm, margin: Margin) -> float | None:
    """The margin in the metric's unit, or None without results on either side."""
    return margin.of(statistics.fmean(a.values), statistics.fmean(b.values)) if a.values and b.values else None


def p_of(a: Arm, b: Arm, found: Difference | None) -> float | None:
    """Two-sided p-value of no difference; None where there is nothing to test.

    Where seeds have failed, the results of the others and the numbers of failures (Fisher's exact test) are asked
    separately, at twice the price; results that speak against the failures do not count."""
    own = found.p_none() if found else None
    if a.failed == b.failed == 0:
        return own
    from scipy.stats import fisher_exact

    of_failures = float(fisher_exact([[len(a.values), a.failed], [len(b.values), b.failed]]).pvalue)
    if own is None or found is None or found.value * failure_lead(a, b) < 0:
        own = 1.0
    return min(1.0, 2 * min(own, of_failures))


def failure_lead(a: Arm, b: Arm) -> float:
    """Positive where a smaller share of a's seeds has failed than of b's."""
    shares = [arm.failed / max(1, arm.failed + len(arm.values)) for arm in (a, b)]
    return shares[1] - shares[0]


def tie_of(a: Arm, b: Arm, found: Difference | None, margin: float | None) -> float | None:
    """p-value of a difference beyond the margin; None where a tie is not to be had: no results, or failed seeds."""
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
    """One verdict with its evidence."""
    a, b = arms
    alpha = 1 - level
    word = decide(lead(a, b, found), adjusted, tie, alpha)
    more = None
    if word == UNDECIDED and found and a.failed == b.failed == 0:
        more = more_seeds(found, min(len(a.values), len(b.values)), alpha / family, margin)
    return Pair(
        a=a.name,
        b=b.name,
        verdict=word,
        difference=estimate(a, b, found, 1 - alpha / family, sign),
        p=p,
        adjusted_p=adjusted,
        tie_p=tie,
        margin=margin,
        effect=hedges(a, b),
        improvement=probability_of_improvement(a.values, b.values, level),
        more_seeds=more,
        sentence=sentence(a, b, word, found, margin),
        evidence=tuple(evidence(a, b, found, adjusted, tie, margin, more, word)),
    )


def lead(a: Arm, b: Arm, found: Difference | None) -> float:
    """Positive where a is ahead: by fewer failures first, then by its mean."""
    return failure_lead(a, b) or (found.value if found else 0.0)


def decide(ahead: float, adjusted: float | None, tie: float | None, alpha: float) -> str:
    """The verdict of a. What is shown to be equivalent is a tie, even where a difference inside the margin is sure."""
    if tie is not None and tie <= alpha:
        return TIE
    if adjusted is not None and adjusted <= alpha and ahead:
        return BETTER if ahead > 0 else WORSE
    return UNDECIDED


def estimate(a: Arm, b: Arm, found: Difference | None, level: float, sign: float) -> Estimate:
    """The difference of the means with its interval, in the metric's own unit."""
    n = min(len(a.values), len(b.values))
    if found is None:
        value = statistics.fmean(a.values) - statistics.fmean(b.values) if n else None
        return Estimate(value if value is None else sign * value, n=n)
    half = found.half_width(level)
    return Estimate(sign * found.value, sign * found.value - half, sign * found.value + half, n)


def hedges(a: Arm, b: Arm) -> float | None:
    """Hedges' g (1981), the difference in pooled standard deviations, for few values; positive: a is better."""
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2:
        return None
    freedom = n + m - 2
    pooled = ((n - 1) * statistics.variance(a.values) + (m - 1) * statistics.variance(b.values)) / freedom
    if pooled == 0:
        return None
    distance = (statistics.fmean(a.values) - statistics.fmean(b.values)) / math.sqrt(pooled)
    return distance * (1 - 3 / (4 * freedom - 1))


def sentence(a: Arm, b: Arm, word: str, found: Difference | None, margin: float | None) -> str:
    """The verdict in words."""
    if word == TIE:
        return f"{a.name} and {b.name} tie: they differ by less than {margin:.3g}"
    if word == UNDECIDED:
        return f"{a.name} and {b.name}: undecided"
    better, other = (a, b) if word == BETTER else (b, a)
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
    word: str,
) -> list[str]:
    """What the verdict rests on and what limits it."""
    lines = [f"{len(a.values)} seeds of {a.name}, {len(b.values)} of {b.name}"]
    lines += [f"{arm.failed} seeds of {arm.name} failed" for arm in (a, b) if arm.failed]
    if found is None:
        return [*lines, "fewer than two results of either: no seed noise to compare with"]
    if adjusted is not None:
        lines.append(f"p = {adjusted:.2g} of no difference, corrected for all pairs (Welch's t, Holm)")
    if tie is not None and margin is not None:
        lines.append(f"p = {tie:.2g} of a difference of {margin:.3g} or more (two one-sided tests, Holm)")
    if found.seeds_error + found.selection > 0:
        share = found.selection / (found.seeds_error + found.selection)
        lines.append(f"{share:.0%} of the uncertainty is luck in tuning, the rest noise of the final seeds")
    if word == UNDECIDED and not (a.failed or b.failed):
        lines.append(
            f"about {more} more seeds for each would decide, if things are as they look"
            if more
            else "more final seeds alone would not decide: tune with more seeds or trials"
        )
    return lines
