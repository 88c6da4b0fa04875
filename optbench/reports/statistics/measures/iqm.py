"""The interquartile mean over workloads and seeds (Agarwal et al. 2021, arXiv 2108.13264).

Their percentile bootstrap over runs is too narrow for few seeds: at 95 % it covered the true value in 74 to 81 % of
simulated studies of three seeds, on one workload and on four. Here each workload's mean moves by Student's t of its
seeds, and by the selection variance of its tuning if that is known. Without the latter it covers 94 % and more with
normal and t3 noise (99 % for three seeds on four workloads, wider than needed) and 92 % and more with lognormal noise;
the slow tests repeat it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.selection import SELECTION_DF

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scores = Mapping[str, Mapping[str, Sequence[float | None]]]
"""{workload: {contender: headline of each seed, None for one that failed}}"""
SelectionSd = Mapping[str, float]
"""{workload: standard deviation that selecting the winner adds to the normalised mean}"""
NO_SELECTION: SelectionSd = MappingProxyType({})
NONE_SELECTED: Mapping[str, SelectionSd] = MappingProxyType({})
DRAWS = 2000


def normalised(scores: Scores, directions: Mapping[str, str]) -> dict[str, dict[str, list[float]]]:
    """Return the scores by contender and workload: 1 is the best contender's mean, 0 the worst one's.

    A failed seed counts as the worst seed on its workload, and as 0 at most. Leaves out a workload on which all means
    are equal and a contender that lacks a workload. The two means are taken as known: their noise is in no interval."""
    result: dict[str, dict[str, list[float]]] = {name: {} for name in on_every_workload(scores)}
    for workload, (worst, width) in scales(scores, directions).items():
        sign, found = sign_of(directions[workload]), scores[workload]
        own = {name: [(sign * value - worst) / width for value in found[name] if value is not None] for name in result}
        least = min(0.0, *(value for values in own.values() for value in values))
        for name in result:
            result[name][workload] = [*own[name], *[least] * (len(found[name]) - len(own[name]))]
    return {name: found for name, found in result.items() if found}


def scales(scores: Scores, directions: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return, by workload, the worst contender's mean and the distance of the best one (larger is better).

    Workloads on which all means are equal are left out."""
    found = {}
    for workload, by_name in scores.items():
        sign = sign_of(directions[workload])
        known = [[sign * value for value in by_name[name] if value is not None] for name in on_every_workload(scores)]
        means = [statistics.fmean(values) for values in known if values]
        if means and max(means) > min(means):
            found[workload] = (min(means), max(means) - min(means))
    return found


def on_every_workload(scores: Scores) -> list[str]:
    """Return the contenders that were run on every workload."""
    names = sorted({name for found in scores.values() for name in found})
    return [name for name in names if all(found.get(name) for found in scores.values())]


def sign_of(direction: str) -> float:
    """Return 1 if more is better, else -1."""
    return 1.0 if direction == "max" else -1.0


def iqm(values: Sequence[float]) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut off at each end."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def iqm_interval(
    by_workload: Mapping[str, Sequence[float]],
    level: float = 0.95,
    seed: int = 0,
    selection_sd: SelectionSd = NO_SELECTION,
) -> Estimate:
    """Return one contender's interquartile mean over all workloads and seeds, with its interval by `iqm_draws`.

    There is no interval if a workload has one seed."""
    import numpy as np

    values = [value for name in sorted(by_workload) for value in by_workload[name]]
    if not values:
        return Estimate(None)
    point, means = iqm(values), iqm_draws(by_workload, seed, selection_sd)
    if means is None:
        return Estimate(point, n=len(values))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(point, float(low), float(high), len(values))


def iqm_draws(
    by_workload: Mapping[str, Sequence[float]], seed: int = 0, selection_sd: SelectionSd = NO_SELECTION
) -> NDArray[np.float64] | None:
    """Return interquartile means (DRAWS,) of parametric draws, None if a workload has one seed.

    Each workload's mean moves by Student's t of its seeds and by another of its selection variance; the scatter of the
    seeds stays as it is."""
    import numpy as np

    if not by_workload or any(len(own) < 2 for own in by_workload.values()):
        return None
    draw = np.random.default_rng(seed)
    parts = []
    for name in sorted(by_workload):
        own = np.asarray(by_workload[name], dtype=float)
        n = len(own)
        moved = draw.standard_t(n - 1, size=(DRAWS, 1)) * own.std(ddof=1) / np.sqrt(n)
        if selection_sd.get(name):
            moved = moved + draw.standard_t(SELECTION_DF, size=(DRAWS, 1)) * selection_sd[name]
        parts.append(own[None, :] + moved)
    together = np.sort(np.concatenate(parts, axis=1), axis=1)
    cut = together.shape[1] // 4
    return together[:, cut : together.shape[1] - cut].mean(axis=1)


def p_best(
    together: Mapping[str, Mapping[str, Sequence[float]]], selection_sd: Mapping[str, SelectionSd] = NONE_SELECTED
) -> dict[str, float]:
    """Return P(best): the share of draws in which each contender has the greatest interquartile mean.

    Contenders are drawn independently. Empty if a contender has no draws."""
    import numpy as np

    means = [
        iqm_draws(found, seed, selection_sd.get(name, NO_SELECTION))
        for seed, (name, found) in enumerate(together.items())
    ]
    if len(means) < 2 or any(one is None for one in means):
        return {}
    first = np.stack([one for one in means if one is not None]).argmax(axis=0)
    return {name: float((first == place).mean()) for place, name in enumerate(together)}
