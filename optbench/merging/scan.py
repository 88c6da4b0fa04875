"""The run folders of a results tree, read as the report reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, NoResultsError, suggest
from optbench.reports.read.plain_runs import name_plain
from optbench.reports.read.reading import FILES, rows_of, studies_below, study_of
from optbench.reports.read.run_rows import OPEN, PRUNED
from optbench.store import check_study, read_json
from optbench.sweeps.scheduler.scheduler import checkpoint_step

STUDY_FILE = "study.json"
COLUMNS = ("workload", "contender", "cell", "trial_id", "overrides", "status", "data_sha256", "hardware")
COLUMNS += ("optbench_version", "torch_version", "git_commit")  # what is kept of a row: there may be many thousand
DAMAGED = "damaged"


@dataclass(frozen=True)
class Held:
    """One run folder in one tree."""

    tree: str
    """The tree, as it was given."""
    study: str
    folder: Path
    row: Mapping[str, Any] | None
    """Some columns of the report's row; None where the folder is damaged."""
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
        """How the run ended; open, pruned or damaged where it did not."""
        return self.row["status"] if self.row is not None else DAMAGED

    @property
    def has_ended(self) -> bool:
        """Whether it has a result."""
        return self.status not in (OPEN, PRUNED, DAMAGED)

    @property
    def rank(self) -> tuple[int, int]:
        """How much is known of the run: ended, pruned, open (by the step of its checkpoint), damaged."""
        if self.status == OPEN:
            return 1, checkpoint_step(self.folder.parent.parent, self.folder.parent.name, self.run_id)
        return {DAMAGED: 0, PRUNED: 2}.get(self.status, 3), 0


@dataclass(frozen=True)
class Tree:
    """What lies in one tree."""

    name: str
    runs: tuple[Held, ...]
    folders: Mapping[str, Path]
    """The folder of each study."""


def studies_in(path: Path) -> dict[str, Path]:
    """The studies of a results folder, or the one whose folder it is, by name. Raises NoResultsError where there is no
    such folder or it is that of one run."""
    if not path.is_dir():
        there = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        raise NoResultsError(f"{path}: there are no results", suggest(path.name, there, f"{path.parent}/{{}}"))
    if any((path / name).exists() for name in FILES):
        raise NoResultsError(f"{path}: this is one run", f"Its study is {path.parent}")
    place = Path(os.path.abspath(path))
    return {told_name(place): place} if is_study(place) else {folder.name: folder for folder in studies_below(place)}


def scan(name: str, folders: Mapping[str, Path], on_run: Callable[[], None], but: Collection[str] = ()) -> Tree:
    """The runs of some studies' folders, without those whose real path is in `but`."""
    runs = [held for study, folder in folders.items() for held in held_in(name, study, folder, on_run, but)]
    return Tree(name, tuple(runs), folders)


def is_study(folder: Path) -> bool:
    """Whether a folder holds run folders."""
    return any(not file.parent.name.startswith(".") for file in folder.glob("*/run.json"))


def told_name(folder: Path) -> str:
    """The name of a study whose folder was given: what its study.json says, as a copied folder may be called anything;
    else the folder's."""
    name = (ledger_in(folder) or {}).get("study")
    try:
        check_study(name if isinstance(name, str) else "")
    except ConfigError:
        return folder.name
    return str(name)


def ledger_in(folder: Path) -> dict[str, Any] | None:
    """study.json of a study's folder, or None where there is none that can be read."""
    try:
        return read_json(folder / STUDY_FILE)
    except (OSError, RecursionError):
        return None


def held_in(tree: str, study: str, folder: Path, on_run: Callable[[], None], but: Collection[str]) -> Iterator[Held]:
    """The runs of a study's folder: the whole ones, then the damaged ones."""
    damaged: list[tuple[str, str]] = []
    for row in rows_of(folder, folder.parent, study_of(folder, folder.parent, []) or {}, damaged):
        on_run()
        place = folder.parent / row["folder"]
        if os.path.realpath(place) not in but:
            yield Held(tree, study, place, {column: row[column] for column in COLUMNS})
    for place_below, why in damaged:
        place = folder.parent / place_below
        if os.path.realpath(place) not in but:
            yield Held(tree, study, place, None, why)


def name_workloads(runs: Collection[Held]) -> None:
    """Give plain runs of one study the names of their workloads: what sets them apart depends on all of them."""
    name_plain([held.row for held in runs if isinstance(held.row, dict)])
