"""Plain values of configuration keys: as numbers, as text, and compared."""

from __future__ import annotations

import math

from optbench.config.trees import is_list


def as_typed(value: object) -> str:
    """Return a value as typed in an override."""
    if is_list(value):
        return f"[{','.join(map(as_typed, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def shown(text: object, limit: int = 80) -> str:
    """Return text fit for a one-line message: printable, shortened."""
    line = "".join(c if c.isprintable() else "?" for c in str(text))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def as_number(value: object) -> float | None:
    """Return a finite number, also from text such as "1e-3", which YAML 1.1 takes for a string; None for the rest."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an int too large for a float
        return None
    return number if math.isfinite(number) else None


def same(a: object, b: object) -> bool:
    """Return True for equal values of a key: 512 and "512", 1e-3 and "0.001", true and "true"."""
    left, right = as_number(a), as_number(b)
    if left is not None and right is not None:
        return left == right
    return as_typed(a).lower() == as_typed(b).lower()
