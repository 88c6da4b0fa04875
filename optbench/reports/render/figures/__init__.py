"""Pictures of a report for papers and repositories: PNG and SVG, drawn by matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optbench.reports.model.content import Report, Workload

HASHES = ".drawn.json"  # of what each picture was drawn from, in the folder of the pictures


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Draw every figure that has something to show as FOLDER/WORKLOAD-KIND.png and .svg; one whose data have not
    changed since is left as it is. Those of an earlier report that are not drawn any more are removed.

    Raises StorageError where the folder cannot be written."""
    from optbench.reports.render.figures.drawing import LOOK
    from optbench.store import explained, write_atomically

    looks = looks_of(report)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        before, now = drawn_before(folder), {}
        for name, kind, data in wanted(report):
            now[name] = hashlib.sha256(repr((LOOK, kind, data, looks)).encode()).hexdigest()
            files = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
            if before.get(name) != now[name] or not all(file.exists() for file in files):
                draw(kind, data, looks, files)
        for name in before.keys() - now.keys():
            for ending in ("png", "svg"):
                (folder / f"{name}.{ending}").unlink(missing_ok=True)
        if now != before:
            write_atomically(folder / HASHES, lambda out: out.write(json.dumps(now, indent=1).encode()))
    return [folder / f"{name}.{ending}" for name in now for ending in ("png", "svg")]


def wanted(report: Report) -> Iterator[tuple[str, str, Any]]:
    """(name, kind, data) of every figure that has something to show."""
    from optbench.reports.render.markdown import ACROSS, starts

    for start, workload in zip(starts(report.workloads), report.workloads, strict=True):
        for kind, data in of_workload(workload):
            yield f"{start}-{kind}", kind, data
    for kind, data in of_all(report):
        yield f"{ACROSS}-{kind}", kind, data


def of_all(report: Report) -> Iterator[tuple[str, Any]]:
    """(kind, data) of the figures that are of no single workload."""
    from optbench.reports.render.figures.claim import drawable

    if report.claim and drawable(report.claim):
        yield "claim", report.claim
    if report.across and any(score.iqm.value is not None for score in report.across.scores):
        yield "standings", report.across
    if report.across and report.across.profiles:
        yield "profiles", report.across.profiles


def of_workload(workload: Workload) -> Iterator[tuple[str, Any]]:
    """(kind, data) of a workload's figures."""
    from optbench.reports.render.figures.heat import maps

    on = workload.headline.partition("_")[0]
    metric = f"{on} {workload.metric}"
    rows = [(row.contender, row.test if on == "test" else row.val, row.values) for row in workload.rows]
    if any(estimate.value is not None for _, estimate, _ in rows):
        yield "leaderboard", (metric, workload.direction, rows)
    for column in dict.fromkeys(band.column for band in workload.bands):
        bands = [band for band in workload.bands if band.column == column]
        target = workload.target if column == "val_metric" else None
        yield f"{column.replace('_', '-')}", (label_of(column, workload.metric), column, target, bands)
    if any(len(curve.trials) > 1 for curve in workload.budget_curves):
        yield "tuning-budget", (f"expected best validation {workload.metric}", workload.budget_curves)
    if any(sensitivity.x for sensitivity in workload.sensitivity):
        yield "sensitivity", (f"validation {workload.metric}", workload.direction, workload.sensitivity)
    if two := maps(workload.sensitivity):
        yield "heat-maps", (f"validation {workload.metric}", workload.direction, two)
    if workload.ladder:
        yield "ladder", (metric, on, workload.ladder)
    if any(row.seconds for row in workload.resources):
        yield "time", [(row.contender, dict(row.seconds)) for row in workload.resources]
    if any(row.state_bytes is not None for row in workload.resources):
        yield "memory", [(row.contender, row.state_bytes, row.parameter_bytes) for row in workload.resources]
    if any(point.quality is not None and point.train_seconds is not None for point in workload.pareto):
        yield "trade-offs", (metric, workload.pareto)


def label_of(column: str, metric: str) -> str:
    """An axis's words for a column."""
    return f"validation {metric}" if column == "val_metric" else column.replace("val_", "validation ").replace("_", " ")


def draw(kind: str, data: Any, looks: dict[str, int], files: list[Path]) -> None:
    """One figure into its files."""
    from optbench.reports.render.figures import drawing
    from optbench.reports.render.figures.claim import forest
    from optbench.reports.render.figures.heat import heat
    from optbench.reports.render.figures.standings import standings
    from optbench.store import write_atomically

    kinds = {**drawing.FIGURES, "claim": forest, "heat-maps": heat, "standings": standings}
    with drawing.style():
        figure = kinds.get(kind, drawing.curves)(data, looks)
        for file in files:
            write_atomically(file, lambda out, file=file: drawing.save(figure, out, file.suffix[1:]))


def looks_of(report: Report) -> dict[str, int]:
    """A place for each contender, by name: its look in every figure, and the same as in the HTML page."""
    from optbench.reports.render.html.palette import palette

    return {name: place for place, name in enumerate(palette(report).names)}


def drawn_before(folder: Path) -> dict[str, str]:
    """What the pictures in a folder were drawn from."""
    try:
        found = json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
