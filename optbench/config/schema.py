"""The grammar of `about.valid` in the YAML files: the values that a configuration key may have.

    spec        = ["list "] alternative {"|" alternative}
    alternative = "null" | "bool" | "str" | "any" | ["int "] interval | word
    interval    = ("[" | "(") number "," number ("]" | ")")        with inf and -inf for "no bound"

A list is checked element by element, or is null where its default is; without "list " it keeps the length of its
default. A key without a spec takes the type of its default. No number may be nan, and infinite only where a spec has
the word "inf" or "-inf", as that of an infinite default has: the value is that word.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TypeGuard

from optbench.config.trees import is_list

INFINITE = "inf | -inf | (-inf, inf)"
"""The spec of a number that may be infinite."""
INTERVAL = re.compile(r"^(int )?\s*([\[(])\s*([^,]+),\s*([^\])]+)([\])])$")


def conform(value: object, spec: str | None, default: object) -> object:
    """Return `value` in its canonical type (steps=1e3 becomes 1000, lr=1 becomes 1.0).

    Raises ValueError whose text says what is expected."""
    if spec is None and is_same(value, default):
        return list(value) if is_list(value) else value  # a list may mix types
    spec = spec if spec is not None else spec_of(default)
    alternatives = spec.removeprefix("list ")
    if spec.startswith("list "):
        if value is None and default is None:
            return None
        if not is_list(value):
            raise ValueError(f"expected a list of {describe(alternatives)}, e.g. [a,b]")
        return [conform_scalar(item, alternatives) for item in value]
    if is_list(default) and value is not None:
        if not is_list(value) or len(value) != len(default):
            raise ValueError(f"expected a list of {len(default)} values, e.g. {str(list(default)).replace(' ', '')}")
        return [conform_scalar(item, alternatives) for item in value]
    return conform_scalar(value, alternatives)


def is_same(value: object, default: object) -> bool:
    """Return True for a plain value that is the default in every type, and of finite numbers."""
    if is_list(value) and is_list(default):
        return len(value) == len(default) and all(map(is_same, value, default))
    finite = not isinstance(value, float) or math.isfinite(value)
    plain = isinstance(value, (bool, int, float, str))
    return plain and type(value) is type(default) and value == default and finite


def conform_scalar(value: object, alternatives: str) -> object:
    """Return `value` as the first alternative that takes it. ValueError names all of them if none does."""
    for alternative in split_alternatives(alternatives):
        try:
            return conform_to(value, alternative)
        except ValueError:
            continue
    raise ValueError(f"expected {describe(alternatives)}")


def conform_to(value: object, alternative: str) -> object:
    """Return `value` as this one alternative, or raise ValueError."""
    interval = INTERVAL.match(alternative)
    if interval:
        return number_within(value, *interval.groups())
    if alternative == "any" and (value is None or isinstance(value, (str, bool, int)) or is_number(value)):
        return value
    if alternative == "null" and value is None:
        return None
    if alternative == "bool" and isinstance(value, bool):
        return value
    if alternative == "str" and isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    if str(value) == alternative and (isinstance(value, str) or (isinstance(value, float) and math.isinf(value))):
        return alternative
    raise ValueError(alternative)


def number_within(value: object, integer: str | None, left: str, low: str, high: str, right: str) -> float | int:
    """Return `value` as a number inside the interval, an int if `integer`; else raise ValueError."""
    if not is_number(value):
        raise ValueError("not a number")
    if integer and value != int(value):
        raise ValueError("not a whole number")
    above = value >= float(low) if left == "[" else value > float(low)
    below = value <= float(high) if right == "]" else value < float(high)
    if not (above and below):
        raise ValueError("outside the interval")
    return int(value) if integer else float(value)


def check_spec(spec: str) -> None:
    """Raise ValueError for a spec with an interval whose bounds are no numbers, or with a word that nobody can type."""
    for alternative in split_alternatives(spec.removeprefix("list ")):
        interval = INTERVAL.match(alternative)
        if interval:
            _ = float(interval[3]), float(interval[4])
        elif set(alternative) & set("[](),") or not alternative.isprintable():
            raise ValueError(alternative)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return True for finite ints and floats, but not for bools and ints too large for a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)


def spec_of(default: object) -> str:
    """Return the spec that a default's type implies."""
    if is_list(default):
        return spec_of(default[0]) if default else "list any"
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, int):
        return "int (-inf, inf)"
    if isinstance(default, float):
        return INFINITE if math.isinf(default) else "(-inf, inf)"
    return "str" if isinstance(default, str) else "any"


@functools.lru_cache(maxsize=1024)
def split_alternatives(spec: str) -> tuple[str, ...]:
    """Return the alternatives of a spec, stripped."""
    return tuple(part.strip() for part in spec.split("|"))


def literals(spec: str | None, default: object) -> list[str]:
    """Return the words that a key takes, as typed: "null | auto | int [1, inf)" gives null and auto."""
    words: list[str] = []
    for alternative in split_alternatives((spec or spec_of(default)).removeprefix("list ")):
        if alternative == "bool":
            words += ["true", "false"]
        elif alternative not in ("str", "any") and not INTERVAL.match(alternative):
            words.append(alternative)
    return [] if words == ["null"] else words


def describe(spec: str) -> str:
    """Return a spec in words: "int [1, inf)" reads "a whole number in [1, inf)"."""
    words = {"null": "null", "bool": "true or false", "str": "text", "any": "a plain value"}
    parts: list[str] = []
    for part in split_alternatives(spec):
        interval = INTERVAL.match(part)
        if interval:
            kind = "a whole number" if interval.group(1) else "a number"
            bounds = part.removeprefix("int ").strip()
            parts.append(kind if bounds == "(-inf, inf)" else f"{kind} in {bounds}")
        else:
            parts.append(words.get(part, f"'{part}'"))
    return " or ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " or " + parts[-1]
