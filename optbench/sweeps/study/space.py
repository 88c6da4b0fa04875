"""The search box of a cell: its dimensions, and the values at points of the unit cube."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optbench.config import Dimension
from optbench.config.dimensions import one_minus, spec_of_dimension

DIGITS = 4  # significant digits of a searched value: precise enough, and short enough to retype


@dataclass(frozen=True)
class Box:
    """The searched dimensions, in the order of a point's coordinates."""

    dimensions: tuple[Dimension, ...]

    def __len__(self) -> int:
        return len(self.dimensions)

    def at(self, point: Sequence[float]) -> dict[str, object]:
        """Return the value of every key at a point of [0, 1)^d; extra coordinates are ignored."""
        return {d.key: value_at(d, u) for d, u in zip(self.dimensions, point, strict=False)}

    def edges(self, values: Mapping[str, Any], share: float) -> list[tuple[str, str]]:
        """Return (key, "low" | "high") for every interval with a value in its outermost `share`, or beyond it."""
        found = []
        for dimension in self.dimensions:
            value = values[dimension.key]
            if dimension.values or not isinstance(value, (int, float)):  # an optimizer's own value may be none
                continue
            u = position(dimension, value)
            if u < share or u > 1 - share:
                found.append((dimension.key, "low" if u < share else "high"))
        return found

    def beyond(self, edges: Sequence[tuple[str, str]], share: float = 0.5) -> Box:
        """Return the box beyond these edges: `share` of an interval wide, on the interval's own scale."""
        side = dict(edges)
        return Box(tuple(neighbour(d, side[d.key], share) if d.key in side else d for d in self.dimensions))

    def joined(self, other: Box) -> Box:
        """Return the smallest box around both; the keys must be the same."""
        pairs = zip(self.dimensions, other.dimensions, strict=True)
        return Box(
            tuple(a if a.values else replace(a, low=min(a.low, b.low), high=max(a.high, b.high)) for a, b in pairs)
        )

    def as_dict(self) -> dict[str, str]:
        """Return the interval or values of every key as text."""
        return {d.key: spec_of_dimension(d) for d in self.dimensions}


def value_at(dimension: Dimension, u: float) -> Any:
    """Return the value at coordinate u in [0, 1)."""
    if dimension.values:
        return dimension.values[min(int(u * len(dimension.values)), len(dimension.values) - 1)]
    if dimension.integer:
        count = int(dimension.high) - int(dimension.low) + 1
        if not dimension.log:
            return int(dimension.low) + min(int(u * count), count - 1)
        low, high = math.log(dimension.low - 0.5), math.log(dimension.high + 0.5)
        return min(max(round(math.exp(low + u * (high - low))), int(dimension.low)), int(dimension.high))
    low, high = on_scale(dimension, dimension.low), on_scale(dimension, dimension.high)
    return off_scale(dimension, low + u * (high - low))


def on_scale(dimension: Dimension, value: float) -> float:
    """Return a value as a number on the dimension's own scale, on which its points are spread evenly."""
    if dimension.one_minus:
        return -math.log(1.0 - value)
    return math.log(value) if dimension.log else value


def off_scale(dimension: Dimension, at: float) -> float:
    """Return the value at a number on the dimension's scale, rounded; the inverse of `on_scale`."""
    if dimension.one_minus:
        return one_minus(rounded(math.exp(-at)))
    return rounded(math.exp(at) if dimension.log else at)


def rounded(value: float) -> float:
    """Return the value to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def position(dimension: Dimension, value: float) -> float:
    """Return the coordinate of a value; the inverse of `value_at`. Minus infinity for what a logarithm excludes."""
    if (dimension.log and value <= 0) or (dimension.one_minus and value >= 1):
        return -math.inf if dimension.log else math.inf
    low, high = on_scale(dimension, dimension.low), on_scale(dimension, dimension.high)
    return (on_scale(dimension, value) - low) / (high - low)


def width(dimension: Dimension) -> float:
    """Return the width of an interval on its own scale."""
    return on_scale(dimension, dimension.high) - on_scale(dimension, dimension.low)


def neighbour(dimension: Dimension, side: str, share: float = 0.5) -> Dimension:
    """Return the interval beyond one side of a dimension, with whole bounds for whole numbers.

    Where nothing lies beyond (whole numbers below 1 on a logarithmic scale), return the dimension itself."""
    low, high = dimension.low, dimension.high
    if dimension.one_minus:
        step = width(dimension) * share
        ends = on_scale(dimension, low) - step, on_scale(dimension, high) + step
        new = (off_scale(dimension, ends[0]), low) if side == "low" else (high, off_scale(dimension, ends[1]))
        return replace(dimension, low=new[0], high=new[1])
    if dimension.log:
        step = (high / low) ** share
        new = (low / step, low) if side == "low" else (high, high * step)
    else:
        step = (high - low) * share
        new = (low - step, low) if side == "low" else (high, high + step)
    if not dimension.integer:
        return replace(dimension, low=rounded(new[0]), high=rounded(new[1]))
    least, most = math.floor(new[0]), math.ceil(new[1])
    least = max(least, 1) if dimension.log else least
    return replace(dimension, low=float(least), high=float(most)) if least < most else dimension
