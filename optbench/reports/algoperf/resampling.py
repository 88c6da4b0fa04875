"""Scores and ranks if the studies, or the workloads too, had come out otherwise.

Studies: those of a cell (a submission on a workload) are drawn anew around its median. Two or three studies say little
of their own spread, and one says nothing, so the deviations of all submissions on the workload are drawn from, on a log
scale, each widened by sqrt(n / (n - 1)) for the mean it was taken from (residual bootstrap, Davison and Hinkley, 1997).
Each study reaches the target with a probability drawn from Beta(reached + 1/4, missed + 1/4); a cell that never reached
it stays so. Redrawn times make the fastest of many submissions faster still, and all scores lower, once more than the
studies themselves have: that bias is removed.

Workloads: these are drawn with replacement too (rliable's task bootstrap, Agarwal et al., 2021), with percentiles moved
outwards for their small number (Hesterberg, 2015, arXiv 1411.5279).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.reports.algoperf.timetable import TimeTable
from optbench.reports.statistics import scoring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS, SEED = 2000, 0
PRIOR = 0.25  # between 0, which never doubts what all studies reached, and Jeffreys' 1/2; its coverage is tested
LEAST_WORKLOADS = 8  # to draw from: below, percentiles are too narrow
STUDIES, WORKLOADS = "studies", "workloads"
RESAMPLES = (STUDIES, WORKLOADS)


@dataclass(frozen=True)
class Spread:
    """The percentiles of one submission's score and rank, and how often it is first."""

    score: tuple[float, float]
    rank: tuple[float, float]
    """1 is the best; ties share their mean rank."""
    first: float
    """Share of resampled tables in which its score is the greatest; ties share equally."""


@dataclass(frozen=True)
class Scoring:
    """The scoring of times."""

    held_out: Mapping[str, Sequence[str]]
    """Variants by workload."""
    r_max: float = scoring.R_MAX
    trapezoid: bool = False


def spreads(table: TimeTable, how: Scoring, level: float = 0.95) -> dict[str, dict[str, Spread]]:
    """Return {resample: {submission: spread}}. `studies` is absent where no study was repeated, `workloads` where there
    are fewer than LEAST_WORKLOADS."""
    import numpy as np

    random = np.random.default_rng(SEED)
    names = sorted(table.studies)
    found = redrawn(table, how, random) if table.has_studies else points(medians(table), table.workloads, how)
    made = {}
    if table.has_studies:
        made[STUDIES] = spreads_of(found.mean(axis=2), names, (1 - level) / 2)
    count = found.shape[2]
    if count >= LEAST_WORKLOADS:
        drawn = random.integers(0, count, (DRAWS, 1, count))
        whole = np.broadcast_to(found, (DRAWS, *found.shape[1:]))
        made[WORKLOADS] = spreads_of(np.take_along_axis(whole, drawn, 2).mean(axis=2), names, outwards(level, count))
    return made


def medians(table: TimeTable) -> Floats:
    """Return the table itself as a single draw, (1, submissions, workloads), submissions sorted by name."""
    import numpy as np

    return np.array([[[table.times[name][w] for w in table.workloads] for name in sorted(table.studies)]])


def redrawn(table: TimeTable, how: Scoring, random: np.random.Generator) -> Floats:
    """Return what each base workload adds to a score with redrawn studies: (draws, submissions, base workloads)."""
    import numpy as np

    names = sorted(table.studies)
    times = np.full((2, DRAWS, len(names), len(table.workloads)), np.inf)
    pools = [deviations([table.studies[name][workload] for name in names]) for workload in table.workloads]
    every = np.concatenate(pools)
    for at, workload in enumerate(table.workloads):
        pool = pools[at] if len(pools[at]) else every
        for row, name in enumerate(names):
            times[:, :, row, at] = cell_draws(np.asarray(table.studies[name][workload]), pool, random)
    found, steady = points(times[0], table.workloads, how), points(times[1], table.workloads, how)
    return found + (steady.mean(axis=0) - found.mean(axis=0))


