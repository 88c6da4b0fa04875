"""Memory and speed of contenders, relative to one of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from optbench.records import BUSY_SHARE
from optbench.reports.model.content import Estimate, Resources
from optbench.reports.statistics.intervals import mean_interval, ratio_interval

Run = Mapping[str, Any]
"""A row of the table of runs."""


def resources(
    contender: str, runs: Sequence[Run], reference: Sequence[Run], level: float = 0.95, *, times: bool = True
) -> Resources:
    """Return the resources of a contender's final runs, relative to the reference's. `times`: False leaves times
    out."""
    state, parameters, peak = (largest(runs, name) for name in ("state_bytes", "parameter_bytes", "peak_bytes"))
    speed = known(runs, "samples_per_second") if times else []
    return Resources(
        contender=contender,
        state_bytes=state,
        parameter_bytes=parameters,
        state_per_parameter=state / parameters if state is not None and parameters else None,
        peak_bytes=peak,
        step_ms=mean_interval(known(runs, "step_ms_median") if times else [], level),
        samples_per_second=mean_interval(speed, level),
        relative_speed=relative(speed, known(reference, "samples_per_second"), level),
        seconds=phases(runs) if times else {},
        shared_device=any(run["shared"] or (run["core_wait_share"] or 0.0) > BUSY_SHARE for run in runs),
    )


def relative(speed: Sequence[float], reference: Sequence[float], level: float) -> Estimate:
    """Return the ratio of speeds; without an interval for single runs and for the reference itself."""
    if not speed or not reference:
        return Estimate(None)
    if speed == reference:
        return Estimate(1.0, n=len(speed))
    return ratio_interval(speed, reference, level)


def known(runs: Sequence[Run], column: str) -> list[float]:
    """Return the positive values of a column."""
    return [run[column] for run in runs if run[column] is not None and run[column] > 0]


def largest(runs: Sequence[Run], column: str) -> int | None:
    """Return the greatest value: what a machine must have."""
    values = [run[column] for run in runs if run[column] is not None]
    return int(max(values)) if values else None


def phases(runs: Sequence[Run]) -> dict[str, float]:
    """Return mean seconds of a run by phase, in the order of the first run's phases."""
    names = dict.fromkeys(phase for run in runs for phase in run["seconds"] or {})
    return {phase: statistics.fmean((run["seconds"] or {}).get(phase) or 0.0 for run in runs) for phase in names}
