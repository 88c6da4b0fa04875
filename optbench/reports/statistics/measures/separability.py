"""Separability of a metric's surface, 0 to 1: can two hyperparameters be tuned one after the other?

Ranks of the trials' metrics are fitted by least squares over x and y, the logarithms scaled to [-1, 1]: r = c + a x + b
y + d x^2 + e y^2 (additive), and with f x y added (full). separability = 1 - (S_additive - S_full) / (S_total -
S_full): the share of what the full surface explains that needs no interaction. 1: the best y is the same for every x,
and the ridge of the heat map is parallel to an axis; 0: all of it is along a diagonal.

Ranks are used because a few diverged trials would otherwise dominate the surface; equal metrics share their mean rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.reports.model.content import Estimate

if TYPE_CHECKING:
    import numpy as np

Point = tuple[float, float, float]  # both hyperparameters, above 0, and the metric; failed trials as the worst of all
LEAST_TRIALS = 12  # twice the coefficients
DRAWS, SEED = 1000, 0


def separability(points: Sequence[Point], level: float = 0.95) -> Estimate:
    """Return the number with a percentile bootstrap over trials; None for fewer than twelve trials, or if they do not
    vary."""
    return estimate_of([points], level)


def separability_difference(a: Sequence[Point], b: Sequence[Point], level: float = 0.95) -> Estimate:
    """Return the separability of a minus that of b.

    With equal numbers of trials, trial i of both is the same point of the unit cube and is drawn for both."""
    return estimate_of([a, b], level)


def estimate_of(sides: Sequence[Sequence[Point]], level: float) -> Estimate:
    """Return the first side's number, minus the second's if there is one."""
    import numpy as np

    n = min(map(len, sides))
    if n < LEAST_TRIALS or not all(can_be_fitted(side) for side in sides):
        return Estimate(None, n=n)
    surfaces = [surface(side) for side in sides]
    values = [separability_of(design, ranks) for design, ranks in surfaces]
    random, drawn = np.random.default_rng(SEED), []
    for _ in range(DRAWS):
        picks = [random.integers(len(side), size=len(side)) for side in sides]
        picks = [picks[0] if len(pick) == len(picks[0]) else pick for pick in picks]
        drawn.append(
            difference_of_sides([separability_of(d[p], r[p]) for (d, r), p in zip(surfaces, picks, strict=True)])
        )
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(difference_of_sides(values), float(low), float(high), n)


def difference_of_sides(values: Sequence[float]) -> float:
    """Return the first value, minus the second if there is one."""
    return values[0] if len(values) == 1 else values[0] - values[1]


def can_be_fitted(side: Sequence[Point]) -> bool:
    """Return True if both hyperparameters are positive, and they and the metric take several values."""
    return all(len({point[i] for point in side}) > 1 for i in range(3)) and min(min(p[:2]) for p in side) > 0


def surface(side: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the full fit (trials, 6), the interaction last, and the ranks of the metrics."""
    import numpy as np
    from scipy.stats import rankdata

    x, y = (scaled([math.log(point[i]) for point in side]) for i in (0, 1))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1), rankdata([point[2] for point in side])


def scaled(values: Sequence[float]) -> np.ndarray:
    """Scale values from [minimum, maximum] to [-1, 1]."""
    import numpy as np

    least, greatest = min(values), max(values)
    return 2 * (np.asarray(values) - least) / (greatest - least) - 1


def separability_of(design: np.ndarray, ranks: np.ndarray) -> float:
    """Return the separability; nan if the surface is flat."""
    total = float(((ranks - ranks.mean()) ** 2).sum())
    additive, full = residual_sum(design[:, :-1], ranks), residual_sum(design, ranks)
    explained = total - full
    return 1.0 - max(0.0, additive - full) / explained if explained > 1e-9 * max(total, 1.0) else math.nan


def residual_sum(design: np.ndarray, ranks: np.ndarray) -> float:
    """Return the residual sum of squares of a least-squares fit."""
    import numpy as np

    fitted = design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    return float(((ranks - fitted) ** 2).sum())
