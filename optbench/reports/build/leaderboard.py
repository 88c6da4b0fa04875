"""The leaderboard of a workload: a row for each contender, best first, with the ranks that the verdicts allow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optbench.reports.contenders import HEADLINES, Contender
from optbench.reports.model.content import Pair, Row
from optbench.reports.read.columns import number_in
from optbench.reports.statistics.difference import arm_selection_variance
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.verdicts import BETTER, WORSE


def ranked(contenders: Sequence[Contender], headline: str, sign: float) -> list[Contender]:
    """Return the contenders, best mean first; those without any result last."""

    def sort_key(contender: Contender) -> tuple[bool, float, str]:
        values = contender.values(HEADLINES[headline])
        return (not values, -sign * statistics.fmean(values) if values else 0.0, contender.name)

    return sorted(contenders, key=sort_key)


def row(contender: Contender, headline: str, pairs: Sequence[Pair], others: int, sign: float, level: float) -> Row:
    """Return one contender's row; `sign` is -1 for losses."""
    runs, winner = contender.succeeded, contender.winner
    values = contender.values(HEADLINES[headline])
    worse = sum(loses(contender.name, pair) for pair in pairs)
    better = sum(wins(contender.name, pair) for pair in pairs)
    gaps = [sign * (r["train"] - r["test"]) for r in runs if r["train"] is not None and r["test"] is not None]
    known = [run for run in runs if number_in(run, HEADLINES[headline]) is not None]
    return Row(
        contender=contender.name,
        implementation=(contender.finals[0]["implementation"] or "") if contender.finals else "",
        rank_low=1 + worse,
        rank_high=others + 1 - better,
        test=mean_interval(contender.values("test"), level),
        val=mean_interval(contender.values("val"), level),
        best_val=mean_interval(contender.values("best_val"), level),
        train=mean_interval(contender.values("train"), level),
        gap=mean_interval(gaps, level),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        values=tuple(values),
        seeds=tuple(run["seed"] for run in known),
        failed=contender.failed,
        trials=len(contender.tuning),
        tune_val=contender.score(winner) if winner is not None else None,
        tuned=contender.chosen,
        luck=math.sqrt(arm_selection_variance(contender.arm(headline, sign))),
        edges=tuple((key, end) for key, end in contender.cell.get("edges") or ()),
    )


def loses(name: str, pair: Pair) -> bool:
    """Return True if the pair shows the other contender to be better."""
    return (pair.a == name and pair.verdict == WORSE) or (pair.b == name and pair.verdict == BETTER)


def wins(name: str, pair: Pair) -> bool:
    """Return True if the pair shows this contender to be better."""
    return (pair.a == name and pair.verdict == BETTER) or (pair.b == name and pair.verdict == WORSE)
