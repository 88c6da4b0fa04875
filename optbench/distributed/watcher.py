"""A thread that frees a rank from a collective which can no longer end.

On NCCL a collective waits inside the device's stream. If another rank is lost, it waits for hours, and so does whoever
reads a result of it. On gloo the operation itself raises an error, and no watcher is needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from torch.distributed import distributed_c10d

WATCH_SECONDS = 1.0  # between two looks
GRACE_SECONDS = 5.0  # for the rank's own error, which says more; reports take REPORT_SECONDS
ASYNC_ERRORS = "TORCH_NCCL_ASYNC_ERROR_HANDLING"


class Watcher:
    """Looks for a lost rank until it is stopped; then calls `abort`, once."""

    def __init__(self, is_lost: Callable[[], bool], abort: Callable[[], None]) -> None:
        self._is_lost, self._abort = is_lost, abort
        self._stopped = threading.Event()
        self.has_aborted = False
        """True once the group is aborted: from then on, what a collective returns is not to be used."""
        self._thread = threading.Thread(target=self._watch, name="optbench-watcher", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(WATCH_SECONDS):
            if self._is_lost():
                if not self._stopped.wait(GRACE_SECONDS):
                    self.has_aborted = True  # before anybody is freed
                    self._abort()
                return

    def stop(self) -> None:
        """End the thread; wait for an abort that has begun."""
        self._stopped.set()
        self._thread.join()


def allow_abort() -> None:
    """Leave errors of NCCL to the watcher: torch's own watchdog would end the process when the group is aborted.

    Call it before the group is made. The user's own setting wins."""
    os.environ.setdefault(ASYNC_ERRORS, "0")


def abort_group() -> None:
    """Abort every collective of this process; blocked ones end with values that mean nothing."""
    distributed_c10d._abort_process_group()  # torch has no public name
