"""Mean ranks over workloads, and what they are without one of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from optbench.reports.model.content import Estimate, LeaveOneOut
from optbench.reports.statistics.intervals import mean_interval

Ranks = Mapping[str, Mapping[str, tuple[int, int]]]
"""{workload: {contender: (rank_low, rank_high)}}"""


def middle(span: tuple[int, int]) -> float:
    """The middle of a range of ranks: contenders that are not told apart share it."""
    return (span[0] + span[1]) / 2


def everywhere(ranks: Ranks) -> list[str]:
    """The contenders that are on every workload, in the order of their names."""
    return sorted(set.intersection(*(set(found) for found in ranks.values()))) if ranks else []


def mean_ranks(ranks: Ranks, level: float = 0.95) -> dict[str, Estimate]:
    """Mean of the middles over workloads for the contenders that are on every workload, with an interval.

    It is Student's t over workloads, taken as a sample of those one might meet (two or three of them say little), but
    never narrower than the mean of the ranges: where no contender is told apart anywhere, all middles agree and t alone
    would be sure of them. It is cut off at the ranks there are."""
    names = everywhere(ranks)
    most = max((len(found) for found in ranks.values()), default=1)
    return {name: mean_rank([found[name] for found in ranks.values()], most, level) for name in names}


def mean_rank(spans: Sequence[tuple[int, int]], most: int, level: float) -> Estimate:
    """The mean rank of one contender among at most `most`, of its range on each workload."""
    found = mean_interval([middle(span) for span in spans], level)
    if found.low is None or found.high is None:
        return found
    least, greatest = (statistics.fmean(span[end] for span in spans) for end in (0, 1))
    return Estimate(found.value, max(1.0, min(found.low, least)), min(float(most), max(found.high, greatest)), found.n)


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
