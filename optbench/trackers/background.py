"""Tracking that can never stop or slow a run: a sink on a thread of its own.

The training thread waits a moment for each record to be handled, so that the work normally happens in the logging phase
and not beside the timed ones; a sink that takes longer is left behind and catches up. Nothing is dropped. Faults are
counted and reported once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from optbench.contracts import Sink
from optbench.errors import first_line
from optbench.records import Record

log = logging.getLogger(__name__)

LOG_SECONDS = 0.02  # the longest wait for a record
START_SECONDS = 10.0  # the longest wait before the first step
FINISH_SECONDS = 30.0  # the longest wait at the end


class Background(Sink):
    """A Sink that passes every call to another on a daemon thread."""

    def __init__(
        self,
        sink: Sink,
        *,
        start_seconds: float = START_SECONDS,
        log_seconds: float = LOG_SECONDS,
        finish_seconds: float = FINISH_SECONDS,
    ) -> None:
        self.sink = sink
        self.start_seconds, self.log_seconds, self.finish_seconds = start_seconds, log_seconds, finish_seconds
        self.faults = 0
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], threading.Event] | None] = queue.SimpleQueue()
        self._behind: threading.Event | None = None
        self._thread = threading.Thread(target=self._work, name="optbench-tracker", daemon=True)
        self._thread.start()

    def start(self, run: Mapping[str, Any]) -> None:
        """Start the sink; waits for it at most `start_seconds`."""
        self._pass_on(lambda: self.sink.start(run), self.start_seconds)

    def log(self, record: Record) -> None:
        """Pass a record on; waits only while the sink keeps up."""
        late = self._behind is not None and not self._behind.is_set()
        self._pass_on(lambda: self.sink.log(record), 0.0 if late else self.log_seconds)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Finish the sink; what is not done after `finish_seconds` is abandoned, with a notice."""
        began = time.monotonic()
        self._pass_on(lambda: self.sink.finish(result), self.finish_seconds)
        self._calls.put(None)
        self._thread.join(max(0.0, self.finish_seconds - (time.monotonic() - began)))
        if self._thread.is_alive():
            log.info(
                f"the tracker did not finish within {self.finish_seconds:g} s and is left; the results are complete"
            )
        if self.faults > 1:
            log.info(f"the tracker failed {self.faults} times; the results are complete")

    def _pass_on(self, call: Callable[[], None], wait_seconds: float) -> None:
        done = threading.Event()
        self._calls.put((call, done))
        self._behind = done
        if wait_seconds:
            done.wait(wait_seconds)

    def _work(self) -> None:
        while (entry := self._calls.get()) is not None:
            call, done = entry
            try:
                call()
            except BaseException as error:  # a tracker may raise anything, SystemExit included
                self.faults += 1
                if self.faults == 1:
                    log.info(f"the tracker failed ({type(error).__name__}: {first_line(error)}); the run goes on")
            finally:
                done.set()
