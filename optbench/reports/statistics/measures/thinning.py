"""Thin curves without losing spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def thin(values: ArrayLike, points: int = 1000) -> NDArray[np.intp]:
    """Return increasing indices of at most `points` of the values; nan and infinity are values too.

    Keeps the first and the last, and from each of equal stretches in between the minimum, the maximum and one value
    that is not finite, if there is one."""
    import numpy as np

    series = np.asarray(values, dtype=float)
    n = len(series)
    if n <= max(points, 5):
        return np.arange(n)
    buckets = max(1, (points - 2) // 3)
    edges = np.linspace(1, n - 1, buckets + 1).astype(int)
    finite = np.isfinite(series)
    bucket = np.searchsorted(edges, np.arange(1, n - 1), side="right") - 1
    inner = np.arange(1, n - 1)
    kept = [0, n - 1]
    inner_finite = finite[1:-1]
    for keys in (series[1:-1], -series[1:-1]):
        kept += first_of_each(bucket[inner_finite], keys[inner_finite], inner[inner_finite])
    kept += first_of_each(bucket[~inner_finite], np.zeros(int((~inner_finite).sum())), inner[~inner_finite])
    return np.unique(np.asarray(kept, dtype=int))


def first_of_each(bucket: NDArray[np.intp], keys: NDArray[np.float64], indices: NDArray[np.intp]) -> list[int]:
    """Return the index with the smallest key of each bucket."""
    import numpy as np

    order = np.lexsort((indices, keys, bucket))
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = bucket[order][1:] != bucket[order][:-1]
    return indices[order][starts].tolist()
