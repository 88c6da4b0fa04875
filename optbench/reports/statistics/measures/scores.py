"""Scores over workloads, between 0 (the trivial answer, or worse) and 1 (the best contender's mean).

A workload's score is the contender's mean on this scale; over workloads their mean counts, from eight workloads on the
interquartile mean (Agarwal et al. 2021, arXiv 2108.13264), which would cut off another workload for each contender if
there were few. Means of metrics over decades are of logarithms. A failed seed counts as the trivial answer. Where the
trivial answer is unknown, 0 is the worst contender's mean.

Intervals are quantiles of joint draws: in each one the means of all contenders move by the noise of their seeds and of
their selection, and the scores are made anew, so that none leaves [0, 1] and the noise of the best contender's mean is
in all of them. A contender's draws have Student's t tails with Satterthwaite's degrees of freedom over its workloads (t
of each workload's few seeds covers 99 to 100 % instead of 95). The greatest of several noisy means is too great, and
greater still in a draw: quantiles are moved by twice the distance between the draws' median and the score. Contenders
are drawn independently: common seeds would make them more alike. The slow tests measure coverage.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optbench.reports.model.content import Estimate, LeaveOneOut
from optbench.reports.statistics.difference import Arm, arm_selection_variance, satterthwaite
from optbench.reports.statistics.selection import SELECTION_DF
from optbench.reports.statistics.trained import noise_of, pooled_sd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DRAWS = 4000
MANY = 8  # workloads from which the interquartile mean is taken


@dataclass(frozen=True)
class Board:
    """The contenders on one workload."""

    arms: tuple[Arm, ...]
    decades: bool = False
    """True if the metric is positive and compared by ratio."""
    untrained: frozenset[str] = frozenset()
    """Names of those that are not shown to beat the trivial answer; they score 0."""


@dataclass(frozen=True)
class Standing:
    """A contender's scores."""

    score: Estimate
    """Over all workloads."""
    by_workload: Mapping[str, float]
    first: float | None = None
    """P(best): the share of draws in which its score is the greatest."""

    @property
    def weakest(self) -> tuple[str, float]:
        """The workload of the least score, and that score."""
        return min(self.by_workload.items(), key=lambda item: item[1])


@dataclass(frozen=True)
class Scores:
    """The scores of all contenders."""

    names: tuple[str, ...]
    points: Mapping[str, Sequence[float]]
    """The scores on each workload, in the order of the names."""
    draws: Numbers | None
    """(DRAWS, contenders) over all workloads; None if the noise of a workload is unknown."""
    centers: Sequence[float] = ()
    """The scores over all workloads that the draws are about, where no contender scores 0 for not being trained."""
    single: frozenset[str] = frozenset()
    """Contenders with fewer than two runs on a workload: they have no interval."""

    def of(self, name: str, level: float) -> Standing:
        """Return the standing of one contender."""
        place = self.names.index(name)
        by_workload = {workload: scores[place] for workload, scores in self.points.items()}
        score = Estimate(over_workloads(list(by_workload.values())), n=len(by_workload))
        if self.draws is None or name in self.single:
            return Standing(score, by_workload)
        first = None if self.single else float((self.draws.argmax(axis=1) == place).mean())
        found = with_quantiles(score, self.draws[:, place], self.centers[place], (0.0, 1.0), level)
        return Standing(found, by_workload, first)

    def leave_one_out(self) -> list[LeaveOneOut]:
        """Return the order by score without each workload in turn; ties by name. Empty for fewer than two workloads."""
        found = []
        for without in self.points if len(self.points) > 1 else ():
            rest = [own for workload, own in self.points.items() if workload != without]
            means = [over_workloads(one) or 0.0 for one in zip(*rest, strict=True)]
            order = sorted(zip(self.names, means, strict=True), key=lambda one: (-one[1], one[0]))
            found.append(LeaveOneOut(without, tuple(n for n, _ in order), tuple(m for _, m in order)))
        return found

    def difference(self, a: str, b: str | float, level: float) -> Estimate:
        """Return the score of one contender minus that of another, or minus a number."""
        one, other = self.of(a, level), self.of(b, level) if isinstance(b, str) else None
        assert one.score.value is not None
        known = other.score.value if other else b
        assert isinstance(known, float)
        score = Estimate(one.score.value - known, n=one.score.n)
        if self.draws is None or {a, b} & self.single:
            return score
        mine = self.names.index(a)
        theirs = self.names.index(b) if isinstance(b, str) else None
        draws = self.draws[:, mine] - (known if theirs is None else self.draws[:, theirs])
        center = self.centers[mine] - (known if theirs is None else self.centers[theirs])
        return with_quantiles(score, draws, center, (-known, 1 - known) if theirs is None else (-1.0, 1.0), level)


def scores(boards: Mapping[str, Board], seed: int = 0) -> Scores:
    """Return the scores of the contenders that are on every workload.

    Leaves out a workload on which nobody beats the trivial answer, or all means are equal."""
    import numpy as np

    names = on_every_workload(boards)
    if not names:
        return Scores((), {}, None)
    used: dict[str, tuple[list[Arm], float | None]] = {}
    points, natural = {}, []
    for workload, board in sorted(boards.items()):
        arms, zero = scored_arms(board, names)
        free = scaled(np.array([[mean_of(arm) for arm in arms]]), zero)[0].tolist()
        found = [0.0 if name in board.untrained else one for name, one in zip(names, free, strict=True)]
        if any(found):
            used[workload], points[workload] = (arms, zero), found
            natural.append(free)
    single = frozenset(arm.name for arms, _ in used.values() for arm in arms if len(arm.values) < 2)
    draws = draws_of(list(used.values()), np.random.default_rng(seed)) if used else None
    centers = [over_workloads(one) or 0.0 for one in zip(*natural, strict=True)]
    return Scores(tuple(names), points, draws, centers, single)


