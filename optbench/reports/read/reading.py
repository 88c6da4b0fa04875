"""Runs from a results folder, as rows, and their records. What cannot be read is listed with the reason and never ends
the reading.

A row has every column of `columns.COLUMNS`, None where it is not known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import NoResultsError, suggest
from optbench.reports.read.plain_runs import name_plain
from optbench.reports.read.run_rows import OPEN, Strange, known, row_of
from optbench.reports.read.study_file import checked

if TYPE_CHECKING:
    import polars

FILES = ("run.json", "result.json", "metrics.jsonl")  # any of them makes a folder that of a run


@dataclass(frozen=True)
class Results:
    """What was read."""

    root: Path
    runs: tuple[dict[str, Any], ...]
    studies: Mapping[str, Mapping[str, Any]]
    """study.json by study"""
    skipped: tuple[tuple[str, str], ...]
    """(path below the root, why it was left out)"""

    def records(
        self, run_ids: Iterable[str] | None = None, columns: tuple[str, ...] | None = None
    ) -> tuple[polars.DataFrame, tuple[tuple[str, str], ...]]:
        """The records of all or some runs, and (path, what was wrong) of damaged files. Columns are those of
        `optbench list columns`, with run_id; a value that was not finite is nan, one that was not measured null."""
        import polars as pl

        from optbench.reports.read.cache import cached_records

        wanted = None if run_ids is None else set(run_ids)
        studies: dict[str, dict[str, Path]] = {}
        for run in self.runs:
            if wanted is None or run["run_id"] in wanted:
                studies.setdefault(run["study"], {})[run["run_id"]] = self.root / run["folder"] / "metrics.jsonl"
        frames, wrong = [], []
        for study, files in sorted(studies.items()):
            frame, said = cached_records(self.root, study, files, columns)
            frames.append(frame)
            wrong += [(str(files[run_id].relative_to(self.root)), said[run_id]) for run_id in sorted(said)]
        return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(), tuple(wrong)


def read(path: Path) -> Results:
    """The runs of a study's folder, or of every study below a results folder. Raises NoResultsError where there is
    none."""
    if not path.is_dir():
        there = [entry.name for entry in studies_below(path.parent)] if path.parent.is_dir() else []
        raise NoResultsError(f"{path}: there are no results", suggest(path.name, there, f"{path.parent}/{{}}"))
    if (path / "run.json").exists():
        raise NoResultsError(f"{path}: this is one run", f"Its study is {path.parent}")
    path = Path(os.path.abspath(path))
    is_study = any(path.glob("*/run.json"))
    root, folders = (path.parent, [path]) if is_study else (path, list(studies_below(path)))
    skipped: list[tuple[str, str]] = []
    studies = {folder.name: tree for folder in folders if (tree := study_of(folder, root, skipped)) is not None}
    runs: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for row in rows_of(folder, root, studies.get(folder.name, {}), skipped):
            kept = runs.setdefault(row["run_id"], row)
            if kept is row:
                continue
            if kept["status"] == OPEN and row["status"] != OPEN:
                runs[row["run_id"]], row, kept = row, kept, row
            skipped.append((row["folder"], f"the same run as {kept['folder']}"))
    if not runs:
        why = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise NoResultsError(f"{path}: there are no runs{why}", "A study's folder is results/NAME")
    name_plain(runs.values())
    return Results(root, tuple(runs[name] for name in sorted(runs)), studies, tuple(skipped))


def studies_below(root: Path) -> Iterator[Path]:
    """Folders with runs in them, sorted; hidden ones are not looked at."""
    try:
        there = sorted(root.iterdir())
    except OSError as error:
        raise NoResultsError(f"{root}: cannot be read: {error.strerror}") from None
    for folder in there:
        if not folder.name.startswith(".") and folder.is_dir() and any(folder.glob("*/run.json")):
            yield folder


def study_of(folder: Path, root: Path, skipped: list[tuple[str, str]]) -> dict[str, Any] | None:
    """study.json, or None where there is no whole one."""
    file = folder / "study.json"
    try:
        if not file.exists():
            return None
        study, wrong = checked(known(file))
    except (Strange, OSError) as strange:
        skipped.append((str(file.relative_to(root)), str(strange)))
        return None
    skipped += [(str(file.relative_to(root)), why) for why in wrong]
    return study


def rows_of(
    folder: Path, root: Path, study: Mapping[str, Any], skipped: list[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """A row for every run of a study's folder."""
    cells = {cell["label"]: cell for cell in study.get("cells") or ()}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or not any((entry / name).exists() for name in FILES):
            continue
        try:
            yield row_of(entry, root, cells)
        except Strange as strange:
            skipped.append((str(entry.relative_to(root)), str(strange)))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            skipped.append((str(entry.relative_to(root)), f"not in the shape of a run: {error!r}"))


def names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The contenders there are."""
    return sorted({run["contender"] for run in runs})
