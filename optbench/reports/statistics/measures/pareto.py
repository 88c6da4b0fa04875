"""Which contenders no other one beats in quality, time and memory at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.reports.model.content import ParetoPoint

Point = tuple[str, float | None, float | None, float | None]


def pareto(points: Sequence[Point], direction: str) -> tuple[ParetoPoint, ...]:
    """(contender, quality, train_seconds, state_bytes) as points, in their order; more of the last two is worse.

    A point is on the front where no other one is at least as good in all three and better in one. A point with a value
    that is not known is not on the front, and beats none. Where no point has a time (or a size), the others decide; a
    quality is always asked for."""
    sign = 1.0 if direction == "max" else -1.0
    measured = [True, *(any(point[i] is not None for point in points) for i in (2, 3))]

    def costs(point: Point) -> tuple[float, ...] | None:
        quality, seconds, size = point[1:]
        row = [(-sign * quality if quality is not None else None), seconds, size]
        kept = [value for value, there in zip(row, measured, strict=True) if there]
        return None if any(value is None or math.isnan(value) for value in kept) else tuple(map(float, kept))  # type: ignore[arg-type]

    rows = [costs(point) for point in points]
    return tuple(
        ParetoPoint(*point, front=row is not None and not any(other and beats(other, row) for other in rows))
        for point, row in zip(points, rows, strict=True)
    )


def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether a costs no more than b in anything, and less in something."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b
