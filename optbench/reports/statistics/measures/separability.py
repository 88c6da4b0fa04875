"""Whether two hyperparameters can be tuned one after the other: separability of the metric's surface, 0 to 1.

Ranks of the trials' metrics are fitted by least squares over x and y, the logarithms scaled to [-1, 1]:
r = c + a x + b y + d x^2 + e y^2 (additive), and with f x y beside (full). separability = 1 - (S_additive - S_full) /
(S_total - S_full): the share of what the full surface explains that needs no interaction. 1: the best y is the same
for every x, and the axes of the heat map are those of its ridge; 0: all of it lies along a diagonal.

Ranks, as a few diverged trials would otherwise be the whole surface; equal metrics share their mean rank."""

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
    """The number, with a percentile bootstrap over trials; None for fewer than twelve trials, or where they do not
    vary."""
    return summary([points], level)


def separability_difference(a: Sequence[Point], b: Sequence[Point], level: float = 0.95) -> Estimate:
    """That of a minus that of b. Trial i of both is the same point of the unit cube where both have as many, and is
    then drawn for both."""
    return summary([a, b], level)


def summary(sides: Sequence[Sequence[Point]], level: float) -> Estimate:
    """The first side's number, minus the second's where there is one."""
    import numpy as np

    n = min(map(len, sides))
    if n < LEAST_TRIALS or not all(varies(side) for side in sides):
        return Estimate(None, n=n)
    surfaces = [surface(side) for side in sides]
    values = [share(design, ranks) for design, ranks in surfaces]
    random, drawn = np.random.default_rng(SEED), []
    for _ in range(DRAWS):
        picks = [random.integers(len(side), size=len(side)) for side in sides]
        picks = [picks[0] if len(pick) == len(picks[0]) else pick for pick in picks]
        drawn.append(signed([share(d[p], r[p]) for (d, r), p in zip(surfaces, picks, strict=True)]))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(signed(values), float(low), float(high), n)


def signed(values: Sequence[float]) -> float:
    """The first, minus the second where there is one."""
    return values[0] if len(values) == 1 else values[0] - values[1]


def varies(side: Sequence[Point]) -> bool:
    """Whether both hyperparameters and the metric take several values."""
    return all(len({point[i] for point in side}) > 1 for i in range(3)) and min(min(p[:2]) for p in side) > 0


def surface(side: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the full fit (trials, 6), the interaction last, and the ranks of the metrics."""
    import numpy as np
    from scipy.stats import rankdata

    x, y = (scaled([math.log(point[i]) for point in side]) for i in (0, 1))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1), rankdata([point[2] for point in side])


def scaled(values: Sequence[float]) -> np.ndarray:
    """From [least, greatest] to [-1, 1]."""
    import numpy as np

    least, greatest = min(values), max(values)
    return 2 * (np.asarray(values) - least) / (greatest - least) - 1


def share(design: np.ndarray, ranks: np.ndarray) -> float:
    """The separability; nan where the surface is flat."""
    total = float(((ranks - ranks.mean()) ** 2).sum())
    additive, full = rest(design[:, :-1], ranks), rest(design, ranks)
    explained = total - full
    return 1.0 - max(0.0, additive - full) / explained if explained > 1e-9 * max(total, 1.0) else math.nan


def rest(design: np.ndarray, ranks: np.ndarray) -> float:
    """Sum of squares that a least-squares fit leaves."""
    import numpy as np

    fitted = design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    return float(((ranks - fitted) ** 2).sum())
