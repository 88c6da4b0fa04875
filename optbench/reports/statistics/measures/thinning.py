"""Curves with fewer points, and every spike."""

from __future__ import annotations

from typing import Any


def thin(values: Any, points: int = 1000) -> Any:
    """Indices, increasing, of at most `points` of the values (a sequence of floats; nan and infinity are values too).

    The first and the last are kept, and of each of equal stretches between them the least, the greatest and one value
    that is not finite where there is one: what stands out is never hidden."""
    import numpy as np

    series = np.asarray(values, dtype=float)
    n = len(series)
    if n <= max(points, 5):
        return np.arange(n)
    buckets = (points - 2) // 3
    if buckets < 1:
        buckets = 1
    edges = np.linspace(1, n - 1, buckets + 1).astype(int)
    finite = np.isfinite(series)
    owner = np.searchsorted(edges, np.arange(1, n - 1), side="right") - 1
    inner = np.arange(1, n - 1)
    kept = [0, n - 1]
    calm = finite[1:-1]
    for keys in (series[1:-1], -series[1:-1]):
        kept += firsts(owner[calm], keys[calm], inner[calm])
    kept += firsts(owner[~calm], np.zeros(int((~calm).sum())), inner[~calm])
    return np.unique(np.asarray(kept, dtype=int))


def firsts(owner: Any, keys: Any, indices: Any) -> list[int]:
    """Of each owner the index with the least key."""
    import numpy as np

    order = np.lexsort((indices, keys, owner))
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = owner[order][1:] != owner[order][:-1]
    return indices[order][starts].tolist()
