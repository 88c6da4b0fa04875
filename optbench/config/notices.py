"""Notices about the user's data and model: log lines that a process prints once, however many runs meet them."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

_said: set[str] = set()
_listeners: list[Callable[[str], None]] = []


def say_once(message: str) -> None:
    """Log a message, and pass it to the listeners, unless this process has done so."""
    if message not in _said:
        _said.add(message)
        log.info(message)
        for listener in _listeners:
            listener(message)


def listen(listener: Callable[[str], None]) -> None:
    """Call a function with every further notice of this process."""
    _listeners.append(listener)
