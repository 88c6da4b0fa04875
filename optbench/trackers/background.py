"""A sink on its own thread, so that tracking can neither stop nor slow down a run.

The training thread waits a moment for each record, so that the work normally happens in the logging phase and not
during timed phases. A slower sink falls behind and catches up later; nothing is dropped. Errors are counted and
reported once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from optbench.contracts import Sink
from optbench.errors import first_line
from optbench.records import Record

log = logging.getLogger(__name__)

LOG_SECONDS = 0.02  # the longest wait for a record
START_SECONDS = 10.0  # the longest wait before the first step
FINISH_SECONDS = 30.0  # the longest wait at the end


class BackgroundSink(Sink):
    """A Sink that passes every call to another sink on a daemon thread."""

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
        self.errors = 0
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], threading.Event] | None] = queue.SimpleQueue()
        self._behind: threading.Event | None = None
        self._thread = threading.Thread(target=self._work, name="optbench-tracker", daemon=True)
        self._thread.start()

    def start(self, run: Mapping[str, object]) -> None:
        """Start the sink; wait at most `start_seconds`."""
        self._pass_on(lambda: self.sink.start(run), self.start_seconds)

    def log(self, record: Record) -> None:
        """Pass a record on; wait only while the sink keeps up."""
        late = self._behind is not None and not self._behind.is_set()
        self._pass_on(lambda: self.sink.log(record), 0.0 if late else self.log_seconds)

    def finish(self, result: Mapping[str, object] | None) -> None:
        """Finish the sink; log a message and abandon it if it takes longer than `finish_seconds`."""
        began = time.monotonic()
        self._pass_on(lambda: self.sink.finish(result), self.finish_seconds)
        self._calls.put(None)
        self._thread.join(max(0.0, self.finish_seconds - (time.monotonic() - began)))
        if self._thread.is_alive():
            log.warning(f"the tracker did not finish within {self.finish_seconds:g} s; the stored results are complete")
        if self.errors > 1:
            log.warning(f"the tracker failed {self.errors} times; the stored results are complete")

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
                self.errors += 1
                if self.errors == 1:
                    log.warning(f"the tracker failed ({type(error).__name__}: {first_line(error)}); the run continues")
            finally:
                done.set()
