"""Notices about a user's data: log lines that a process prints once, however many runs read the data."""

from __future__ import annotations

import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)

SHOWN = 3  # names in a list, at most

_said: set[str] = set()


def say_once(message: str) -> None:
    """Log a message unless this process has logged it."""
    if message not in _said:
        _said.add(message)
        log.info(message)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 file" or "3 files"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def some(names: Sequence[str]) -> str:
    """Return the first names of a list: "a, b, c, ..."."""
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
