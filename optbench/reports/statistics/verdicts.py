"""Verdicts: better, worse, tie or undecided, for every pair of contenders at once.

They compare procedures, an optimizer tuned at these points and rerun, not the two configurations that happened to win:
the standard error includes selection variance (`selection`). A tie requires that a difference beyond the margin is
ruled out. Both families of tests, of differences and of ties, are corrected by Holm.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from optbench.errors import ConfigError
from optbench.reports.model.content import Estimate, Pair
from optbench.reports.statistics.difference import Arm, Difference, difference, more_seeds
from optbench.reports.statistics.evidence import (
    BETTER,
    TIE,
    UNDECIDED,
    WORSE,
    Case,
    Settings,
    evidence,
    failure_lead,
    sentence,
)
from optbench.reports.statistics.improvement import probability_of_improvement
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.multiplicity import holm
from optbench.reports.statistics.scale import REAL, Scale

DEFAULT_MARGIN = "1%"
LEAST_SEEDS = 3  # of a verdict of equality
REAL_SCALE = Scale()


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


def verdicts(
    arms: Sequence[Arm],
    margin: Margin,
    *,
    level: float = 0.95,
    sign: float = 1.0,
    paired: bool = False,
    undertuned: Collection[str] = (),
    untrained: Collection[str] = (),
    scale: Scale = REAL_SCALE,
) -> list[Pair]:
    """Return the verdict on every pair of arms, in their order.

    `sign` is -1 if the arms' values are negated losses; differences are returned in the metric's own unit, whose values
    `scale` describes. `paired`: the design gives all contenders the same seeds. `undertuned`: names of contenders
    whose best value is on the edge of their box; they cannot be shown worse. `untrained`: names of contenders that are
    not shown to beat the trivial answer; they tie with no one."""
    pairs = list(itertools.combinations(arms, 2))
    found = [difference(a, b, paired=paired) for a, b in pairs]
    ps = [difference_p(a, b, d) for (a, b), d in zip(pairs, found, strict=True)]
    margins = [margin_between(a, b, margin) for a, b in pairs]
    ties = [
        tie_p(a, b, d, m) if not {a.name, b.name} & set(untrained) else None
        for (a, b), d, m in zip(pairs, found, margins, strict=True)
    ]
    settings = Settings(level, max(1, len(pairs)), sign, undertuned, untrained, scale)
    rows = zip(pairs, found, ps, holm(ps), holm(ties), margins, strict=True)
    return [pair(Case(a, b, *rest), settings) for (a, b), *rest in rows]


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


def tie_p(a: Arm, b: Arm, found: Difference | None, margin: float | None) -> float | None:
    """Return the p-value of a difference beyond the margin, None if a tie is impossible: fewer than three seeds on a
    side, or failed ones."""
    few = min(len(a.values), len(b.values)) < LEAST_SEEDS or a.failed or b.failed
    return None if few or found is None or margin is None else found.p_beyond(margin)


def pair(case: Case, settings: Settings) -> Pair:
    """Return one verdict with its evidence."""
    a, b, found = case.a, case.b, case.found
    alpha = 1 - settings.level
    verdict = decide(case.lead, case.adjusted, case.tie, alpha)
    loser = {BETTER: b.name, WORSE: a.name}.get(verdict, "")
    undertuned = loser if loser in settings.undertuned else ""
    neither = a.name in settings.untrained and b.name in settings.untrained
    if undertuned or neither:
        verdict = UNDECIDED
    more = None
    if verdict == UNDECIDED and found and not (case.failed or undertuned or neither):
        more = more_seeds(found, min(len(a.values), len(b.values)), alpha / settings.family, case.margin)
    return Pair(
        a=a.name,
        b=b.name,
        verdict=verdict,
        difference=estimate(case, settings),
        p=case.p,
        adjusted_p=case.adjusted,
        tie_p=case.tie,
        margin=case.margin,
        effect=hedges_g(a, b),
        improvement=probability_of_improvement(a.values, b.values, settings.level),
        more_seeds=more,
        remedy=found.remedy if found and verdict == UNDECIDED and more is None else "",
        sentence=sentence(case, verdict, undertuned),
        evidence=tuple(evidence(case, settings, verdict, more, undertuned)),
        undertuned=undertuned,
    )


def decide(ahead: float, adjusted: float | None, tie: float | None, alpha: float) -> str:
    """Return the verdict on a. Shown equivalence is a tie, even if a difference inside the margin is significant."""
    if tie is not None and tie <= alpha:
        return TIE
    if adjusted is not None and adjusted <= alpha and ahead:
        return BETTER if ahead > 0 else WORSE
    return UNDECIDED


def estimate(case: Case, settings: Settings) -> Estimate:
    """Return the difference of the means with its interval, in the metric's own unit and inside what it allows."""
    a, b, found, sign = case.a, case.b, case.found, settings.sign
    n = min(len(a.values), len(b.values))
    if found is None:
        value = statistics.fmean(a.values) - statistics.fmean(b.values) if n else None
        return Estimate(value if value is None else sign * value, n=n)
    level = 1 - (1 - settings.level) / settings.family
    half = found.half_width(level)
    value = sign * found.value
    low, high = possible_differences(a, b, settings, level)
    return Estimate(value, min(value, max(value - half, low)), max(value, min(value + half, high)), n)


def possible_differences(a: Arm, b: Arm, settings: Settings, level: float) -> tuple[float, float]:
    """Return the least and the greatest difference that the metric's values allow, given either mean's interval."""
    if settings.scale.kind == REAL:
        return -math.inf, math.inf
    least, most = settings.scale.bounds
    first, second = (mean_interval([settings.sign * v for v in arm.values], level, settings.scale) for arm in (a, b))
    assert first.low is not None and first.high is not None and second.low is not None and second.high is not None
    return max(least - second.high, first.low - most), min(most - second.low, first.high - least)


def hedges_g(a: Arm, b: Arm) -> float | None:
    """Return Hedges' g (1981): the difference in pooled standard deviations, corrected for few values; positive: a is
    better."""
    n, m = len(a.values), len(b.values)
    if min(n, m) < 2 or len(set(a.values)) == len(set(b.values)) == 1:
        return None
    df = n + m - 2
    pooled = ((n - 1) * a.variance + (m - 1) * b.variance) / df
    distance = (statistics.fmean(a.values) - statistics.fmean(b.values)) / math.sqrt(pooled)
    return distance * (1 - 3 / (4 * df - 1))
