"""The score of every submission of a table of times, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.reports.algoperf.resampling import Scoring, Spread, spreads
from optbench.reports.algoperf.timetable import TimeTable, variants
from optbench.reports.model.content import LeaveOneOut, Profile
from optbench.reports.statistics import scoring


@dataclass(frozen=True)
class Scored:
    """One submission."""

    submission: str
    score: float
    rank: float
    """1 is the best; equal scores share their mean rank."""
    solved: int
    of: int
    mean_rank: float
    """Over workloads, by time."""
    speed_up: float | None
    """Geometric mean of the reference's times over its own, over the workloads that both reached; None: no reference or
    no such workload."""
    spreads: dict[str, Spread]
    """By what is resampled: studies, workloads."""


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
    source: tuple[str, ...]
    """The table's own words on where it is from."""


def score_table(
    table: TimeTable,
    *,
    trapezoid: bool = False,
    r_max: float = scoring.R_MAX,
    reference: str | None = None,
    level: float = 0.95,
) -> ScoreTable:
    """Score a table."""
    held_out = variants(table.workloads)
    times = scoring.with_held_out(table.times, held_out, r_max)
    found = scoring.score(times, r_max, trapezoid=trapezoid)
    resampled = spreads(table, Scoring(held_out, r_max, trapezoid), level)
    ranks, solved = scoring.rank_table(times), scoring.solved(times)
    faster = scoring.speed_ups(times, reference) if reference is not None else {}
    workloads = scoring.workloads_of(times)
    places = scoring.ranked({name: -value for name, value in found.items()})
    rows = [
        Scored(
            submission=name,
            score=found[name],
            rank=places[name],
            solved=solved[name],
            of=len(workloads),
            mean_rank=sum(ranks[workload][name] for workload in workloads) / len(workloads),
            speed_up=faster.get(name),
            spreads={kind: row[name] for kind, row in resampled.items()},
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
        source=table.source,
    )


def ranks_text(spread: Spread) -> str:
    """Write the interval of a rank: 1 to 8."""
    low, high = spread.rank
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
