"""Mean ranks over workloads, and what they are without one of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from optbench.report.content import Estimate, LeaveOneOut
from optbench.report.statistics.intervals import mean_interval

Ranks = Mapping[str, Mapping[str, tuple[int, int]]]
"""{workload: {contender: (rank_low, rank_high)}}"""


def middle(span: tuple[int, int]) -> float:
    """The middle of a range of ranks: contenders that are not told apart share it."""
    return (span[0] + span[1]) / 2


def everywhere(ranks: Ranks) -> list[str]:
    """The contenders that are on every workload, in the order of their names."""
    return sorted(set.intersection(*(set(found) for found in ranks.values()))) if ranks else []


def mean_ranks(ranks: Ranks, level: float = 0.95) -> dict[str, Estimate]:
    """Mean of the middles over workloads, with Student's t interval over workloads, for the contenders that are on
    every workload, cut off at the ranks there are. The workloads are taken as a sample of those one might meet; two or
    three of them say little."""
    names = everywhere(ranks)
    most = max((len(found) for found in ranks.values()), default=1)
    means = {name: mean_interval([middle(found[name]) for found in ranks.values()], level) for name in names}
    return {
        name: found
        if found.low is None or found.high is None
        else Estimate(found.value, max(1.0, found.low), min(float(most), found.high), found.n)
        for name, found in means.items()
    }


def leave_one_out(ranks: Ranks) -> list[LeaveOneOut]:
    """The order by mean rank without each workload in turn; ties in the order of the names."""
    names = everywhere(ranks)
    found = []
    for without in ranks if len(ranks) > 1 else ():
        means = {
            name: statistics.fmean(middle(spans[name]) for workload, spans in ranks.items() if workload != without)
            for name in names
        }
        order = sorted(names, key=lambda name: (means[name], name))
        found.append(LeaveOneOut(without, tuple(order), tuple(means[name] for name in order)))
    return found
