"""The values that a metric can take, and the least noise that follows from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

SHARE, POSITIVE, DECADES, REAL = "share", "positive", "decades", "real"
MOST_SAMPLES = 100_000  # larger shares look like any number
SAME = 1e-15  # a quotient of two integers in double precision is closer to the fraction
RESOLUTION = 2.0**-23  # of single precision, relative


@dataclass(frozen=True)
class Scale:
    """The values of a metric in its own unit."""

    kind: str = REAL
    """share, positive, decades or real; see contracts.MetricScale."""
    samples: int | None = None
    """Samples behind one value of a share."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return {SHARE: (0.0, 1.0), REAL: (-math.inf, math.inf)}.get(self.kind, (0.0, math.inf))

    def least_sd(self, mean: float) -> float:
        """Return the least standard deviation of one run about this mean: the binomial noise of a share.

        Shares of 0 and 1 have noise too: two successes and two failures are added (Agresti and Coull, 1998)."""
        if self.kind != SHARE or not self.samples:
            return 0.0
        share = (mean * self.samples + 2) / (self.samples + 4)
        return math.sqrt(share * (1 - share) / self.samples)

    def clip(self, value: float) -> float:
        """Return the nearest possible value."""
        low, high = self.bounds
        return min(max(value, low), high)


def scale_of(kind: str | None, samples: Iterable[int | None], values: Sequence[float]) -> Scale:
    """Return the scale of a metric; the least known number of samples, else the one that the values show."""
    if kind != SHARE:
        return Scale(kind or REAL)
    return Scale(SHARE, min((n for n in samples if n), default=samples_behind(values)))


def samples_behind(values: Iterable[float]) -> int | None:
    """Return the least n for which every value is a whole number over n, None if there is none up to 100,000."""
    n = 1
    for value in values:
        share = Fraction(value).limit_denominator(MOST_SAMPLES)
        n = math.lcm(n, share.denominator)
        if n > MOST_SAMPLES or abs(share - Fraction(value)) > SAME:
            return None
    return n if n > 1 else None


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of two or more values; at least the resolution of single precision."""
    return max(statistics.stdev(values), RESOLUTION * abs(statistics.fmean(values)))
