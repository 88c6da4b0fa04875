"""A disposable copy of the records of each study, as parquet: results/.cache/STUDY.parquet.

Only files whose size or time has changed are read again. A damaged copy is made again; a folder that is not writable
gets none. A copy is written under another name and renamed, so that concurrent readers never see half a file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from optbench.files import parse_json
from optbench.reports.read.record_frames import read_records, schema_of

if TYPE_CHECKING:
    import polars

FOLDER = ".cache"
VERSION = 1  # of the copy's content; other versions are made again
KEY = "optbench"


class Metadata(TypedDict):
    """The files a copy was made of."""

    version: int
    stamps: dict[str, list[int]]
    """{run_id: stamp of its file}"""
    wrong: dict[str, str]
    """{run_id: what was wrong with its file}"""


def cached_records(
    root: Path, study: str, files: Mapping[str, Path], columns: tuple[str, ...] | None = None
) -> tuple[polars.DataFrame, dict[str, str]]:
    """Return the records of some runs of a study, and what was wrong with their files.

    `columns`: only these, null if the study has none of them."""
    path = root / FOLDER / f"{study}.parquet"
    stamps = {run_id: stamp(file) for run_id, file in files.items()}
    kept = read_metadata(path)
    changed = {run_id: file for run_id, file in files.items() if kept["stamps"].get(run_id) != stamps[run_id]}
    if not changed:
        frame = load(path, columns, tuple(files))
        if frame is not None:
            return frame, {run_id: word for run_id, word in kept["wrong"].items() if run_id in files}
        changed, kept = dict(files), no_metadata()
    fresh, wrong = read_records(changed)
    old = load(path, None, tuple(run_id for run_id in kept["stamps"] if run_id not in changed))
    if old is None:
        kept = no_metadata()
        if len(changed) < len(files):
            fresh, wrong = read_records(files)
    else:
        fresh = concatenated(old, fresh)
    wrong = {run_id: word for run_id, word in kept["wrong"].items() if run_id not in changed} | wrong
    with contextlib.suppress(OSError, UnicodeEncodeError):
        save(path, fresh, {"version": VERSION, "stamps": kept["stamps"] | stamps, "wrong": wrong})
    return selected(fresh, columns, tuple(files)), {run_id: word for run_id, word in wrong.items() if run_id in files}


def stamp(file: Path) -> list[int]:
    """Return the size and time of a file, zeros if it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return [0, 0]
    return [found.st_size, found.st_mtime_ns]


def no_metadata() -> Metadata:
    """Return the metadata of a missing copy."""
    return {"version": VERSION, "stamps": {}, "wrong": {}}


def read_metadata(path: Path) -> Metadata:
    """Read which files a copy was made of."""
    import polars as pl

    try:
        known = parse_json(pl.read_parquet_metadata(path)[KEY]) if path.is_file() else None
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return no_metadata()
    return cast("Metadata", known) if is_metadata(known) else no_metadata()


def is_metadata(known: object) -> bool:
    """Return True for the metadata of a copy of this version."""
    return (
        isinstance(known, dict)
        and known.get("version") == VERSION
        and isinstance(known.get("stamps"), dict)
        and isinstance(known.get("wrong"), dict)
    )


def load(path: Path, columns: tuple[str, ...] | None, run_ids: tuple[str, ...]) -> polars.DataFrame | None:
    """Load the records of some runs from a copy, None if it cannot be read."""
    import polars as pl

    if not run_ids:
        return pl.DataFrame(schema=schema_of(("run_id",)))
    try:
        there = pl.read_parquet_schema(path)
        if any(there.get(name) not in (None, kind) for name, kind in schema_of(there).items()):
            return None
        frame = pl.read_parquet(path, columns=[name for name in columns if name in there] if columns else None)
        return selected(frame, columns, run_ids)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def selected(frame: polars.DataFrame, columns: tuple[str, ...] | None, run_ids: tuple[str, ...]) -> polars.DataFrame:
    """Select some runs and columns of a frame; missing columns are null."""
    import polars as pl

    if frame["run_id"].n_unique() > len(run_ids):
        frame = frame.filter(pl.col("run_id").is_in(run_ids))
    if columns is None:
        return frame
    missing = [name for name in columns if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in schema_of(missing).items()).select(
        columns
    )


def concatenated(old: polars.DataFrame, fresh: polars.DataFrame) -> polars.DataFrame:
    """Concatenate two frames; columns that one of them lacks are null."""
    import polars as pl

    return pl.concat([old, fresh], how="diagonal") if old.height else fresh


def save(path: Path, frame: polars.DataFrame, metadata: Metadata) -> None:
    """Write a copy. Raises OSError, and UnicodeEncodeError for a path that polars cannot open."""
    import polars as pl

    str(path).encode()
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.write_parquet(temporary, compression="lz4", metadata={KEY: json.dumps(metadata)})
        os.replace(temporary, path)
    except pl.exceptions.PolarsError as error:  # a full disk
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)
