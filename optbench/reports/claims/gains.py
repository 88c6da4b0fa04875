"""The gain of one side of a claim over the other, and the relations that it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from optbench.reports.model.content import Estimate

OPPOSITE = {"worse": "better", "not_better": "not_worse", "worse_by": "better_by"}
TINY = 5e-324  # better by an unknown amount


@dataclass(frozen=True)
class Gain:
    """The interval of a gain, larger is better, with the margin in the same unit."""

    low: float
    high: float
    margin: float


@dataclass(frozen=True)
class Measurement:
    """The result of a measure: the gain's interval, in the measure's unit or as the logarithm of a ratio.

    None: no numbers; `words` say why."""

    words: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """Results on the smaller side."""
    unit: str = "seeds"
    """The unit of `n`: seeds, runs or trials."""
    value: float | None = None
    """The gain itself, where it is known."""
    reach: tuple[float, float] = (-math.inf, math.inf)
    """The least and the greatest gain that the measure's bounds leave possible."""

    def beside(self, base: float | None, bounds: tuple[float, float], sign: float) -> Measurement:
        """Return the same with the reach of a measure between `bounds`, against a side whose value is `base`."""
        if base is None:
            return self
        low, high = sorted(sign * (bound - base) for bound in bounds)
        return replace(self, reach=(low, high))


def relation(word: str, gain: Gain) -> bool | None:
    """Return True if a relation is shown, False if its opposite is, None if neither.

    `better` and `better_by` differ at the margin alone: a gain of just the margin is not better, but better by it."""
    low, high, margin = gain.low, gain.high, gain.margin
    if word in OPPOSITE:
        return relation(OPPOSITE[word], Gain(-high, -low, margin))
    if word == "better_by":
        return True if low >= margin else False if high < margin else None
    if word == "better":
        return True if low > margin else False if high <= margin else None
    if word == "not_worse":
        return True if low >= -margin else False if high < -margin else None
    inside = -margin <= low and high <= margin
    return True if inside else False if low > margin or high < -margin else None


def can_hold(word: str, found: Measurement, margin: float) -> bool:
    """Return False if the measure's bounds rule out a gain as large as a relation asks for."""
    low, high = found.reach
    if word in ("worse", "worse_by"):
        return low < -margin
    return high > margin if word in ("better", "better_by") else True


def of_difference(of: Estimate, sign: float, words: str, n: int, unit: str = "seeds") -> Measurement:
    """Return the gain of the difference of two values. `sign`: 1 if more is better, else -1."""
    if of.value is None or of.low is None or of.high is None:
        return Measurement(f"{words}: no interval", n=n, unit=unit)
    low, high = sorted((sign * of.low, sign * of.high))
    return Measurement(f"{words} {with_interval(of)}", low, high, n, unit, sign * of.value)


def of_ratio(of: Estimate, sign: float, whose: str, n: int, unit: str = "seeds") -> Measurement:
    """Return the gain of the ratio of two values; ends of 0 and infinity: that side has no bound."""
    if of.value is None or of.low is None or of.high is None:
        return Measurement("no interval", n=n, unit=unit)
    low, high = sorted((sign * logarithm(of.low), sign * logarithm(of.high)))
    return Measurement(f"{with_interval(of)} times {whose}", low, high, n, unit, sign * logarithm(of.value))


def logarithm(value: float) -> float:
    """Return the natural logarithm, also of 0 and infinity."""
    return -math.inf if value == 0 else math.log(value)


def with_interval(of: Estimate) -> str:
    """Return a number with its interval as text."""
    ends = (f"{end:.4g}" if end is not None and math.isfinite(end) else "no bound" for end in (of.low, of.high))
    return f"{of.value:.4g} [{', '.join(ends)}]"
