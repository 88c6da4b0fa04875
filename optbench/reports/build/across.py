"""All workloads together: scores, ranks, profiles, and the effect of leaving one workload out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optbench.reports.build.answers import listed
from optbench.reports.build.equivalence import over_workloads
from optbench.reports.build.regret import at_defaults
from optbench.reports.model.content import Across, Estimate, LeaveOneOut, Profile, Score, ToTarget, Workload
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures import scores as measure
from optbench.reports.statistics.measures.ranks import leave_one_out, mean_ranks, on_every_workload
from optbench.reports.statistics.measures.to_target import COMPLETE, PASSING
from optbench.reports.statistics.scale import DECADES

SURE = 0.95  # P(best) from which a contender is said to be first


def across(workloads: Sequence[Workload], arms: Mapping[str, Sequence[Arm]], level: float) -> Across | None:
    """Return the contenders that are on every workload, over all of them; None for fewer than two of either.

    `arms`: the contenders for the statistics, by workload."""
    from optbench.reports.statistics import scoring

    ranks = {w.name: {row.contender: (row.rank_low, row.rank_high) for row in w.rows} for w in workloads}
    names = on_every_workload(ranks)
    if len(workloads) < 2 or len(names) < 2:
        return None
    times, note = times_of(workloads, names)
    means = mean_ranks(ranks, level)
    scored = measure.scores({w.name: board(w, arms[w.name]) for w in workloads})
    found = scoring.score(times) if times else {}
    reference = next((w.reference for w in workloads if w.reference), None)
    faster = scoring.speed_ups(times, reference) if times and reference in times else {}
    scores = []
    for name in names:
        own = scored.of(name, level) if name in scored.names and scored.points else None
        scores.append(
            Score(
                contender=name,
                score=Estimate(found.get(name), n=len(workloads)),
                mean_rank=means[name],
                mean=own.score if own else Estimate(None),
                speed_up=Estimate(faster.get(name), n=len(workloads)),
                rank_first=own.first if own else None,
                minimum=own.weakest[1] if own else None,
                weakest=own.weakest[0] if own else "",
                by_workload=own.by_workload if own else {},
                at_defaults=at_defaults(workloads, name),
                equivalent=data.ratio if (data := over_workloads(workloads, name)) else Estimate(None),
                equivalent_bound=data.bound if data else "",
            )
        )
    scores.sort(key=lambda one: (-(one.mean.value or 0.0), one.mean_rank.value or 0.0, one.contender))
    left_out = leave_one_out(ranks)
    by_scores = scored.leave_one_out()
    profiles: Sequence[Profile] = scoring.profiles(times) if times else ()
    return Across(
        answer=tuple(answer(scores, left_out, by_scores, workloads, len(scored.points))),
        scores=tuple(scores),
        profiles=tuple(profiles),
        leave_one_out=tuple(by_scores or left_out),
        left_out_by="score" if by_scores else "mean rank",
        ranks=ranks,
        note=" ".join([*unscored(workloads, scored.points), note]),
    )


def board(of: Workload, arms: Sequence[Arm]) -> measure.Board:
    """Return a workload as it is scored."""
    untrained = frozenset(row.contender for row in of.rows if row.trained is False)
    return measure.Board(tuple(arms), of.scale == DECADES, untrained)


def unscored(workloads: Sequence[Workload], points: Mapping[str, object]) -> list[str]:
    """Return which workloads are in no score, and where 0 is not the trivial answer, in sentences."""
    found = []
    out = [w.name for w in workloads if w.name not in points]
    if out:
        found.append(f"No scores on {listed(out)}: nobody is shown to beat the trivial answer, or all means are equal.")
    unknown = [w.name for w in workloads if w.name in points and w.trivial is None]
    if unknown:
        found.append(f"The trivial answer is unknown on {listed(unknown)}: 0 is the worst contender's mean there.")
    return found


def times_of(workloads: Sequence[Workload], names: Sequence[str]) -> tuple[dict[str, dict[str, float | None]], str]:
    """Return median training seconds to target by contender and workload, and what they are in words.

    Workloads on which no contender reached the target are left out."""
    kind = COMPLETE if all(len(w.budgets) > 1 for w in workloads) else PASSING
    timed: list[tuple[str, dict[str, ToTarget]]] = []
    for workload in workloads:
        found = {t.contender: t for t in workload.to_target if t.kind == kind}
        if any(found[name].train_seconds.value is not None for name in names if name in found):
            timed.append((workload.name, found))
    if not timed:
        return {}, "No times to target: no workload has a target that was reached, or times may not be compared."
    what = "complete schedules" if kind == COMPLETE else "the first passing inside a run, which depends on the schedule"
    note = f"Times to target are of {what}, on {len(timed)} of {len(workloads)} workloads."
    return {name: {w: found[name].train_seconds.value for w, found in timed} for name in names}, note


def answer(
    scores: Sequence[Score],
    left_out: Sequence[LeaveOneOut],
    by_scores: Sequence[LeaveOneOut],
    workloads: Sequence[Workload],
    scored: int,
) -> list[str]:
    """Return the conclusion over all workloads in words. `scored`: the workloads with scores; one of them says nothing
    of several. Mean ranks are left out where a contender has no results on a workload."""
    ready = [one for one in scores if one.mean.value is not None]
    missing = {row.contender for workload in workloads for row in workload.rows} - {one.contender for one in ready}
    count = f"{scored} workloads" if scored == len(workloads) else f"{scored} of {len(workloads)} workloads"
    among = f", among {listed(sorted(one.contender for one in ready))}," if missing and ready else ""
    return [
        *(by_score(ready, by_scores, f"Over {count}{among}") if len(ready) > 1 and scored > 1 else ()),
        *(by_rank(scores, left_out, len(workloads)) if not (missing and ready) else ()),
        *untrained(scores, workloads),
    ]


def by_score(scores: Sequence[Score], left_out: Sequence[LeaveOneOut], start: str) -> list[str]:
    """Return who has the best score, how sure that is, and without which workload others would have it."""
    best = scores[0]
    name, likely = best.contender, best.rank_first
    score, least = f"{best.mean.value:.2f}", f"{best.minimum:.2f}"
    words = f"score {score}" if score == least else f"score {score}, at least {least} (on {best.weakest})"
    changes = [
        f"Without {row.without} {listed(leaders(row))} would lead."
        for row in left_out
        if name not in leaders(row) and len(leaders(row)) < len(scores)
    ]
    if likely is not None and likely >= SURE:
        return [f"{start} {name} comes first: {words}, P(best) {likely:.0%}.", *changes]
    others = [f"{one.contender} ({one.rank_first:.0%})" for one in scores[1:] if (one.rank_first or 0) > 1 - SURE]
    chance = f"; P(best) {likely:.0%}, against {listed(others)}" if likely is not None and others else ""
    return [f"{start} no contender is shown to be first. {name} leads: {words}{chance}.", *changes]


def by_rank(scores: Sequence[Score], left_out: Sequence[LeaveOneOut], count: int) -> list[str]:
    """Return who has the best mean rank, and without which workload others would have it."""
    best = min(one.mean_rank.value or 0.0 for one in scores)
    first = [one.contender for one in scores if one.mean_rank.value == best]
    if len(first) == len(scores):
        return [f"Over {count} workloads no contender has a better mean rank than the others."]
    have = "has" if len(first) == 1 else "have"
    lines = [f"Over {count} workloads {listed(sorted(first))} {have} the best mean rank ({best:.3g})."]
    changed = [row.without for row in left_out if not set(first) & set(leaders(row))]
    if changed:
        lines.append(f"Without {listed(changed, 'or')} another contender would be first.")
    return lines


def leaders(row: LeaveOneOut) -> list[str]:
    """Return the contenders that share the first place."""
    return [name for name, value in zip(row.order, row.values, strict=True) if value == row.values[0]]


def untrained(scores: Sequence[Score], workloads: Sequence[Workload]) -> list[str]:
    """Return on which workloads contenders did not learn, a sentence for each."""
    lines = []
    for one in scores:
        where = [w.name for w in workloads for row in w.rows if row.contender == one.contender and row.trained is False]
        if where:
            lines.append(f"{one.contender} is not trained on {listed(where)}.")
    return lines
