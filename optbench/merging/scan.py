"""The run folders of a results tree, read as the report reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from optbench.errors import ConfigError, NoResultsError, suggest
from optbench.reports.read.columns import RunRow
from optbench.reports.read.plain_runs import name_plain_runs
from optbench.reports.read.reading import FILES, FIRST_RUN, rows_of, studies_below, study_of
from optbench.reports.read.run_rows import OPEN, PRUNED
from optbench.reports.read.versions import MARK, mark
from optbench.store import check_study, checkpoint_step, read_study

STUDY_FILE = "study.json"
COLUMNS = ("workload", "contender", "cell", "trial_id", "overrides", "status", "data_sha256", "hardware")
COLUMNS += ("optbench_version", "torch_version", "git_commit", "config", "content_sha256")
DAMAGED = "damaged"


@dataclass(frozen=True)
class TreeRun:
    """One run folder in one tree."""

    tree: str
    """The tree, as it was given."""
    study: str
    folder: Path
    row: RunRow | None
    """COLUMNS of the report's row; None: the folder is damaged."""
    damage: str = ""

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def name(self) -> str:
        """STUDY/RUN_ID."""
        return f"{self.study}/{self.run_id}"

    @property
    def status(self) -> str:
        """The status of the run's result, or open, pruned or damaged."""
        return self.row["status"] if self.row is not None else DAMAGED

    @property
    def finished(self) -> bool:
        """True if the run has a result."""
        return self.status not in (OPEN, PRUNED, DAMAGED)

    @property
    def rank(self) -> tuple[int, int]:
        """Sort key of completeness: finished, pruned, open (by the step of its checkpoint), damaged."""
        if self.status == OPEN:
            return 1, checkpoint_step(self.folder)
        return {DAMAGED: 0, PRUNED: 2}.get(self.status, 3), 0


@dataclass(frozen=True)
class Tree:
    """The runs and studies of one results tree."""

    name: str
    runs: tuple[TreeRun, ...]
    folders: Mapping[str, Path]
    """The folder of each study."""


def studies_in(path: Path) -> dict[str, Path]:
    """Return the studies of a results folder by name; of a study's folder, that study.

    Raises NoResultsError for a missing folder and for the folder of a run."""
    if not path.is_dir():
        there = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        hint = suggest(path.name, there, str(path.parent / "{}")) if there else FIRST_RUN
        raise NoResultsError(f"{path}: no such folder", hint)
    if any((path / name).exists() for name in FILES):
        raise NoResultsError(f"{path}: this is the folder of one run", f"Give its study: {path.parent}")
    folder = Path(os.path.abspath(path))
    return {study_name(folder): folder} if is_study(folder) else {study.name: study for study in studies_below(folder)}


def scan(name: str, folders: Mapping[str, Path], on_run: Callable[[], None], skip: Collection[str] = ()) -> Tree:
    """Scan the folders of some studies; `skip`: real paths of runs to leave out."""
    runs = [run for study, folder in folders.items() for run in runs_in(name, study, folder, on_run, skip)]
    return Tree(name, tuple(runs), folders)


def is_study(folder: Path) -> bool:
    """Return True if a folder holds run folders."""
    return any(not file.parent.name.startswith(".") for file in folder.glob("*/run.json"))


def study_name(folder: Path) -> str:
    """Return the name of a study: that in its study.json, as a copied folder may have any name; else the folder's."""
    name = (read_study_file(folder) or {}).get("study")
    try:
        check_study(name if isinstance(name, str) else "")
    except ConfigError:
        return folder.name
    return str(name)


def read_study_file(folder: Path) -> dict[str, object] | None:
    """Return a study's study.json, None if it cannot be read."""
    return read_study(folder / STUDY_FILE)


def runs_in(
    tree: str, study: str, folder: Path, on_run: Callable[[], None], skip: Collection[str]
) -> Iterator[TreeRun]:
    """Yield the runs of a study's folder, the damaged ones last."""
    damaged: list[tuple[str, str]] = []
    for row in rows_of(folder, folder.parent, study_of(folder, folder.parent, []), damaged):
        on_run()
        run_folder = folder.parent / row["folder"]
        if os.path.realpath(run_folder) not in skip:
            yield TreeRun(tree, study, run_folder, short_row(row))
    for path, reason in damaged:
        run_folder = folder.parent / path
        if os.path.realpath(run_folder) not in skip:
            yield TreeRun(tree, study, run_folder, None, reason)


def short_row(row: RunRow) -> RunRow:
    """Return COLUMNS of a row: there may be many thousand. Only plain runs need their configuration."""
    short = {column: row[column] for column in COLUMNS}
    return cast("RunRow", short if row["cell"] is None else short | {"config": None})


def name_workloads(runs: Collection[TreeRun]) -> None:
    """Name the workloads of one study; the names depend on all runs."""
    rows = [run.row for run in runs if run.row is not None]
    name_plain_runs(rows)
    mark(rows, "workload", lambda row: row["content_sha256"], MARK + "{}")
