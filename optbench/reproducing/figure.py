"""The pictures of a published claim: its evidence, and the runs behind its first criterion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optbench.reports.model.content import Claim, Report

EVIDENCE, BEHIND = "figure.png", "runs.png"
USUAL = ("leaderboard",)
KINDS = {  # by measure, the first that there is something to show for
    "trial_sd": ("sensitivity", "tuning-budget"),
    "lr_sensitivity": ("sensitivity",),
    "separability": ("heat-maps", "sensitivity"),
    "diverged_share": ("sensitivity", "tuning-budget"),
    "iqm": ("standings",),
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


def draw(report: Report, claim: Claim, asked: Any, folder: Path) -> list[tuple[Path, str]]:
    """Draw them: the files, each with what it shows. `asked`: `claim:` of the study file. Raises StorageError."""
    from optbench.reports.render import figures
    from optbench.store import explained

    looks = figures.looks_of(report)
    together = dict(figures.of_all(report))
    wanted: list[tuple[str, str, str, Any]] = []
    if "claim" in together:
        wanted.append((EVIDENCE, "the claim's criteria", "claim", together["claim"]))
    behind = runs_of(report, claim, asked, together)
    if behind is not None:
        wanted.append((BEHIND, *behind))
    with explained(folder):
        for name in (EVIDENCE, BEHIND):
            (folder / name).unlink(missing_ok=True)
        for name, _, kind, data in wanted:
            figures.draw(kind, data, looks, [folder / name])
    return [(folder / name, words) for name, words, _, _ in wanted]


def runs_of(report: Report, claim: Claim, asked: Any, together: Mapping[str, Any]) -> tuple[str, str, Any] | None:
    """(words, kind, data) of the first figure there is of those that suit the claim's first criterion. Where it is on
    one workload, of that one."""
    from optbench.reports.render import figures

    first = claim.criteria[0] if claim.criteria else None
    places = [one.where for one in first.evidence] if first else []
    workloads = sorted(report.workloads, key=lambda w: not any(place.startswith(w.name) for place in places))
    for kind in (*kinds_of(first.measure if first else "", asked), *USUAL):
        if kind in together:
            return f"all workloads: {kind.replace('-', ' ')}", kind, together[kind]
        for workload in workloads:
            found = dict(figures.of_workload(workload))
            if kind in found:
                return f"{workload.name}: {kind.replace('-', ' ')}", kind, found[kind]
    return None


def kinds_of(measure: str, asked: Any) -> Iterator[str]:
    """The kinds of figures that show a measure; the ladder, where a criterion names budgets."""
    criteria = asked if isinstance(asked, list) else [asked]
    sides = [side for one in criteria if isinstance(one, Mapping) for side in (one.get("of"), one.get("against"))]
    if any(isinstance(side, Mapping) and "budget" in side for side in sides):
        yield "ladder"
    yield from KINDS.get(measure, ())
