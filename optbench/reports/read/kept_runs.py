"""Which of the runs that were read count: no seed of a contender twice, no half-tuned version that a study gave up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from optbench.reports.read.columns import RunRow
from optbench.reports.read.run_rows import OPEN, PRUNED
from optbench.reports.read.study_file import Cells, planned_runs

Skipped = list[tuple[str, str]]
"""(folder, why it was left out)"""
TUNE = "tune"


def without_repeats(rows: Iterable[RunRow], planned: Mapping[str, bool], skipped: Skipped) -> list[RunRow]:
    """Return the rows without further runs of the same seed of a contender.

    Kept is a run that its study plans, else one that has finished, else the newest."""
    groups: dict[tuple[object, ...], list[RunRow]] = {}
    for row in rows:
        names = (row["workload"], row["contender"], row["budget"] or 1.0)
        groups.setdefault((*names, row["stage"], row["trial"], row["seed"]), []).append(row)
    return [best_of(group, planned, skipped) for group in groups.values()]


def best_of(group: list[RunRow], planned: Mapping[str, bool], skipped: Skipped) -> RunRow:
    """Return the run to keep of one seed, and list the others."""
    best = max(group, key=lambda row: (planned.get(row["run_id"], False), *completeness(row)))
    for row in group:
        if row is not best:
            by_plan = planned.get(best["run_id"]) and not planned.get(row["run_id"])
            why = "the study plans" if by_plan else "is newer" if is_finished(best) == is_finished(row) else "has ended"
            skipped.append((row["folder"], f"the same contender and seed as {best['folder']}, which {why}"))
    return best


def completeness(row: RunRow) -> tuple[bool, float]:
    """Return a sort key: runs that have ended last, of these the newest last."""
    return is_finished(row), started(row)


def is_finished(row: RunRow) -> bool:
    """Return True if a run has a result."""
    return row["status"] not in (OPEN, PRUNED)


def started(row: RunRow) -> float:
    """Return when a run was started, in seconds; 0 if unknown."""
    try:
        return datetime.fromisoformat(row["started_at"] or "").timestamp()
    except ValueError:
        return 0.0


def without_abandoned(rows: list[RunRow], cells: Cells, skipped: Skipped) -> tuple[list[RunRow], dict[str, bool]]:
    """Return the rows without the tuning of a version that its study has left, and which runs the studies plan.

    A study whose data or whose optimizer's file changed plans other runs under the same cell. What it had tuned before
    counts as a version of its own only once it has final runs."""
    plans = {place: planned_runs(cell) for place, cell in cells.items()}
    planned = {row["run_id"]: row["run_id"] in plan for row in rows if (plan := plans.get(place_of(row)))}
    current = {(place_of(row), version_of(row)) for row in rows if planned.get(row["run_id"])}
    places = {place for place, _ in current}
    complete = {(place_of(row), version_of(row)) for row in rows if row["stage"] != TUNE and is_finished(row)}
    kept = []
    for row in rows:
        version = (place_of(row), version_of(row))
        if version[0] in places and version not in current and version not in complete:
            skipped.append((row["folder"], "of other data or another source than its study's runs, without final runs"))
        else:
            kept.append(row)
    return kept, planned


def place_of(row: RunRow) -> tuple[str, str]:
    """Return the study and the cell of a run."""
    return row["study"], row["cell"] or ""


def version_of(row: RunRow) -> tuple[str | None, str | None]:
    """Return what tells the versions of a cell apart."""
    return row["content_sha256"], row["source_sha256"]
