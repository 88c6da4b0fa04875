"""Read the runs of a results folder as rows, and their records. Unreadable files are listed with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import NoResultsError, printable, suggest
from optbench.reports.read.columns import RunRow
from optbench.reports.read.kept_runs import completeness, without_abandoned, without_repeats
from optbench.reports.read.plain_runs import name_plain_runs
from optbench.reports.read.run_rows import MalformedRun, cleaned, read_object, row_of
from optbench.reports.read.study_file import StudyFile, cells_of, check_study_file
from optbench.reports.read.versions import name_scripts, name_versions

if TYPE_CHECKING:
    import polars

FILES = ("run.json", "result.json", "metrics.jsonl")  # a folder with any of them is a run's
FIRST_RUN = "Run `optbench run optimizer=lion model=vit` first"


@dataclass(frozen=True)
class Results:
    """The runs and studies of a results folder."""

    root: Path
    runs: tuple[RunRow, ...]
    studies: Mapping[str, StudyFile]
    """study.json by study"""
    skipped: tuple[tuple[str, str], ...]
    """(path below the root, why it was left out)"""

    def records(
        self, run_ids: Iterable[str] | None = None, columns: tuple[str, ...] | None = None
    ) -> tuple[polars.DataFrame, tuple[tuple[str, str], ...]]:
        """Return the records of all or some runs, and (path, what was wrong) of damaged files.

        Columns are run_id and those of `optbench list columns`. nan: not finite; null: not measured."""
        import polars as pl

        from optbench.reports.read.cache import cached_records

        wanted = None if run_ids is None else set(run_ids)
        studies: dict[str, dict[str, Path]] = {}
        for run in self.runs:
            if wanted is None or run["run_id"] in wanted:
                studies.setdefault(run["study"], {})[run["run_id"]] = self.root / run["folder"] / "metrics.jsonl"
        frames, wrong = [], []
        for study, files in sorted(studies.items()):
            frame, faults = cached_records(self.root, study, files, columns)
            frames.append(frame)
            wrong += [(str(files[run_id].relative_to(self.root)), faults[run_id]) for run_id in sorted(faults)]
        return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(), tuple(wrong)


def read(path: Path) -> Results:
    """Read a study's folder, or every study below a results folder. Raises NoResultsError if there are no runs."""
    if not path.is_dir():
        raise missing(path)
    if (path / "run.json").exists():
        raise NoResultsError(f"{path}: this is the folder of one run", f"Give its study: {path.parent}")
    path = Path(os.path.abspath(path))
    is_study = any(path.glob("*/run.json"))
    root, folders = (path.parent, [path]) if is_study else (path, list(studies_below(path)))
    skipped: list[tuple[str, str]] = []
    found = {printable(folder.name): study_of(folder, root, skipped) for folder in folders}
    studies = {name: tree for name, tree in found.items() if tree is not None}
    runs: dict[str, RunRow] = {}
    for folder in folders:
        for row in rows_of(folder, root, found[printable(folder.name)], skipped):
            kept = runs.setdefault(row["run_id"], row)
            if kept is row:
                continue
            if completeness(row) > completeness(kept):
                runs[row["run_id"]], row, kept = row, kept, row
            skipped.append((row["folder"], f"the same run as {kept['folder']}"))
    if not runs:
        if skipped:
            raise NoResultsError(f"{path}: no run can be read ({skipped[0][0]}: {skipped[0][1]})")
        raise NoResultsError(f"No results in {path} yet", FIRST_RUN)
    counted = named([runs[name] for name in sorted(runs)], studies, skipped)
    return Results(root, tuple(counted), studies, tuple(skipped))


def named(rows: list[RunRow], studies: Mapping[str, StudyFile], skipped: list[tuple[str, str]]) -> list[RunRow]:
    """Return the rows that count, with names that tell contenders and workloads apart."""
    name_scripts(rows)
    name_plain_runs(rows)
    rows, planned = without_abandoned(rows, cells_of(studies), skipped)
    name_versions(rows)
    return sorted(without_repeats(rows, planned, skipped), key=lambda row: row["run_id"])


def missing(path: Path) -> NoResultsError:
    """Return the error for a folder that does not exist, with the studies beside it."""
    there = [entry.name for entry in studies_below(path.parent)] if path.parent.is_dir() else []
    if not there:
        return NoResultsError(f"No results in {path} yet", FIRST_RUN)
    return NoResultsError(f"{path}: no such folder", suggest(path.name, there, str(path.parent / "{}")))


def studies_below(root: Path) -> Iterator[Path]:
    """Yield the folders below a results folder that hold runs, sorted, without hidden ones."""
    try:
        there = sorted(root.iterdir())
    except OSError as error:
        raise NoResultsError(f"{root}: cannot be read: {error.strerror}") from None
    for folder in there:
        if not folder.name.startswith(".") and folder.is_dir() and any(folder.glob("*/run.json")):
            yield folder


def study_of(folder: Path, root: Path, skipped: list[tuple[str, str]]) -> StudyFile | None:
    """Return a study's study.json, None if it is missing or damaged."""
    file = folder / "study.json"
    try:
        if not file.exists():
            return None
        study, wrong = check_study_file(cleaned(read_object(file)))
    except (MalformedRun, OSError) as error:
        skipped.append((str(file.relative_to(root)), str(error)))
        return None
    skipped += [(str(file.relative_to(root)), why) for why in wrong]
    return study


def rows_of(folder: Path, root: Path, study: StudyFile | None, skipped: list[tuple[str, str]]) -> Iterator[RunRow]:
    """Yield a row for every run of a study's folder."""
    cells = {cell["label"]: cell for cell in study["cells"]} if study else {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or not any((entry / name).exists() for name in FILES):
            continue
        try:
            yield row_of(entry, root, cells)
        except MalformedRun as error:
            skipped.append((str(entry.relative_to(root)), str(error)))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            skipped.append((str(entry.relative_to(root)), f"not in the shape of a run: {error!r}"))


def contender_names(runs: Iterable[RunRow]) -> list[str]:
    """Return the names of the contenders, sorted."""
    return sorted({run["contender"] for run in runs})
