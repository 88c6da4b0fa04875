"""Numbers for readers: as many digits as the interval warrants."""

from __future__ import annotations

import math

from optbench.reports.model.rows import Estimate

DASH, MINUS, TIMES = "\u2013", "\u2212", "\u00d7"
MISSING = DASH
DIGITS = 4  # of a number without an interval
LARGE = 1e7  # from here on as powers of ten
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def decimals(estimate: Estimate) -> int | None:
    """Return the decimal places that show two digits of half the interval's width; None without an interval. May be
    negative."""
    if estimate.low is None or estimate.high is None:
        return None
    half = (estimate.high - estimate.low) / 2
    return 1 - math.floor(math.log10(half)) if half > 0 and math.isfinite(half) else None


def fixed(value: float | None, places: int | None) -> str:
    """Write a number to so many decimal places; to four digits for None, or where there would be too many."""
    if value is None or not math.isfinite(value):
        return MISSING
    if places is None or places > 6:
        return short(value)
    if abs(value) >= LARGE:
        return power(value, max(2, math.floor(math.log10(abs(value))) + 1 + places))
    value = round(value, places)
    return signed(f"{abs(value):,.{max(0, places)}f}", value)


def short(value: float | None, digits: int = DIGITS) -> str:
    """Write a number to so many significant digits, with powers of ten where it is very large or small."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not 1e-4 <= abs(value) < LARGE:
        mantissa, exponent = power(value, digits).split("e")
        return f"{stripped(mantissa)}e{exponent}"
    size = math.floor(math.log10(abs(value))) if value else 0
    text = f"{abs(value):,.{max(0, digits - 1 - size)}f}"
    return signed(stripped(text), value)


def power(value: float, digits: int) -> str:
    """Write a number with a power of ten: 1.20e9."""
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    return signed(f"{mantissa}e{int(exponent)}", value)


def stripped(text: str) -> str:
    """Return a number without the zeros that end its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(text: str, value: float) -> str:
    """Return the digits with a true minus sign; zero has none."""
    return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text


def value_text(estimate: Estimate) -> str:
    """Write the value alone."""
    return fixed(estimate.value, decimals(estimate))


def interval_text(estimate: Estimate) -> str:
    """Write the interval alone; empty where there is none."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    places = decimals(estimate)
    return f"[{fixed(estimate.low, places)}, {fixed(estimate.high, places)}]"


def estimate_text(estimate: Estimate) -> str:
    """Write the value with its interval."""
    return f"{value_text(estimate)} {interval_text(estimate)}".strip()


def bounded_text(estimate: Estimate, bound: str = "") -> str:
    """Write a ratio that may be a bound, with its interval of two or more values, whose ends may be open."""
    if estimate.value is None:
        return MISSING
    low, high = estimate.low, estimate.high
    ends = ", ".join("open" if end is None else short(end, 3) for end in (low, high))
    value = short(estimate.value, 3)
    return f"{bound} {value}{f' [{ends}]' if estimate.n > 1 else ''}".strip()


def p_text(p: float | None) -> str:
    """Write a p-value."""
    return "< 0.001" if p is not None and p < 0.001 else short(p, 2)


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number of things: 1 run, 2 runs."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def bytes_text(count: float | None) -> str:
    """Write a number of bytes."""
    if count is None:
        return MISSING
    step = min(len(UNITS) - 1, int(math.log(count, 1024))) if count >= 1 else 0
    return f"{short(count / 1024**step, 3)} {UNITS[step]}"
