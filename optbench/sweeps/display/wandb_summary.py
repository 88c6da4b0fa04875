"""A sweep's summary in W&B: one run of the study's group, with a table of the cells.

Like every tracker it is a mirror: what goes wrong here is told, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optbench.records import Record
    from optbench.sweeps.scheduler.scheduler import Conductor

STAGE = "summary"
OF_A_CELL = ("cell", "metric", "direction", "steps", "evaluated_samples", "trials", "failed", "pruned", "tune_score")
SPREADS = ("final_val", "final_test")
OF_A_SPREAD = ("n", "mean", "half_width", "min", "max")
OF_A_STUDY = ("study", "protocol", "sampler", "pruner", "trials", "tune_seeds", "seeds")


def track(conductor: Conductor, tree: Mapping[str, Any]) -> None:
    """Show the study's summary, if this sweep has run anything and its runs were tracked."""
    tracked = [run.config for run in conductor.planned_runs if tracker_of(conductor, run.config.tracker) != "none"]
    if not tracked or not conductor.ran:
        return
    from optbench.trackers.background import Background

    sink = Background(Summary(conductor.folder, tracked[0].wandb_project))
    sink.start(tree)
    sink.finish(tree)


def tracker_of(conductor: Conductor, asked: str) -> str:
    """The tracker that a run has had."""
    return conductor.tracker if conductor.tracker and asked == "auto" else asked


class Summary:
    """A Sink of one W&B run; what it is told is a summary (summary.tree_of)."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory, self.project = directory, project
        self.run: Any = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin the W&B run, or take up that of an earlier sweep of the study."""
        from optbench.trackers.wandb import begun

        self.run = begun(self.directory, lambda mode: self._begin(run, mode))

    def _begin(self, tree: Mapping[str, Any], mode: str) -> Any:
        import wandb

        from optbench.trackers.wandb import quiet, settings

        with quiet():
            return wandb.init(
                project=self.project,
                dir=str(self.directory),
                mode=mode,
                id=f"{tree['study']}-{STAGE}",
                name=f"{tree['study']} {STAGE}",
                resume="allow",
                group=tree["study"],
                job_type=STAGE,
                config={key: tree[key] for key in OF_A_STUDY},
                settings=settings(),
            )

    def log(self, record: Record) -> None:
        """A summary has no records."""

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Log the table and the values, and end the W&B run."""
        if self.run is None or result is None:
            return
        import wandb

        from optbench.trackers.wandb import quiet

        columns, rows = table(result)
        self.run.log({"cells": wandb.Table(columns=columns, data=rows)})
        self.run.summary.update(values(result))
        with quiet():
            self.run.finish()


def table(tree: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: what is known of every cell, numbers as numbers."""
    cells = [flat(cell) for cell in tree["cells"]]
    columns = list(dict.fromkeys(key for cell in cells for key in cell))
    texts = {key for key in columns if not all(is_number(cell.get(key)) for cell in cells)}
    return columns, [[shown(cell.get(key), key in texts) for key in columns] for cell in cells]


def flat(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One cell, its intervals and best values side by side."""
    spreads = {f"{name}_{key}": (cell[name] or {}).get(key) for name in SPREADS for key in OF_A_SPREAD}
    edges = ", ".join(f"{key} {side}" for key, side in cell["edges"])
    return {**{key: cell[key] for key in OF_A_CELL}, **spreads, "edges": edges, **(cell["best"] or {})}


def is_number(value: Any) -> bool:
    """Whether a value can stand in a column of numbers; an absent one can."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def shown(value: Any, as_text: bool) -> Any:
    """A value of a column; of a column of texts, as a text."""
    if value is None or not as_text:
        return value
    return value if isinstance(value, str) else json.dumps(value)


def values(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values for W&B's tables of runs: counts, and the final mean of every cell."""
    found = {"runs": tree["runs"]["planned"], **{f"runs_{key}": n for key, n in tree["statuses"].items()}}
    for cell in tree["cells"]:
        for name in SPREADS:
            if cell[name]:
                found[f"{cell['cell']}/{name}"] = cell[name]["mean"]
    return found
