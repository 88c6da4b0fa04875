"""The one picture of a published claim: the kind that its first criterion is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optbench.report.content import Claim, Report

USUAL = ("leaderboard",)
KINDS = {  # by measure, the first that there is something to show for
    "trial_sd": ("sensitivity", "tuning-budget"),
    "lr_sensitivity": ("sensitivity",),
    "separability": ("sensitivity",),
    "diverged_share": ("sensitivity", "tuning-budget"),
    "steps_to_target": ("ladder", "val-metric"),
    "seconds_to_target": ("ladder", "val-metric"),
    "train_seconds": ("time",),
    "wall_seconds": ("time",),
    "optimizer_seconds": ("time",),
    "step_ms": ("time",),
    "samples_per_second": ("time",),
    "state_bytes": ("memory",),
    "peak_bytes": ("memory",),
}


def draw(report: Report, claim: Claim, file: Path) -> str:
    """Draw it; what it shows, in words, or nothing where there is none. Where a criterion is on one workload, of that
    one."""
    from optbench.report import figures
    from optbench.store import explained

    first = claim.criteria[0] if claim.criteria else None
    kinds = (*KINDS.get(first.measure if first else "", ()), *USUAL)
    places = [one.where for one in first.evidence] if first else []
    workloads = sorted(report.workloads, key=lambda w: not any(place.startswith(w.name) for place in places))
    for kind in kinds:
        for workload in workloads:
            found = dict(figures.of_workload(workload))
            if kind in found:
                with explained(file):
                    figures.draw(kind, found[kind], figures.looks_of(report), [file])
                return f"{workload.name}: {kind.replace('-', ' ')}"
    return ""
