"""Mean ranks over workloads, and without each workload in turn."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from optbench.reports.model.content import Estimate, LeaveOneOut
from optbench.reports.statistics.intervals import mean_interval

Ranks = Mapping[str, Mapping[str, tuple[int, int]]]
"""{workload: {contender: (rank_low, rank_high)}}"""


def middle(span: tuple[int, int]) -> float:
    """Return the middle of a range of ranks; contenders without a significant difference share it."""
    return (span[0] + span[1]) / 2


def on_every_workload(ranks: Ranks) -> list[str]:
    """Return the contenders that are on every workload, by name."""
    return sorted(set.intersection(*(set(found) for found in ranks.values()))) if ranks else []


def mean_ranks(ranks: Ranks, level: float = 0.95) -> dict[str, Estimate]:
    """Return mean ranks over workloads, with an interval, of the contenders that are on every workload.

    The interval is Student's t over workloads, taken as a sample, but never narrower than the mean of the ranges: where
    nothing differs significantly, all middles agree and t alone would give no width. It is cut off at 1 and the last
    rank."""
    names = on_every_workload(ranks)
    most = max((len(found) for found in ranks.values()), default=1)
    return {name: mean_rank([found[name] for found in ranks.values()], most, level) for name in names}


def mean_rank(spans: Sequence[tuple[int, int]], most: int, level: float) -> Estimate:
    """Return the mean rank of one contender among at most `most`, given its range on each workload."""
    found = mean_interval([middle(span) for span in spans], level)
    if found.low is None or found.high is None:
        return found
    least, greatest = (statistics.fmean(span[end] for span in spans) for end in (0, 1))
    return Estimate(found.value, max(1.0, min(found.low, least)), min(float(most), max(found.high, greatest)), found.n)


def leave_one_out(ranks: Ranks) -> list[LeaveOneOut]:
    """Return the order by mean rank without each workload in turn; ties by name."""
    names = on_every_workload(ranks)
    found = []
    for without in ranks if len(ranks) > 1 else ():
        means = {
            name: statistics.fmean(middle(spans[name]) for workload, spans in ranks.items() if workload != without)
            for name in names
        }
        order = sorted(names, key=lambda name: (means[name], name))
        found.append(LeaveOneOut(without, tuple(order), tuple(means[name] for name in order)))
    return found
