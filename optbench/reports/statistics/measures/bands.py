"""The mean of several seeds' curves, with their minimum and maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def band(curves: Sequence[tuple[ArrayLike, ArrayLike]]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (steps, mean, minimum, maximum) of curves, each (steps, values) with increasing steps.

    The steps are those of the longest curve, where every curve has begun and none has ended; the others are
    interpolated linearly there. A curve ends at its first value that is not finite. Raises ValueError for no curves."""
    import numpy as np

    if not curves:
        raise ValueError("a band needs a curve")
    clean = [
        until_nonfinite(np.asarray(steps, dtype=float), np.asarray(values, dtype=float)) for steps, values in curves
    ]
    clean = [curve for curve in clean if len(curve[0])]
    if not clean:
        empty = np.zeros(0)
        return empty, empty, empty, empty
    grid = max((steps for steps, _ in clean), key=len)
    low, high = max(steps[0] for steps, _ in clean), min(steps[-1] for steps, _ in clean)
    grid = grid[(grid >= low) & (grid <= high)]
    values = np.stack([np.interp(grid, steps, series) for steps, series in clean])
    return grid, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def until_nonfinite(steps: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return a curve up to its first value that is not finite."""
    import numpy as np

    nonfinite = np.flatnonzero(~np.isfinite(values))
    end = int(nonfinite[0]) if len(nonfinite) else len(values)
    return steps[:end], values[:end]
