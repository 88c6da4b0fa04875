"""The summary of a sweep in W&B: one run of the study's group, with a table of the cells.

Like every tracker it is a mirror: its failures are logged and change nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config.trackers import AUTO_TRACKER, WANDB, names_of
from optbench.contracts import Sink
from optbench.sessions.sinks import resolved

if TYPE_CHECKING:
    import wandb

    from optbench.records import Record
    from optbench.sweeps.scheduler.scheduler import Scheduler

STAGE = "summary"
CELL_KEYS = ("cell", "metric", "direction", "steps", "evaluated_samples", "trials", "failed", "pruned", "tune_score")
SPREADS = ("final_val", "final_test")
SPREAD_KEYS = ("n", "mean", "half_width", "min", "max")
STUDY_KEYS = ("study", "protocol", "sampler", "pruner", "trials", "tune_seeds", "seeds")
Summary = Mapping[str, Any]
"""The result of summary.summary_of."""


def track(scheduler: Scheduler, summary: Summary) -> None:
    """Log the summary if this sweep has run anything and its runs were tracked."""
    runs = scheduler.planned_runs
    tracked = [run.config for run in runs if WANDB in names_of(tracker_of(scheduler, run.config.tracker))]
    if not tracked or not scheduler.ran:
        return
    from optbench.trackers.background import BackgroundSink

    sink = BackgroundSink(SummarySink(scheduler.folder, tracked[0].wandb_project))
    sink.start(summary)
    sink.finish(summary)


def tracker_of(scheduler: Scheduler, configured: str) -> str:
    """Return the tracker that a run had."""
    return scheduler.tracker if scheduler.tracker and configured == AUTO_TRACKER else resolved(configured)


class SummarySink(Sink):
    """A Sink of one W&B run that takes a summary in place of a run's documents."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory, self.project = directory, project
        self.run: Any = None

    def start(self, run: Summary) -> None:
        """Begin the W&B run, or resume that of an earlier sweep of the study."""
        from optbench.trackers.wandb import start_run

        self.run = start_run(self.directory, lambda mode: self._begin(run, mode))

    def _begin(self, summary: Summary, mode: Any) -> wandb.Run:
        import wandb

        from optbench.trackers.wandb import quiet, settings

        with quiet():
            return wandb.init(
                project=self.project,
                dir=str(self.directory),
                mode=mode,
                id=f"{summary['study']}-{STAGE}",
                name=f"{summary['study']} {STAGE}",
                resume="allow",
                group=summary["study"],
                job_type=STAGE,
                config={key: summary[key] for key in STUDY_KEYS},
                settings=settings(),
            )

    def log(self, record: Record) -> None:
        """Do nothing: a summary has no records."""

    def finish(self, result: Summary | None) -> None:
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


def table(summary: Summary) -> tuple[list[str | int], list[Any]]:
    """Return columns and rows with everything about the cells; a column holds either numbers or texts."""
    cells = [flat(cell) for cell in summary["cells"]]
    columns: list[str | int] = list(dict.fromkeys(key for cell in cells for key in cell))
    texts = {key for key in columns if not all(is_number(cell.get(key)) for cell in cells)}
    return columns, [[entry(cell.get(key), key in texts) for key in columns] for cell in cells]


def flat(cell: Summary) -> dict[str | int, object]:
    """Return one cell, with its intervals and best values as keys of their own."""
    spreads = {f"{name}_{key}": (cell[name] or {}).get(key) for name in SPREADS for key in SPREAD_KEYS}
    edges = ", ".join(f"{key} {side}" for key, side in cell["edges"])
    return {**{key: cell[key] for key in CELL_KEYS}, **spreads, "edges": edges, **(cell["best"] or {})}


def is_number(value: object) -> bool:
    """Return True if a value fits a column of numbers; a missing one does."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def entry(value: object, as_text: bool) -> object:
    """Return a value of a column, as text in a column of texts."""
    if value is None or not as_text:
        return value
    return value if isinstance(value, str) else json.dumps(value)


def values(summary: Summary) -> dict[str, float]:
    """Return single values for W&B's tables of runs: counts, and the final mean of every cell."""
    found = {"runs": summary["runs"]["planned"], **{f"runs_{key}": n for key, n in summary["statuses"].items()}}
    for cell in summary["cells"]:
        for name in SPREADS:
            if cell[name]:
                found[f"{cell['cell']}/{name}"] = cell[name]["mean"]
    return found
