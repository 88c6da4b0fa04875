"""Reports of failures between ranks: the error that a failing rank leaves for the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

from torch import distributed as dist
from torch.distributed.distributed_c10d import Store

from optbench.errors import OptbenchError, RankLost, first_line, from_plain, to_plain
from optbench.files import parse_json

FAILURE_KEY = "optbench/failure"  # in the store
REPORT_SECONDS = 3.0  # a report may arrive this long after the connection is lost


class FailureReports:
    """The first error of any rank, as JSON in the store that all ranks share."""

    def __init__(self, rank: int, world_size: int, store: Store) -> None:
        self.rank, self.world_size, self.store = rank, world_size, store
        self.lost_helper: Callable[[], str] = lambda: ""
        """Returns how a helper process ended, or "" while all are running; set by the process that started them."""

    def write(self, error: BaseException) -> None:
        """Store this rank's error, if it is the first."""
        own = to_plain(error) if isinstance(error, OptbenchError) else None
        other = f"rank {self.rank}: {type(error).__name__}: {first_line(error)}"
        try:
            self.store.compare_set(FAILURE_KEY, "", json.dumps({"own": own, "other": other}))
        except Exception:  # the store is gone, and rank 0 with it
            return

    def explain(self, error: BaseException) -> Exception:
        """Return the reason for a failed collective: the error that a rank reported, or RankLost."""
        deadline = time.monotonic() + REPORT_SECONDS
        while True:
            lost, reported = self.lost_helper(), self._read()
            if reported is not None:
                return reported
            if lost or time.monotonic() > deadline:
                message = lost or f"another of the {self.world_size} ranks is gone ({first_line(error)[-80:]})"
                return RankLost(message, "Run the same command again to resume from the last checkpoint")
            time.sleep(0.05)

    def is_reported(self) -> bool:
        """Return True if a rank has reported an error."""
        return self._read() is not None

    def _read(self) -> Exception | None:
        """Return the stored error. It is data alone: whoever reaches the store may have written it."""
        try:
            if not self.store.check([FAILURE_KEY]):
                return None
            report = parse_json(self.store.get(FAILURE_KEY))
        except Exception:  # the store is gone, or the report is incomplete
            return None
        if not isinstance(report, dict):
            return None
        own, other = report.get("own"), report.get("other")
        with suppress(ValueError):
            return from_plain(own)
        return RuntimeError(other) if isinstance(other, str) else None


def is_communication_error(error: RuntimeError) -> bool:
    """Return True if torch's communication raised the error; gloo's errors have no type of their own."""
    return isinstance(error, dist.DistError) or "gloo/" in str(error) or "Connection closed by peer" in str(error)
