"""Parts that figures and tables along an axis share."""

from __future__ import annotations

from optbench.reports.model.axes import Axis
from optbench.reports.model.figure import FigureAxis

MODEL = "model."


def x_axis(of: Axis) -> FigureAxis:
    """Return the axis of the values, for a key of the model with its parameters."""
    sizes = [point.parameters for point in of.points if point.parameters] if of.key.startswith(MODEL) else []
    words = f" ({size_text(min(sizes))} to {size_text(max(sizes))} parameters)" if sizes else ""
    whole = all(value.is_integer() for value in of.values)
    ticks = tuple(int(value) for value in of.values) if whole else ()
    return FigureAxis(of.words + words, log=min(of.values) > 0, ticks=ticks)


def size_text(count: int) -> str:
    """Write a number of parameters: 33k, 2.1M."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.2g}{letter}" if count < 100 * unit else f"{count / unit:.0f}{letter}"
    return str(count)


def head(of: Axis, value: float) -> str:
    """Return the title of a value's column, for a key of the model with its parameters."""
    sizes = [point.parameters for point in of.points if point.value == value and point.parameters]
    return f"{value:g}, {size_text(sizes[0])} parameters" if sizes and of.key.startswith(MODEL) else f"{value:g}"
