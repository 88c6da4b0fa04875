"""The Pareto front of contenders by quality, time and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.reports.model.content import ParetoPoint

Point = tuple[str, float | None, float | None, float | None]


def pareto(points: Sequence[Point], direction: str) -> tuple[ParetoPoint, ...]:
    """Return (contender, quality, train_seconds, state_bytes) as points, in their order; less of the last two is
    better.

    A point is on the front if no other is at least as good in everything and better in something. A point with an
    unknown value is not on the front and dominates none. If no point has a time (or a size), the others decide; quality
    is required."""
    sign = 1.0 if direction == "max" else -1.0
    measured = [True, *(any(point[i] is not None for point in points) for i in (2, 3))]

    def costs(point: Point) -> tuple[float, ...] | None:
        quality, seconds, size = point[1:]
        row = [(-sign * quality if quality is not None else None), seconds, size]
        kept = [value for value, there in zip(row, measured, strict=True) if there]
        known = tuple(float(value) for value in kept if value is not None and not math.isnan(value))
        return known if len(known) == len(kept) else None

    rows = [costs(point) for point in points]
    return tuple(
        ParetoPoint(*point, front=row is not None and not any(other and dominates(other, row) for other in rows))
        for point, row in zip(points, rows, strict=True)
    )


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Return True if a costs no more than b in anything, and less in something."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b
