"""A contender's metric at each learning rate that was tried, for the measures of learning-rate transfer."""

from __future__ import annotations

import statistics

from optbench.config.values import as_number
from optbench.reports.contenders import OPEN, PRUNED, Contender, succeeded
from optbench.reports.rate_sensitivity import learning_rate_key
from optbench.reports.read.columns import RunRow
from optbench.reports.statistics.measures.rate_transfer import Curve


def rate_key(contender: Contender) -> str | None:
    """Return the learning rate if it is all that was searched, else None."""
    return learning_rate_key(contender.searched) if len(contender.searched) == 1 else None


def rate_curve(contender: Contender, key: str, sign: float) -> Curve | None:
    """Return the runs at each rate: those of tuning, and at the chosen one the final seeds. None for fewer than two
    rates, and if no run succeeded.

    Trials that a pruner ended, or that have not ended, are left out."""
    runs: dict[float, list[RunRow]] = {}
    for trial, tried in contender.tuning.items():
        rate = as_number(contender.settings[trial].get(key))
        if rate is not None and rate > 0 and not any(run["status"] in (OPEN, PRUNED) for run in tried):
            further = contender.finals if trial == contender.winner else []
            runs.setdefault(rate, []).extend([*tried, *further])
    values = {rate: metrics(found, sign) for rate, found in sorted(runs.items())}
    known = [statistics.fmean(found) for found in values.values() if found]
    if len(values) < 2 or not known:
        return None
    every = [run for found in runs.values() for run in found]
    trivial = next((sign * run["val_trivial"] for run in every if run["val_trivial"] is not None), min(known))
    finals = contender.values("val")
    least = contender.scale("val").least_sd(statistics.fmean(finals)) if finals else 0.0
    return Curve(tuple(values), tuple(values.values()), tuple(sign * v for v in finals), trivial, least)


def metrics(runs: list[RunRow], sign: float) -> tuple[float, ...]:
    """Return the validation metric of each run, larger is better; empty if one failed."""
    values = [run["val"] for run in runs if succeeded(run)]
    found = [sign * value for value in values if value is not None]
    return tuple(found) if len(found) == len(runs) else ()
