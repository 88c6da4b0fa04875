"""The numeric axes of a study's workloads: batch_size=32,512 or model.width=32,64,128."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from optbench.config.values import as_number
from optbench.reports.claims.sides import BUDGET, Side, axes_except


def numeric_axes(sides: Sequence[Side]) -> list[str]:
    """Return the keys of the workload that have two numeric values or more where all else is the same."""
    keys = dict.fromkeys(key for side in sides for key in side.axes if key != BUDGET and key not in side.own)
    return [key for key in keys if along(sides, key)]


def along(sides: Sequence[Side], key: str, wanted: Collection[float] = ()) -> list[Side]:
    """Return each contender on workloads that differ in one key as a single side: that of the largest value, named
    without the key, with all of them in `along`, by value.

    `wanted`: only these values, and only contenders that have them all. Contenders with one value are left out."""
    groups: dict[tuple[tuple[str, str], ...], dict[float, Side]] = {}
    for side in sides:
        value = value_of(side, key)
        if value is not None and (not wanted or value in wanted):
            groups.setdefault((*axes_except(side, {key}), ("", side.contender.name)), {})[value] = side
    found = [[group[value] for value in sorted(group)] for group in groups.values()]
    return [joined(group, key) for group in found if len(group) > 1 and len(group) >= len(wanted)]


def value_of(side: Side, key: str) -> float | None:
    """Return a cell's value of an axis as a number; None if it is none, or no axis of the study."""
    return as_number(side.axes.get(key))


def joined(group: Sequence[Side], key: str) -> Side:
    """Return several values of one axis as a side."""
    last = group[-1]
    axes = {name: value for name, value in last.axes.items() if name != key}
    words = [word for word in last.workload.split(" ") if word != f"{key}={last.axes[key]}"]
    return replace(last, axes=axes, workload=" ".join(words), along=tuple(group))
