"""Words of the notices about a user's data."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 3  # names in a list, at most


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 file" or "3 files"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def some(names: Sequence[str]) -> str:
    """Return the first names of a list: "a, b, c, ..."."""
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
