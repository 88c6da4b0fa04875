"""How much better one side of a claim is than the other, and what that says of a relation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optbench.reports.model.content import Estimate

TURNED = {"worse": "better", "not_better": "not_worse", "worse_by": "better_by"}
TINY = 5e-324  # better, by nobody knows how much


@dataclass(frozen=True)
class Gain:
    """How much better one is than the other on a workload, with its interval; `margin` in the same unit."""

    workload: str
    low: float
    high: float
    margin: float
    words: str


@dataclass(frozen=True)
class Measured:
    """What a measure came to: the gain's interval, larger is better, in the measure's unit or as a logarithm of a
    ratio; None where there are no numbers, and `words` say why."""

    words: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """Results on the smaller side."""
    unit: str = "seeds"
    """What is counted: seeds, runs or trials."""
    value: float | None = None
    """The gain itself, where it is known."""


def relation(word: str, gain: Gain) -> bool | None:
    """Whether a relation is shown (True), its opposite is (False), or neither."""
    low, high, margin = gain.low, gain.high, gain.margin
    if word in TURNED:
        return relation(TURNED[word], Gain(gain.workload, -high, -low, margin, gain.words))
    if word == "better_by":
        return True if low >= margin else False if high < margin else None
    if word == "better":
        return True if low > 0 else False if high <= margin else None
    if word == "not_worse":
        return True if low >= -margin else False if high < -margin else None
    inside = -margin <= low and high <= margin
    return True if inside else False if low > margin or high < -margin else None


def of_difference(of: Estimate, sign: float, words: str, n: int, unit: str = "seeds") -> Measured:
    """From the difference of two values, of one minus the other. `sign`: 1 where more is better, else -1."""
    if of.value is None or of.low is None or of.high is None:
        return Measured(f"{words}: no interval", n=n, unit=unit)
    low, high = sorted((sign * of.low, sign * of.high))
    return Measured(f"{words} {spoken(of)}", low, high, n, unit, sign * of.value)


def of_ratio(of: Estimate, sign: float, whose: str, n: int, unit: str = "seeds") -> Measured:
    """From the ratio of two values; ends of 0 and infinity are such where one side has no bound."""
    if of.value is None or of.low is None or of.high is None:
        return Measured("no interval", n=n, unit=unit)
    low, high = sorted((sign * logarithm(of.low), sign * logarithm(of.high)))
    return Measured(f"{spoken(of)} times {whose}", low, high, n, unit, sign * logarithm(of.value))


def logarithm(value: float) -> float:
    """Natural, also of 0 and infinity."""
    return -math.inf if value == 0 else math.log(value)


def spoken(of: Estimate) -> str:
    """A number with its interval."""
    return f"{of.value:.4g} [{of.low:.4g}, {of.high:.4g}]"
