"""Scores of times to target: performance profiles, AlgoPerf's benchmark score, speed-up, leave-one-out.

Times are seconds by submission and workload; None or infinity: not reached. Sources: Dolan and Moré (2002) for
profiles, Dahl et al. (2023, arXiv 2306.07179) for the score, its held-out rule and the speed-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optbench.reports.model.content import LeaveOneOut, Profile

Times = Mapping[str, Mapping[str, float | None]]
R_MAX = 4.0
POINTS = 100  # of the trapezoid in AlgoPerf's code


def ratios(times: Times) -> dict[str, dict[str, float]]:
    """Return each time over the fastest of its workload; infinity: not reached.

    A workload that no submission reached has infinite ratios. Where the fastest time is 0, it alone has the ratio 1."""
    found: dict[str, dict[str, float]] = {name: {} for name in times}
    for workload in workloads_of(times):
        least = min(seconds(times, name, workload) for name in times)
        for name in times:
            own = seconds(times, name, workload)
            found[name][workload] = over(own, least) if math.isfinite(own) else math.inf
    return found


def over(own: float, least: float) -> float:
    """Return the ratio of two finite times."""
    if own == least:
        return 1.0
    return own / least if least else math.inf


def workloads_of(times: Times) -> list[str]:
    """Return all workloads in order of appearance."""
    return list(dict.fromkeys(workload for row in times.values() for workload in row))


def seconds(times: Times, name: str, workload: str) -> float:
    """Return a time, infinite if not reached."""
    found = times[name].get(workload)
    return math.inf if found is None else found


def score(times: Times, r_max: float = R_MAX, *, trapezoid: bool = False) -> dict[str, float]:
    """Return the benchmark score of each submission, 0 to 1: the mean height of its profile for tau in [1, r_max].

    Exact by default: the integral of a step function is a sum, (1/n) sum_w max(0, r_max - r_w) / (r_max - 1).
    `trapezoid`: AlgoPerf's hundred points, which may be off by half a step."""
    found = ratios(times)
    if trapezoid:
        return {name: trapezoid_of(list(row.values()), r_max) for name, row in found.items()}
    return {
        name: math.fsum(max(0.0, (r_max - r) / (r_max - 1)) for r in row.values()) / len(row)
        for name, row in found.items()
    }


def trapezoid_of(ratios: Sequence[float], r_max: float) -> float:
    """Return the mean height of a profile by the trapezoid rule over a hundred points."""
    heights = [sum(r <= tau for r in ratios) / len(ratios) for tau in taus(r_max)]
    inner = math.fsum(heights) - (heights[0] + heights[-1]) / 2
    return inner / (POINTS - 1)


def taus(r_max: float) -> list[float]:
    """Return the hundred points of AlgoPerf's sum, from 1 to `r_max`."""
    return [*(1 + (r_max - 1) * i / (POINTS - 1) for i in range(POINTS - 1)), r_max]


def profiles(times: Times, r_max: float = R_MAX) -> list[Profile]:
    """Return the performance profile of each submission as a step function: its height from each tau to the next."""
    found = ratios(times)
    made = []
    for name, row in found.items():
        steps = sorted({1.0, r_max, *(r for r in row.values() if r <= r_max)})
        made.append(Profile(name, tuple(steps), tuple(sum(r <= tau for r in row.values()) / len(row) for tau in steps)))
    return made


def speed_ups(times: Times, reference: str, ceilings: Mapping[str, float] | None = None) -> dict[str, float | None]:
    """Return the geometric mean over workloads of the reference's time over each submission's; above 1 is faster.

    `ceilings`: the time to count for an unreached target, by workload; AlgoPerf takes its run-time limit. A workload
    without one is left out if either side did not reach the target, or reached it in no time. That favours submissions
    that fail on hard workloads. None: no workload is left."""
    found: dict[str, float | None] = {}
    for name in times:
        logs = []
        for workload in workloads_of(times):
            limit = (ceilings or {}).get(workload, math.inf)
            pair = [min(limit, seconds(times, who, workload)) for who in (reference, name)]
            if all(math.isfinite(time) and time > 0 for time in pair):
                logs.append(math.log(pair[0] / pair[1]))
        found[name] = math.exp(math.fsum(logs) / len(logs)) if logs else None
    return found


def with_held_out(
    times: Times, variants: Mapping[str, Sequence[str]], r_max: float = R_MAX
) -> dict[str, dict[str, float]]:
    """Return the base workloads alone; one counts only if its held-out variants are reached within `r_max` times the
    fastest.

    `variants`: by base. A variant of an unreached base is not reached."""
    held_out = {variant: base for base, own in variants.items() for variant in own}
    kept = {name: {w: seconds(times, name, w) for w in workloads_of(times)} for name in times}
    for row in kept.values():
        for variant, base in held_out.items():
            if math.isinf(row[base]):
                row[variant] = math.inf
    found = ratios(kept)
    return {
        name: {
            base: math.inf if any(found[name][v] > r_max for v in variants.get(base, ())) else row[base]
            for base in row
            if base not in held_out
        }
        for name, row in kept.items()
    }


def ordered(values: Mapping[str, float]) -> list[str]:
    """Return the names, greatest value first; ties by name."""
    return sorted(values, key=lambda name: (-values[name], name))


def leave_one_out(times: Times, r_max: float = R_MAX, *, trapezoid: bool = False) -> list[LeaveOneOut]:
    """Return the order by score without each workload in turn."""
    workloads = workloads_of(times)
    found = []
    for without in workloads if len(workloads) > 1 else ():
        rest = {name: {w: s for w, s in row.items() if w != without} for name, row in times.items()}
        scores = score(rest, r_max, trapezoid=trapezoid)
        order = ordered(scores)
        found.append(LeaveOneOut(without, tuple(order), tuple(scores[name] for name in order)))
    return found


def rank_table(times: Times) -> dict[str, dict[str, float]]:
    """Return {workload: {submission: rank by time}}; unreached targets share their mean rank."""
    return {w: ranked({name: seconds(times, name, w) for name in times}) for w in workloads_of(times)}


def ranked(values: Mapping[str, float]) -> dict[str, float]:
    """Return ranks from the least value up; equal values share their mean rank."""
    return {
        name: sum(other < own for other in values.values()) + (sum(other == own for other in values.values()) + 1) / 2
        for name, own in values.items()
    }


def solved(times: Times) -> dict[str, int]:
    """Return how many workloads each submission reached."""
    return {name: sum(math.isfinite(seconds(times, name, w)) for w in workloads_of(times)) for name in times}
