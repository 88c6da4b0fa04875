"""SIGINT and SIGTERM during a run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object] | int | None


class StopSignals:
    """The first signal asks for a checkpoint and a stop after the step; the second stops at once.

    While a file is written, the second waits until it is complete, and the third stops at once."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        """The numbers of the signals that arrived while this object handled them."""
        self._writing = False
        self._before: dict[int, Handler] = {}

    @property
    def first(self) -> int:
        """The first signal; 0 if there was none."""
        return self.heard[0] if self.heard else 0

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals inside the block; in another thread than the main one, leave them to their owner."""
        try:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._receive)
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a second signal wait for the end of the block. `stop_if_twice` then acts on it."""
        if self._writing:
            yield
            return
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def stop_if_twice(self) -> None:
        """Raise KeyboardInterrupt if a second signal has waited."""
        if len(self.heard) > 1:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)
        if len(self.heard) < (3 if self._writing else 2):
            return
        signal.signal(number, self._before[number])  # this one alone: the other may be waiting for its handler
        signal.raise_signal(number)
