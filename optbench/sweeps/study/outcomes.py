"""Outcomes of runs: the part of result.json that a sweep needs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.records import Status
from optbench.store import read_pruned, read_result, write_json

PRUNED = "pruned"  # ended by the pruner: it has a checkpoint and no result
REFUSED = "refused"  # its configuration cannot be run; nothing is kept
PRUNED_FILE = "pruned.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    run_id: str
    status: str
    reason: str = ""
    metric: str | None = None
    direction: str | None = None
    val: float | None = None
    """The validation metric at the end of the schedule."""
    best_val: float | None = None
    """The best validation metric of all evaluations."""
    test: float | None = None
    wall_seconds: float = 0.0
    resident_bytes: int = 0
    device_bytes: int = 0
    """Peak memory reserved on a CUDA device; 0 on a CPU."""
    resumed_from: tuple[int, ...] = ()
    data_sha256: str | None = None
    """Hash of the samples; None if unknown."""
    unread: tuple[str, ...] = ()
    """Keys of the budget that a training script never read."""

    @property
    def succeeded(self) -> bool:
        """True if the run completed or stopped at its target."""
        return self.status in (Status.COMPLETED, Status.STOPPED_AT_TARGET)

    @property
    def score(self) -> float | None:
        """The validation metric, larger is better; None if the run failed or has none."""
        if not self.succeeded or self.val is None or not math.isfinite(self.val):
            return None
        return self.val if self.direction == "max" else -self.val


def read_outcome(study: Path, run_id: str, *, pruned: bool = True) -> Outcome | None:
    """Return the outcome of a run of the study, or None if it has not ended; `pruned` counts pruned runs as ended."""
    folder = study / run_id
    result = read_result(folder / "result.json")
    if result is not None:
        return outcome_of(result)
    mark = read_pruned(folder / PRUNED_FILE) if pruned else None
    if mark is None:
        return None
    return Outcome(run_id, PRUNED, mark["reason"], mark.get("metric"), mark.get("direction"), mark.get("value"))


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    """Return the outcome that a result.json states."""
    final, best, held = result.get("final") or {}, result.get("best") or {}, result.get("bytes") or {}
    return Outcome(
        run_id=result["run_id"],
        status=result["status"],
        reason=result.get("reason") or "",
        metric=result.get("metric"),
        direction=result.get("direction"),
        val=final.get("val_metric"),
        best_val=best.get("val_metric"),
        test=final.get("test_metric"),
        wall_seconds=result.get("wall_seconds") or 0.0,
        resident_bytes=held.get("resident") or 0,
        device_bytes=held.get("peak_reserved") or 0,
        resumed_from=tuple(result.get("resumed_from_steps") or ()),
        data_sha256=result.get("data_sha256"),
        unread=tuple(result.get("unread") or ()),
    )


def mark_pruned(folder: Path, reason: str, metric: str | None, direction: str | None, value: float | None) -> None:
    """Write down that a run was pruned, so that the same sweep does not resume it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PRUNED_FILE, {"reason": reason, "metric": metric, "direction": direction, "value": value})


def count_failures(outcomes: Iterable[Outcome]) -> int:
    """Return how many runs neither succeeded nor were pruned."""
    return sum(not outcome.succeeded and outcome.status != PRUNED for outcome in outcomes)


def status_counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return the number of runs of each status."""
    order = [*map(str, Status), PRUNED]
    counts = Counter(outcome.status for outcome in outcomes)
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
