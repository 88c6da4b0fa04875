"""The evidence for a verdict in sentences, and what it does not cover."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from optbench.reports.statistics.difference import POINTS, TUNING_SEEDS, Arm, Difference
from optbench.reports.statistics.scale import SHARE, Scale

BETTER, WORSE, TIE, UNDECIDED = "better", "worse", "tie", "undecided"
REMEDIES = {POINTS: "; search more points", TUNING_SEEDS: "; choose the winners by more tuning seeds", "": ""}


@dataclass(frozen=True)
class Settings:
    """The settings that all pairs of a comparison share."""

    level: float
    family: int
    """Number of pairs."""
    sign: float
    """-1 if the arms' values are negated losses."""
    undertuned: Collection[str]
    untrained: Collection[str]
    scale: Scale


@dataclass(frozen=True)
class Case:
    """A pair of arms with what was found about it."""

    a: Arm
    b: Arm
    found: Difference | None
    p: float | None
    """Of no difference; two-sided."""
    adjusted: float | None
    """The same, corrected for all pairs."""
    tie: float | None
    """Of a difference beyond the margin, corrected for all pairs."""
    margin: float | None

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """Both arms."""
        return self.a, self.b

    @property
    def failed(self) -> int:
        """Number of failed seeds on both sides."""
        return self.a.failed + self.b.failed

    @property
    def lead(self) -> float:
        """A positive number if a is ahead: by fewer failures first, then by its mean."""
        return failure_lead(self.a, self.b) or (self.found.value if self.found else 0.0)


def failure_lead(a: Arm, b: Arm) -> float:
    """Return a positive number if a smaller share of a's seeds failed than of b's."""
    shares = [arm.failed / max(1, arm.failed + len(arm.values)) for arm in (a, b)]
    return shares[1] - shares[0]


def sentence(case: Case, verdict: str, undertuned: str) -> str:
    """Return the verdict in words."""
    a, b, found = case.a, case.b, case.found
    if verdict == TIE:
        return f"{a.name} and {b.name} tie: they differ by less than {case.margin:.3g}"
    if verdict == UNDECIDED:
        return f"{a.name} and {b.name}: undecided" + (f" (undertuned: {undertuned})" if undertuned else "")
    better, other = (a, b) if verdict == BETTER else (b, a)
    by = f" by {abs(found.value):.3g}" if found and not case.failed else ""
    return f"{better.name} is better than {other.name}{by}"


def evidence(case: Case, settings: Settings, verdict: str, more: int | None, undertuned: str) -> list[str]:
    """Return what the verdict rests on and what limits it."""
    a, b, found = case.a, case.b, case.found
    lines = [f"{len(a.values)} seeds of {a.name}, {len(b.values)} of {b.name}"]
    lines += [f"{arm.failed} seeds of {arm.name} failed" for arm in case.arms if arm.failed]
    if found is None:
        return [*lines, "one side has fewer than two results, so seed noise is unknown"]
    final = [] if case.failed else finality(case, settings, undertuned)
    if verdict == UNDECIDED and not (case.failed or final):
        final = [
            f"about {more} more seeds each would decide, if the means and the noise stay as they are"
            if more
            else f"more final seeds alone would not decide{REMEDIES[found.remedy]}"
        ]
    return [*lines, *tests(case), *noise(found, settings.scale), *final, *uncovered(case.arms), *between(case.arms)]


def tests(case: Case) -> list[str]:
    """Return the p-values."""
    lines, pairs = [], case.found.pairs if case.found else 0
    if case.adjusted is not None:
        how = f"t test of {pairs} pairs by seed" if pairs else "Welch's t"
        lines.append(f"p = {case.adjusted:.2g} of no difference, corrected for all pairs ({how}, Holm)")
    if case.tie is not None and case.margin is not None:
        lines.append(f"p = {case.tie:.2g} of a difference of {case.margin:.3g} or more (two one-sided tests, Holm)")
    return lines


def noise(found: Difference, scale: Scale) -> list[str]:
    """Return where the uncertainty comes from."""
    lines = ["paired by seed"] if found.pairs else []
    seeds = max(found.seed_variance, found.floor)
    if scale.kind == SHARE and scale.samples:
        lines.append(f"test set of {scale.samples} samples: its noise is the least that a run can have")
    total = seeds + found.tuning
    if total > 0:
        points = f", {found.points / total:.0%} luck of the points (what was searched)" if found.points else ""
        lines.append(
            f"{found.selection / total:.0%} of the variance is selection variance (which trial tuning picked){points}, "
            "the rest seed noise"
        )
    return lines


def finality(case: Case, settings: Settings, undertuned: str) -> list[str]:
    """Return why more seeds would not help."""
    if undertuned:
        return [f"undecided (undertuned): the best value of {undertuned} is on the edge of its search box"]
    if case.a.name in settings.untrained and case.b.name in settings.untrained:
        return ["neither beats the trivial answer"]
    return []


def between(arms: Sequence[Arm]) -> list[str]:
    """Return what finer grids might find, where each contender was tuned in one number."""
    known = [f"{arm.between:.2g} to {arm.name}" for arm in arms if arm.between is not None]
    return [f"between the points tried, a parabola leaves {' and '.join(known)}"] if known else []


def uncovered(arms: Sequence[Arm]) -> tuple[str, ...]:
    """Return what the intervals of these contenders do not cover, in sentences."""
    tuned = [arm for arm in arms if arm.winner is not None]
    lines = []
    if any(len(set(arm.groups)) < 2 for arm in tuned):
        lines.append("not covered: other points of the search boxes")
    if any(not arm.floor for arm in arms):
        lines.append("not covered: another test set")
    return tuple(lines)