def on_every_workload(boards: Mapping[str, Board]) -> list[str]:
    """Return the contenders with runs on every workload, by name."""
    there = [{arm.name for arm in board.arms if arm.values or arm.failed} for board in boards.values()]
    return sorted(set.intersection(*there)) if there else []


def scored_arms(board: Board, names: Sequence[str]) -> tuple[list[Arm], float | None]:
    """Return contenders as they are scored, and the value of score 0, None if the trivial answer is unknown.

    Values are on the metric's scale, and failed seeds have values: the trivial answer's, or else the worst seed's."""
    arms = [arm for arm in board.arms if arm.name in names]
    if board.decades:
        sizes = [abs(value) for arm in arms for value in (*arm.values, *arm.scored) if value]
        arms = [on_log_scale(arm, min(sizes, default=1.0)) for arm in arms]
    zero = next((arm.trivial for arm in arms if arm.trivial is not None), None)
    worst = min((value for arm in arms for value in arm.values), default=0.0)
    by_name = {arm.name: with_failures(arm, worst if zero is None else zero) for arm in arms}
    return [by_name[name] for name in names], zero


def with_failures(arm: Arm, fallen: float) -> Arm:
    """Return an arm whose failed seeds have this value; all of its seeds if most failed."""
    if arm.failed > len(arm.values):
        return replace(arm, values=(fallen,) * (arm.failed + len(arm.values)), failed=0, floor=0.0, winner=None)
    return replace(arm, values=(*arm.values, *[fallen] * arm.failed), failed=0)


def on_log_scale(arm: Arm, least: float) -> Arm:
    """Return an arm with logarithms of its values, of `least` where one is smaller; losses are negative before and
    after."""

    def log(value: float) -> float:
        return math.log(max(value, least)) if value > 0 else -math.log(max(-value, least))

    return replace(
        arm,
        values=tuple(map(log, arm.values)),
        scores=tuple(None if score is None else log(score) for score in arm.scores),
        final_scores=tuple(map(log, arm.final_scores)),
        trivial=None if arm.trivial is None else log(arm.trivial),
        floor=0.0,
        score_floor=0.0,
    )


def mean_of(arm: Arm) -> float:
    """Return the mean of a scored arm."""
    return statistics.fmean(arm.values)


def scaled(means: Numbers, zero: float | None) -> Numbers:
    """Return the scores (draws, contenders) of means: 1 is the best of a draw, 0 `zero` or else the worst of a draw."""
    import numpy as np

    low = means.min(axis=1, keepdims=True) if zero is None else zero
    width = means.max(axis=1, keepdims=True) - low
    return np.where(width > 0, np.clip((means - low) / np.where(width > 0, width, 1.0), 0.0, 1.0), 0.0)


Part = tuple[float, float]
"""A variance and its degrees of freedom."""


def draws_of(used: Sequence[tuple[list[Arm], float | None]], random: np.random.Generator) -> Numbers | None:
    """Return scores (DRAWS, contenders) over all workloads, None if nothing tells the noise of a single run."""
    import numpy as np

    parts = [[variance_parts(arm, pooled_sd(arms)) for arm in arms] for arms, _ in used]
    if any(part is None for own in parts for part in own):
        return None
    means = np.array([[mean_of(arm) for arm in arms] for arms, _ in used])  # (workloads, contenders)
    errors = np.sqrt([[sum(variance for variance, _ in part or ()) for part in own] for own in parts])
    zeros = np.array([own.min() if zero is None else zero for own, (_, zero) in zip(means, used, strict=True)])
    widths = means.max(axis=1) - zeros
    tails = []
    for contender in range(means.shape[1]):
        own = [
            (v / width / width, df) for row, width in zip(parts, widths, strict=True) for v, df in row[contender] or ()
        ]
        df = satterthwaite(*own)
        tails.append(np.sqrt(df / random.chisquare(df, DRAWS)) if math.isfinite(df) else np.ones(DRAWS))
    found = []
    for own, error, (_, zero) in zip(means, errors, used, strict=True):
        found.append(scaled(own + random.standard_normal((DRAWS, len(own))) * error * np.stack(tails, axis=1), zero))
    return over_workloads_of_draws(np.stack(found))


def variance_parts(arm: Arm, pooled: Part | None) -> tuple[Part, Part] | None:
    """Return the variance of a mean by seeds and by selection, each with its degrees of freedom."""
    noise = noise_of(arm.values, arm.floor, pooled)
    if noise is None:
        return None
    sd, df = noise
    return (sd**2 / len(arm.values), df), (arm_selection_variance(arm), SELECTION_DF)


def over_workloads(values: Sequence[float]) -> float | None:
    """Return the mean of scores on workloads, from eight on the interquartile one; None without any."""
    return (iqm(values) if len(values) >= MANY else statistics.fmean(values)) if values else None


def over_workloads_of_draws(found: Numbers) -> Numbers:
    """Return the same of draws (workloads, DRAWS, contenders), as (DRAWS, contenders)."""
    import numpy as np

    cut = len(found) // 4 if len(found) >= MANY else 0
    return np.sort(found, axis=0)[cut : len(found) - cut].mean(axis=0)


def iqm(values: Sequence[float]) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut off at each end."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def with_quantiles(of: Estimate, draws: Numbers, center: float, bounds: tuple[float, float], level: float) -> Estimate:
    """Return the estimate with the quantiles of its draws about `center`, inside the bounds; they hold the estimate."""
    import numpy as np

    assert of.value is not None
    low, middle, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2])
    low, high = np.clip([low, high] - 2 * (middle - center), *bounds)
    return Estimate(of.value, min(of.value, float(low)), max(of.value, float(high)), of.n)
