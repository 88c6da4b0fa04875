"""Corrections for many comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return Holm's (1979) adjusted p-values, in the order given; None is not a test and does not count.

    The share of families with any false rejection stays below the level."""
    order = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    worst = 0.0
    for place, (p, index) in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - place) * p))
        adjusted[index] = worst
    return adjusted
