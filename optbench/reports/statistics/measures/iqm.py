"""The interquartile mean over workloads and seeds (Agarwal et al. 2021, arXiv 2108.13264).

Their interval is a percentile bootstrap over runs, which for few seeds is too narrow: at 95 % it covered the true
value in 74 to 81 % of simulated studies of three seeds, on one workload and on four. Here each workload's mean moves by
Student's t of its seeds, and by the luck of tuning where that is known. Without luck: 94 % and more with normal and t3
noise (of three seeds on four workloads 99 %, wider than need be), 92 % and more with lognormal noise; the slow tests
repeat it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.selection import FREEDOM

if TYPE_CHECKING:
    import numpy as np

Scores = Mapping[str, Mapping[str, Sequence[float | None]]]
"""{workload: {contender: headline of each seed, None for one that failed}}"""
Luck = Mapping[str, float]
"""{workload: standard deviation that the choice of the winner adds to the normalised mean}"""
NO_LUCK: Mapping[str, Any] = MappingProxyType({})
DRAWS = 2000


def normalised(scores: Scores, directions: Mapping[str, str]) -> dict[str, dict[str, list[float]]]:
    """By contender and workload: 1 is the best contender's mean, 0 the worst one's, of the seeds that have a result. A
    failed seed counts as the worst seed of all on its workload, and as no more than 0.

    A workload on which all have one mean tells nothing and is left out, and so is a contender that was not run on some
    workload. The two means are taken as known: their own noise is in no interval."""
    result: dict[str, dict[str, list[float]]] = {name: {} for name in everywhere(scores)}
    for workload, (worst, width) in scales(scores, directions).items():
        sign, found = sign_of(directions[workload]), scores[workload]
        own = {name: [(sign * value - worst) / width for value in found[name] if value is not None] for name in result}
        least = min(0.0, *(value for values in own.values() for value in values))
        for name in result:
            result[name][workload] = [*own[name], *[least] * (len(found[name]) - len(own[name]))]
    return {name: found for name, found in result.items() if found}


def scales(scores: Scores, directions: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """The worst contender's mean, larger is better, and the best one's above it, of each workload that tells any
    apart."""
    found = {}
    for workload, by_name in scores.items():
        sign = sign_of(directions[workload])
        known = [[sign * value for value in by_name[name] if value is not None] for name in everywhere(scores)]
        means = [statistics.fmean(values) for values in known if values]
        if means and max(means) > min(means):
            found[workload] = (min(means), max(means) - min(means))
    return found


def everywhere(scores: Scores) -> list[str]:
    """The contenders that were run on every workload."""
    names = sorted({name for found in scores.values() for name in found})
    return [name for name in names if all(found.get(name) for found in scores.values())]


def sign_of(direction: str) -> float:
    """1 where more is better, else -1."""
    return 1.0 if direction == "max" else -1.0


def iqm(values: Sequence[float]) -> float:
    """The mean of the middle half: a quarter of the values, rounded down, is cut off at each end."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def iqm_interval(
    by_workload: Mapping[str, Sequence[float]], level: float = 0.95, seed: int = 0, luck: Luck = NO_LUCK
) -> Estimate:
    """The interquartile mean over all workloads and seeds of one contender, with the interval of parametric draws (see
    `drawn`). None where a workload has one seed."""
    import numpy as np

    values = [value for name in sorted(by_workload) for value in by_workload[name]]
    if not values:
        return Estimate(None)
    point, means = iqm(values), drawn(by_workload, seed, luck)
    if means is None:
        return Estimate(point, n=len(values))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(point, float(low), float(high), len(values))


def drawn(by_workload: Mapping[str, Sequence[float]], seed: int = 0, luck: Luck = NO_LUCK) -> np.ndarray | None:
    """Interquartile means (DRAWS,): each workload's mean moves by Student's t of its seeds, and by one of the luck of
    its tuning; its seeds scatter as they do. None where a workload has one seed."""
    import numpy as np

    if not by_workload or any(len(own) < 2 for own in by_workload.values()):
        return None
    draw = np.random.default_rng(seed)
    parts = []
    for name in sorted(by_workload):
        own = np.asarray(by_workload[name], dtype=float)
        n = len(own)
        moved = draw.standard_t(n - 1, size=(DRAWS, 1)) * own.std(ddof=1) / np.sqrt(n)
        if luck.get(name):
            moved = moved + draw.standard_t(FREEDOM, size=(DRAWS, 1)) * luck[name]
        parts.append(own[None, :] + moved)
    together = np.sort(np.concatenate(parts, axis=1), axis=1)
    cut = together.shape[1] // 4
    return together[:, cut : together.shape[1] - cut].mean(axis=1)


def shares_first(
    together: Mapping[str, Mapping[str, Sequence[float]]], luck: Mapping[str, Luck] = NO_LUCK
) -> dict[str, float]:
    """In which share of the draws each contender has the greatest interquartile mean; empty where a contender has no
    draws. Contenders are drawn independently."""
    import numpy as np

    means = [drawn(found, seed, luck.get(name, {})) for seed, (name, found) in enumerate(together.items())]
    if len(means) < 2 or any(one is None for one in means):
        return {}
    first = np.stack([one for one in means if one is not None]).argmax(axis=0)
    return {name: float((first == place).mean()) for place, name in enumerate(together)}
