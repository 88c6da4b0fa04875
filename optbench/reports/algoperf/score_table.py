"""The score of every submission of a table of times, with an interval if studies were repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optbench.reports.algoperf.timetable import TimeTable, variants
from optbench.reports.model.content import Estimate, LeaveOneOut, Profile
from optbench.reports.statistics import scoring

DRAWS, SEED = 2000, 0


@dataclass(frozen=True)
class Scored:
    """One submission."""

    submission: str
    score: Estimate
    first: float | None
    """P(best): share of resampled tables in which its score is the greatest."""
    solved: int
    of: int
    mean_rank: float
    speed_up: float | None
    """Geometric mean of the reference's times over its own, over the workloads that both reached; None: no reference or
    no such workload."""


@dataclass(frozen=True)
class ScoreTable:
    """A table of times, scored."""

    rows: tuple[Scored, ...]
    """Best first."""
    workloads: tuple[str, ...]
    held_out: dict[str, list[str]]
    leave_one_out: tuple[LeaveOneOut, ...]
    profiles: tuple[Profile, ...]
    trapezoid: bool
    r_max: float
    level: float
    notes: tuple[str, ...]


def score_table(
    table: TimeTable,
    *,
    trapezoid: bool = False,
    r_max: float = scoring.R_MAX,
    reference: str | None = None,
    level: float = 0.95,
) -> ScoreTable:
    """Score a table.

    Intervals and P(best) come from studies drawn with replacement, workload by workload; they are too narrow for few
    studies, and absent for one."""
    held_out = variants(table.workloads)
    times = scoring.with_held_out(table.times, held_out, r_max)
    found = scoring.score(times, r_max, trapezoid=trapezoid)
    resampled_scores = (
        scoring.resampled(resamples(table, held_out, r_max), r_max, trapezoid) if table.has_studies else {}
    )
    ranks, solved = scoring.rank_table(times), scoring.solved(times)
    faster = scoring.speed_ups(times, reference) if reference is not None else {}
    workloads = scoring.workloads_of(times)
    rows = [
        Scored(
            submission=name,
            score=interval(
                found[name], resampled_scores[name][0] if resampled_scores else [], level, least_studies(table, name)
            ),
            first=resampled_scores[name][1] if resampled_scores else None,
            solved=solved[name],
            of=len(workloads),
            mean_rank=sum(ranks[workload][name] for workload in workloads) / len(workloads),
            speed_up=faster.get(name),
        )
        for name in scoring.ordered(found)
    ]
    return ScoreTable(
        rows=tuple(rows),
        workloads=tuple(workloads),
        held_out=held_out,
        leave_one_out=tuple(scoring.leave_one_out(times, r_max, trapezoid=trapezoid)),
        profiles=tuple(scoring.profiles(times, r_max)),
        trapezoid=trapezoid,
        r_max=r_max,
        level=level,
        notes=table.notes,
    )


def resamples(table: TimeTable, held_out: dict[str, list[str]], r_max: float) -> Iterator[scoring.Times]:
    """Yield tables whose studies are drawn with replacement, independently for each submission and workload."""
    import numpy as np

    random = np.random.default_rng(SEED)
    cells = [(name, workload) for name in sorted(table.studies) for workload in table.workloads]
    medians = {}
    for name, workload in cells:
        own = np.asarray(table.studies[name][workload])
        medians[name, workload] = np.median(own[random.integers(0, len(own), (DRAWS, len(own)))], axis=1)
    for draw in range(DRAWS):
        times: dict[str, dict[str, float | None]] = {name: {} for name in table.studies}
        for name, workload in cells:
            times[name][workload] = float(medians[name, workload][draw])
        yield scoring.with_held_out(times, held_out, r_max)


def least_studies(table: TimeTable, name: str) -> int:
    """Return the fewest studies of a workload."""
    return min(len(own) for own in table.studies[name].values())


def interval(value: float, resampled_scores: list[float], level: float, n: int) -> Estimate:
    """Return a score with the percentiles of its resamples."""
    import numpy as np

    if not resampled_scores:
        return Estimate(value, n=n)
    low, high = np.quantile(resampled_scores, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n)