def deviations(cells: Sequence[Sequence[float]]) -> Floats:
    """Return how far the log times of each cell lie from their mean, widened for the degree of freedom that it took."""
    import numpy as np

    found = [np.zeros(0)]
    for cell in cells:
        logs = np.log([time for time in cell if np.isfinite(time)])
        if len(logs) > 1:
            found.append((logs - logs.mean()) * np.sqrt(len(logs) / (len(logs) - 1)))
    return np.concatenate(found)


def cell_draws(own: Floats, pool: Floats, random: np.random.Generator) -> Floats:
    """Return medians of as many studies as a cell has, (2, draws): with redrawn times, and with the cell's median for
    each study that reached the target."""
    import numpy as np

    reached = own[np.isfinite(own)]
    if not len(reached):
        return np.full((2, DRAWS), np.inf)
    shape = (DRAWS, len(own))
    factors = np.exp(random.choice(pool, shape)) if len(pool) else np.ones(shape)
    chance = random.beta(len(reached) + PRIOR, len(own) - len(reached) + PRIOR, (DRAWS, 1))
    times = np.median(reached) * np.stack([factors, np.ones(shape)])
    return np.median(np.where(random.random(shape) < chance, times, np.inf), axis=2)


def points(times: Floats, workloads: Sequence[str], how: Scoring) -> Floats:
    """Return what each base workload adds to a score, 0 to 1: (draws, submissions, base workloads)."""
    import numpy as np

    held_out = {variant: base for base, own in how.held_out.items() for variant in own}
    at = {name: place for place, name in enumerate(workloads)}
    times = times.copy()
    for variant, base in held_out.items():
        times[:, :, at[variant]][np.isinf(times[:, :, at[base]])] = np.inf
    late = ratios(times) > how.r_max
    for variant, base in held_out.items():
        times[:, :, at[base]][late[:, :, at[variant]]] = np.inf
    found = ratios(times[:, :, [at[name] for name in workloads if name not in held_out]])
    if not how.trapezoid:
        return np.clip((how.r_max - found) / (how.r_max - 1), 0.0, None)
    missed = np.searchsorted(scoring.taus(how.r_max), found)  # points that lie below the ratio
    return np.clip(scoring.POINTS - 0.5 - np.maximum(missed, 0.5), 0.0, None) / (scoring.POINTS - 1)


def ratios(times: Floats) -> Floats:
    """Return each time over the fastest of its draw and workload; infinity: not reached."""
    import numpy as np

    least = times.min(axis=1, keepdims=True)
    return np.divide(times, least, out=np.full_like(times, np.inf), where=np.isfinite(times))


def spreads_of(scores: Floats, names: Sequence[str], tail: float) -> dict[str, Spread]:
    """Return the spread of each submission. `scores`: (draws, submissions). `tail`: the share left out on each side."""
    import numpy as np

    above = (scores[:, None, :] > scores[:, :, None]).sum(axis=2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2)
    ranks = above + (equal + 1) / 2
    first = np.where(above == 0, 1 / equal, 0.0).mean(axis=0)
    ends = np.clip(np.quantile(scores, [tail, 1 - tail], axis=0), 0.0, 1.0)
    places = np.quantile(ranks, [tail, 1 - tail], axis=0, method="inverted_cdf")
    return {
        name: Spread(
            (float(ends[0, at]), float(ends[1, at])), (float(places[0, at]), float(places[1, at])), float(first[at])
        )
        for at, name in enumerate(names)
    }


def outwards(level: float, count: int) -> float:
    """Return the tail whose normal percentile is as far out as Student's for a mean of so many values."""
    from scipy.stats import norm, t

    return float(norm.sf((count / (count - 1)) ** 0.5 * t.isf((1 - level) / 2, count - 1)))
