"""What is searched: an interval or a list of values of a key, and its form in YAML files.

log [1e-5, 1e-2]           on a logarithmic scale
[0, 1]                     on a linear scale
int [1, 8]                 of whole numbers
1 - log [1e-3, 1e-1]       1 minus a number on a logarithmic scale: from 0.9 to 0.999, for decay rates
{0.9, 0.95, 0.98}          one of these values

A key may be one element of a list: betas.1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from optbench.config.values import shown
from optbench.errors import ConfigError

INTERVAL = re.compile(r"(?P<kinds>(?:(?:log|int)\s*)*|1\s*-\s*log\s*)\[(?P<low>[^,\]]+),(?P<high>[^,\]]+)\]")
LIST = re.compile(r"\{(?P<values>[^{}]+)\}")
HINT = 'Intervals look like "log [1e-5, 1e-2]" or "[0, 1]"'


@dataclass(frozen=True)
class Dimension:
    """A key that is searched: an interval, or a list of values."""

    key: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    integer: bool = False
    values: tuple[float, ...] = ()
    one_minus: bool = False
    """The scale is logarithmic in 1 - value; `low` and `high` are still bounds of the value."""


def checked(dimension: Dimension, text: str) -> Dimension:
    """Return the dimension. Raises ConfigError for an interval that cannot be searched."""
    low, high = dimension.low, dimension.high
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{shown(text)}: an interval needs two finite bounds")
    if dimension.integer and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{shown(text)}: an interval of whole numbers needs whole bounds")
    if low == high:
        raise ConfigError(f"{shown(text)}: the bounds are equal", f"To fix the value: {dimension.key}={low:g}")
    if low > high:
        raise ConfigError(f"{shown(text)}: the lower bound is the larger one", f"Say interval({high:g},{low:g})")
    if dimension.log and low <= 0:
        raise ConfigError(f"{shown(text)}: a logarithmic interval must be above zero", "Start at e.g. 1e-5")
    if dimension.one_minus and high >= 1:
        raise ConfigError(f"{shown(text)}: a logarithmic interval of 1 - value must end below 1", "e.g. at 0.999")
    return dimension


def dimension_of_spec(key: str, spec: str) -> Dimension:
    """Return a searched interval or list as YAML files state it. Raises ConfigError for another text."""
    text = f'{key}: "{spec}"'
    listed, interval = LIST.fullmatch(spec.strip()), INTERVAL.fullmatch(spec.strip())
    try:
        if listed:
            return listed_dimension(key, [number(part) for part in listed["values"].split(",")], text)
        if not interval:
            raise ConfigError(f"{text}: not an interval", HINT)
        low, high = float(interval["low"]), float(interval["high"])
    except ValueError:
        raise ConfigError(f"{text}: its bounds are not numbers") from None
    kinds = interval["kinds"].split()
    if interval["kinds"].startswith("1"):
        return checked(Dimension(key, one_minus(high), one_minus(low), one_minus=True), text)
    return checked(Dimension(key, low, high, "log" in kinds, "int" in kinds), text)


def listed_dimension(key: str, values: list[float], text: str) -> Dimension:
    """Return a list of values as a dimension, sorted. Raises ConfigError for a value that is given twice."""
    if len(set(values)) < len(values):
        raise ConfigError(f"{shown(text)}: a value is given twice")
    if not all(map(math.isfinite, values)):
        raise ConfigError(f"{shown(text)}: not all are finite numbers")
    return Dimension(key, values=tuple(sorted(values)))


def number(text: str) -> float:
    """Return a number, an int where it is written as one. Raises ValueError for other text."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def one_minus(value: float) -> float:
    """Return 1 - value without the digits that are rounding: 0.999 for 1e-3."""
    return round(1.0 - value, 12)


def spec_of_dimension(dimension: Dimension) -> str:
    """Return a dimension as YAML files write it; the inverse of `dimension_of_spec`."""
    if dimension.values:
        return "{" + ", ".join(map(str, dimension.values)) + "}"
    low, high = dimension.low, dimension.high
    if dimension.one_minus:
        return f"1 - log [{one_minus(high):g}, {one_minus(low):g}]"
    kinds = [kind for kind, on in (("log", dimension.log), ("int", dimension.integer)) if on]
    return " ".join([*kinds, f"[{low:g}, {high:g}]"])
