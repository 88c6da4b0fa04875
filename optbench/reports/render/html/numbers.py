"""Numbers for readers: as many digits as the interval warrants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optbench.reports.model.content import Estimate
from optbench.reports.render.html.tags import DASH, MINUS, Number, escape, tag

MISSING = DASH
DIGITS = 4  # of a number without an interval
LARGE = 1e7  # from here on as powers of ten
POWERS = ("B", "KiB", "MiB", "GiB", "TiB")


def decimals(estimate: Estimate) -> int | None:
    """Decimal places that show two digits of half the interval's width; None without an interval. May be negative."""
    if estimate.low is None or estimate.high is None:
        return None
    half = (estimate.high - estimate.low) / 2
    return 1 - math.floor(math.log10(half)) if half > 0 and math.isfinite(half) else None


def fixed(value: float | None, places: int | None) -> str:
    """A number to so many decimal places; without a count, or where there would be too many, to four digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    if places is None or places > 6:
        return short(value)
    if abs(value) >= LARGE:
        return power(value, max(2, math.floor(math.log10(abs(value))) + 1 + places))
    value = round(value, places)
    return signed(f"{abs(value):,.{max(0, places)}f}", value)


def short(value: float | None, digits: int = DIGITS) -> str:
    """A number to so many significant digits, thousands parted, powers of ten where it is very large or small."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not 1e-4 <= abs(value) < LARGE:
        mantissa, exponent = power(value, digits).split("e")
        return f"{stripped(mantissa)}e{exponent}"
    size = math.floor(math.log10(abs(value))) if value else 0
    text = f"{abs(value):,.{max(0, digits - 1 - size)}f}"
    return signed(stripped(text), value)


def power(value: float, digits: int) -> str:
    """A number with a power of ten: 1.20e9."""
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    return signed(f"{mantissa}e{int(exponent)}", value)


def stripped(text: str) -> str:
    """Without zeros at the end that say nothing."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(text: str, value: float) -> str:
    """The digits with a true minus sign; a zero has none."""
    return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text


def value_of(estimate: Estimate) -> str:
    """The number alone."""
    return fixed(estimate.value, decimals(estimate))


def interval_of(estimate: Estimate) -> str:
    """The interval alone, empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    places = decimals(estimate)
    return f"[{fixed(estimate.low, places)}, {fixed(estimate.high, places)}]"


def estimate(of: Estimate) -> Number:
    """A number with its interval behind it, for a cell."""
    behind = interval_of(of)
    shown = value_of(of)
    return Number(escape(shown) if not behind or of.value is None else f"{escape(shown)} {tag('small', behind)}")


def number(value: float | None, digits: int = DIGITS) -> Number:
    """A number without an interval, for a cell."""
    return Number(escape(short(value, digits)))


def probability(p: float | None) -> Number:
    """A p-value."""
    if p is None:
        return Number(MISSING)
    return Number("&lt; 0.001" if p < 0.001 else escape(short(p, 2)))


def size(count: float | None) -> Number:
    """Bytes."""
    if count is None:
        return Number(MISSING)
    power = min(len(POWERS) - 1, int(math.log(count, 1024))) if count >= 1 else 0
    return Number(escape(f"{short(count / 1024**power, 3)} {POWERS[power]}"))


def values(of: Mapping[str, Any]) -> str:
    """Hyperparameters: key=value."""
    return ", ".join(f"{key}={short(v) if isinstance(v, float) else v}" for key, v in of.items())
