"""The mean of several seeds' curves, with the least and the greatest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def band(curves: Sequence[tuple[Any, Any]]) -> tuple[Any, Any, Any, Any]:
    """(steps, mean, least, greatest) of curves, each (steps, values) with increasing steps.

    The steps are those of the longest curve that lie where every curve has begun and none has ended; each curve is read
    there by linear interpolation, never beyond its ends. Values that are not finite end a curve where the first of them
    is. Raises ValueError for no curves."""
    import numpy as np

    if not curves:
        raise ValueError("a band needs a curve")
    calm = [until_strange(np.asarray(steps, dtype=float), np.asarray(values, dtype=float)) for steps, values in curves]
    calm = [curve for curve in calm if len(curve[0])]
    if not calm:
        empty = np.zeros(0)
        return empty, empty, empty, empty
    grid = max((steps for steps, _ in calm), key=len)
    low, high = max(steps[0] for steps, _ in calm), min(steps[-1] for steps, _ in calm)
    grid = grid[(grid >= low) & (grid <= high)]
    values = np.stack([np.interp(grid, steps, series) for steps, series in calm])
    return grid, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def until_strange(steps: Any, values: Any) -> tuple[Any, Any]:
    """A curve up to its first value that is not finite."""
    import numpy as np

    strange = np.flatnonzero(~np.isfinite(values))
    end = int(strange[0]) if len(strange) else len(values)
    return steps[:end], values[:end]
