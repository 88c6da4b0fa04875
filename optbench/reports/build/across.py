"""All workloads together: scores, ranks, profiles, and the effect of leaving one workload out."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.build.answers import listed
from optbench.reports.model.content import Across, Estimate, LeaveOneOut, Profile, Score, ToTarget, Workload
from optbench.reports.statistics.measures.iqm import iqm_interval, normalised, p_best, scales
from optbench.reports.statistics.measures.ranks import leave_one_out, mean_ranks, on_every_workload
from optbench.reports.statistics.measures.to_target import COMPLETE, PASSING


def across(workloads: Sequence[Workload], level: float) -> Across | None:
    """Return the contenders that are on every workload, over all of them; None for fewer than two of either."""
    from optbench.reports.statistics import scoring

    ranks = {w.name: {row.contender: (row.rank_low, row.rank_high) for row in w.rows} for w in workloads}
    names = on_every_workload(ranks)
    if len(workloads) < 2 or len(names) < 2:
        return None
    times, note = times_of(workloads, names)
    means = mean_ranks(ranks, level)
    by_seed = {w.name: {r.contender: (*r.values, *[None] * r.failed) for r in w.rows} for w in workloads}
    directions = {w.name: w.direction for w in workloads}
    together, widths = normalised(by_seed, directions), scales(by_seed, directions)
    selection_sd = {
        name: {
            w.name: row.luck / widths[w.name][1]
            for w in workloads
            for row in w.rows
            if row.contender == name and w.name in widths
        }
        for name in together
    }
    first = p_best(together, selection_sd)
    found = scoring.score(times) if times else {}
    reference = next((w.reference for w in workloads if w.reference), None)
    faster = scoring.speed_ups(times, reference) if times and reference in times else {}
    scores = [
        Score(
            contender=name,
            score=Estimate(found.get(name), n=len(workloads)),
            mean_rank=means[name],
            iqm=iqm_interval(together[name], level, selection_sd=selection_sd[name])
            if name in together
            else Estimate(None),
            speed_up=Estimate(faster.get(name), n=len(workloads)),
            rank_first=first.get(name),
        )
        for name in names
    ]
    scores.sort(key=lambda score: (score.mean_rank.value or 0.0, -(score.iqm.value or 0.0), score.contender))
    left_out = leave_one_out(ranks)
    profiles: Sequence[Profile] = scoring.profiles(times) if times else ()
    return Across(
        answer=answer(scores, left_out, len(workloads)),
        scores=tuple(scores),
        profiles=tuple(profiles),
        leave_one_out=tuple(left_out),
        ranks=ranks,
        note=note,
    )


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


def answer(scores: Sequence[Score], left_out: Sequence[LeaveOneOut], workloads: int) -> tuple[str, ...]:
    """Return the conclusion over all workloads in words."""
    best = scores[0].mean_rank.value
    first = [score.contender for score in scores if score.mean_rank.value == best]
    if len(first) == len(scores):
        return (f"Over {workloads} workloads no contender has a better mean rank than the others.",)
    have = "has" if len(first) == 1 else "have"
    lines = [f"Over {workloads} workloads {listed(first)} {have} the best mean rank ({best:.3g})."]
    changed = [row.without for row in left_out if row.order[0] not in first]
    if changed:
        lines.append(f"Without {listed(changed, 'or')} another contender would be first.")
    return tuple(lines)
