"""Signals to a sweep: the first asks workers for checkpoints, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the number of the signal that asked this process to stop, or 0."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    try:
        before = {number: signal.signal(number, receive) for number in SIGNALS}
    except ValueError:  # not the main thread: its owner handles signals
        yield lambda: 0
        return
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ignoring_interrupts(on: bool = True) -> Iterator[None]:
    """Start processes that ignore Ctrl-C, even while they import: their parent stops them."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if on else None
    except ValueError:  # not the main thread
        before = None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
