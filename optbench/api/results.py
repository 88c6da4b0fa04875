"""`optbench.results`: the runs and records of a results folder, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.api.words import path_of
from optbench.errors import path_errors
from optbench.reports.model.numbers import counted
from optbench.store import results_root

if TYPE_CHECKING:
    import polars

    from optbench.reports.read.reading import Results


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

    def _repr_html_(self) -> str:
        from optbench.api.display import rows_html

        studies: dict[str, list[str]] = {}
        for run in self.read.runs:
            studies.setdefault(run["study"], []).append(run["status"])
        rows = [
            {"study": name, "runs": len(found), **{status: found.count(status) for status in statuses(studies)}}
            for name, found in sorted(studies.items())
        ]
        return rows_html(repr(self)[1:-1], rows)


def statuses(studies: dict[str, list[str]]) -> list[str]:
    """Return every status of some runs, sorted."""
    return sorted({status for found in studies.values() for status in found})


@path_errors()
def results(path: str | Path | None = None) -> Frames:
    """Return the runs and records of a study's folder, or of every study below a results folder.

    Default: $OPTBENCH_RESULTS_DIR or ./results. Raise NoResultsError if there are no runs."""
    from optbench.reports.read.reading import read

    return Frames(read(results_root(path_of("path", path))))
