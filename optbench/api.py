"""optbench from Python: `optbench.run` and `optbench.results`.

Nothing is printed, and errors are raised as `optbench.errors.OptbenchError`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.reports.model.numbers import counted
from optbench.store import results_root

if TYPE_CHECKING:
    import polars

    from optbench.reports.read.reading import Results

logging.getLogger("optbench").addHandler(logging.NullHandler())


def run(
    overrides: Sequence[str] = (),
    *,
    study: str = "runs",
    results_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train once, like `optbench run` with the same overrides: resume an interrupted run, read a finished one.

    Return result.json with the run's `folder` beside it. A run that diverges or fails is a result too: see `status`.
    Raise ConfigError, MissingError (a dependency, data or a device), Interrupted (checkpoint written)."""
    from optbench.config import Composition
    from optbench.sessions.execute import execute
    from optbench.sessions.sinks import sinks_for
    from optbench.store import check_study

    check_study(study)
    config = Composition(list(overrides), Path(config_dir) if config_dir else None).run_config()
    sinks = sinks_for(config, progress=False)
    ended = execute(config, results_root(results_dir), study=study, force=force, sinks=sinks)
    return {**ended.result, "folder": str(ended.folder)}


@dataclass(frozen=True)
class Frames:
    """The runs and records of a results folder, as tables."""

    read: Results

    @property
    def runs(self) -> polars.DataFrame:
        """A row for each run; the columns are those of `optbench.reports.read.columns`."""
        from optbench.reports.read.frames import runs_frame

        return runs_frame(self.read.runs)

    def records(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """Return a row for each record, with its run_id; `optbench list columns` explains the columns.

        `columns`: read only these, which is faster. NaN: not finite; null: not measured."""
        wanted = None if columns is None else tuple(dict.fromkeys(("run_id", *columns)))
        return self.read.records(columns=wanted)[0]

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(path, reason) of what could not be read."""
        return self.read.skipped

    def __repr__(self) -> str:
        runs, studies = len(self.read.runs), len({run["study"] for run in self.read.runs})
        return f"<{counted(runs, 'run')} of {counted(studies, 'study', 'studies')}>"


def results(path: str | Path | None = None) -> Frames:
    """Return the runs and records of a study's folder, or of every study below a results folder.

    Default: $OPTBENCH_RESULTS_DIR or ./results. Raise NoResultsError if there are no runs."""
    from optbench.reports.read.reading import read

    return Frames(read(results_root(path)))
