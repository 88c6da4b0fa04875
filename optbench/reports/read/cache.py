"""A disposable copy of the records of each study, as parquet: results/.cache/STUDY.parquet.

Only files that have changed since, by size and time, are read again. A copy that cannot be read is made anew; where
the folder cannot be written there is none. Each is written whole and renamed, so that several readers do not meet half
a file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.reports.read.record_frames import read_records, schema_of

if TYPE_CHECKING:
    import polars

FOLDER = ".cache"
VERSION = 1  # of what is kept; another one is made anew
KEY = "optbench"


def cached_records(
    root: Path, study: str, files: Mapping[str, Path], columns: tuple[str, ...] | None = None
) -> tuple[polars.DataFrame, dict[str, str]]:
    """The records of some runs of a study, and what was wrong with their files; `columns`: only these, null where a
    study has none of them."""
    path = root / FOLDER / f"{study}.parquet"
    stamps = {run_id: stamp(file) for run_id, file in files.items()}
    kept = about(path)
    changed = {run_id: file for run_id, file in files.items() if kept["stamps"].get(run_id) != stamps[run_id]}
    if not changed:
        frame = load(path, columns, tuple(files))
        if frame is not None:
            return frame, {run_id: word for run_id, word in kept["wrong"].items() if run_id in files}
        changed, kept = dict(files), nothing()
    fresh, wrong = read_records(changed)
    old = load(path, None, tuple(run_id for run_id in kept["stamps"] if run_id not in changed))
    if old is None:
        kept = nothing()
        if len(changed) < len(files):
            fresh, wrong = read_records(files)
    else:
        fresh = joined(old, fresh)
    wrong = {run_id: word for run_id, word in kept["wrong"].items() if run_id not in changed} | wrong
    known = {"version": VERSION, "stamps": kept["stamps"] | stamps, "wrong": wrong}
    with contextlib.suppress(OSError):
        save(path, fresh, known)
    return chosen(fresh, columns, tuple(files)), {run_id: word for run_id, word in wrong.items() if run_id in files}


def stamp(file: Path) -> list[int]:
    """Size and time of a file; zeros where there is none."""
    try:
        found = file.stat()
    except OSError:
        return [0, 0]
    return [found.st_size, found.st_mtime_ns]


def nothing() -> dict[str, Any]:
    """What is known of a copy that is not there."""
    return {"version": VERSION, "stamps": {}, "wrong": {}}


def about(path: Path) -> dict[str, Any]:
    """Which files a copy was made of."""
    import polars as pl

    try:
        known = json.loads(pl.read_parquet_metadata(path)[KEY])
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError):
        return nothing()
    return known if known.get("version") == VERSION else nothing()


def load(path: Path, columns: tuple[str, ...] | None, run_ids: tuple[str, ...]) -> polars.DataFrame | None:
    """The records of some runs from a copy, or None where it cannot be read."""
    import polars as pl

    if not run_ids:
        return pl.DataFrame(schema=schema_of(("run_id",)))
    try:
        there = pl.read_parquet_schema(path)
        frame = pl.read_parquet(path, columns=[name for name in columns if name in there] if columns else None)
    except (OSError, pl.exceptions.PolarsError):
        return None
    return chosen(frame, columns, run_ids)


def chosen(frame: polars.DataFrame, columns: tuple[str, ...] | None, run_ids: tuple[str, ...]) -> polars.DataFrame:
    """Some runs and columns of a frame."""
    import polars as pl

    if frame["run_id"].n_unique() > len(run_ids):
        frame = frame.filter(pl.col("run_id").is_in(run_ids))
    if columns is None:
        return frame
    missing = [name for name in columns if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in schema_of(missing).items()).select(
        columns
    )


def joined(old: polars.DataFrame, fresh: polars.DataFrame) -> polars.DataFrame:
    """Both."""
    import polars as pl

    return pl.concat([old, fresh], how="diagonal") if old.height else fresh


def save(path: Path, frame: polars.DataFrame, known: Mapping[str, Any]) -> None:
    """Write a copy. Raises OSError where that cannot be."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.write_parquet(temporary, compression="lz4", metadata={KEY: json.dumps(known)})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
