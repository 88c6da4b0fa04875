"""metrics.jsonl files as one polars frame. Damaged lines are left out and counted, never fatal.

polars parses many whole files at once, which is fast but refuses everything at the first malformed line. A file with
such a line, or with values that were not finite, is read line by line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.files import parse_json, read_bytes
from optbench.records import Split

if TYPE_CHECKING:
    import polars

INTEGERS = ("step", "samples", "tokens", "gradient_evaluations")
TEXT = ("run_id", "split")
REQUIRED = ("step", "split")
IGNORED = ("nonfinite",)
SPLITS = frozenset(map(str, Split))
FILES_AT_ONCE = 32  # some 30 MB
Row = dict[str, Any]  # one record as JSON has it, values checked by `record_of`


def read_records(files: Mapping[str, Path]) -> tuple[polars.DataFrame, dict[str, str]]:
    """Return the records of runs by run_id, in the order given, and what was wrong with some of the files.

    Columns: run_id and split (text); step, samples, tokens and gradient_evaluations (integers); the rest float64. nan
    and infinity: not finite in the record; null: not measured."""
    import polars as pl

    frames: list[polars.DataFrame] = []
    wrong: dict[str, str] = {}
    ordered = list(files.items())
    for start in range(0, len(ordered), FILES_AT_ONCE):
        frames += read_chunk(ordered[start : start + FILES_AT_ONCE], wrong)
    if not frames:
        return pl.DataFrame(schema=schema_of(("run_id", *INTEGERS, "split"))), wrong
    return pl.concat(frames, how="diagonal"), wrong


def read_chunk(files: Sequence[tuple[str, Path]], wrong: dict[str, str]) -> Iterable[polars.DataFrame]:
    """Yield the frames of some files: one for all well-formed files, one for each of the others."""
    found: dict[str, bytes] = {}
    for run_id, file in files:
        try:
            found[run_id] = read_bytes(file, limit=None)
        except FileNotFoundError:
            found[run_id] = b""
        except OSError as error:
            wrong[run_id] = f"{file.name} cannot be read: {error.strerror or error}"
    clean = {run_id: content for run_id, content in found.items() if content and looks_clean(content)}
    frame = parse_together(clean)
    if frame is not None:
        yield frame
    for run_id, content in found.items():
        if frame is None or run_id not in clean:
            yield from parse_by_line(run_id, content, wrong)


def looks_clean(content: bytes) -> bool:
    """Return True if the last line is complete and no value is marked as not finite."""
    return content.endswith(b"\n") and b'"nonfinite"' not in content


def parse_together(files: Mapping[str, bytes]) -> polars.DataFrame | None:
    """Parse all files at once; None if anything in them is not as expected."""
    import polars as pl

    if not files:
        return None
    names = sorted({name for content in files.values() for name in column_names(content)} - {*IGNORED})
    lines = {run_id: content.count(b"\n") for run_id, content in files.items()}
    try:
        frame = pl.read_ndjson(b"".join(files.values()), schema=schema_of(names))
    except (pl.exceptions.PolarsError, ValueError):
        return None
    if frame.height != sum(lines.values()) or any(
        name not in frame.columns or frame[name].null_count() for name in REQUIRED
    ):
        return None
    if not set(frame["split"].unique()) <= SPLITS:
        return None
    owners = pl.concat([pl.repeat(run_id, n, dtype=pl.String, eager=True) for run_id, n in lines.items()])
    frame = frame.with_columns(owners.alias("run_id"))
    up = frame.select((pl.col("step").diff() >= 0).over("run_id"))["step"].fill_null(True)
    return frame if up.all() and not frame.select("run_id", "split", "step").is_duplicated().any() else None


def column_names(content: bytes) -> set[str]:
    """Return the names in a file's first and last lines: every kind of record occurs early or at the end."""
    names: set[str] = set()
    head = content[:40_000].split(b"\n")[:-1] if len(content) > 40_000 else content.split(b"\n")
    for line in (*head, *content[-6_000:].split(b"\n")[1:]):
        try:
            row = parse_json(line) if line else {}
        except ValueError:
            continue
        names.update(row if isinstance(row, dict) else ())
    return names


def parse_by_line(run_id: str, content: bytes, wrong: dict[str, str]) -> Iterable[polars.DataFrame]:
    """Yield one file, parsed line by line. Malformed lines are left out and counted; the last record of a step
    counts."""
    import polars as pl

    rows: dict[tuple[str, int], Row] = {}
    lines = content.split(b"\n")
    torn = bool(lines.pop())
    bad = repeated = 0
    for line in filter(None, lines):
        row = record_of(line)
        if row is None:
            bad += 1
            continue
        key = (row["split"], row["step"])
        repeated += rows.pop(key, None) is not None
        rows[key] = row | {"run_id": run_id}
    faults = [f"{bad} lines are not records"] if bad else []
    faults += [f"{repeated} records are repeated"] if repeated else []
    faults += ["its last line is torn"] if torn else []
    if faults:
        wrong[run_id] = "metrics.jsonl: " + ", ".join(faults)
    if rows:
        ordered = sorted(rows.values(), key=lambda row: row["step"])
        names = sorted({name for row in ordered for name in row} - {*IGNORED})
        yield pl.DataFrame(ordered, schema=schema_of(names), strict=False)


def record_of(line: bytes) -> Row | None:
    """Return one line as a record, None if it is not one."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.get("split") not in SPLITS:
        return None
    nonfinite = row.pop("nonfinite", None)
    for name, value in row.items():
        if name == "split" or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if name in INTEGERS and not (math.isfinite(value) and value == int(value) and value >= 0):
            return None
    if any(row.get(name) is None for name in REQUIRED):
        return None
    for name, word in nonfinite.items() if isinstance(nonfinite, dict) else ():
        row[name] = float(word) if word in ("nan", "inf", "-inf") else math.nan
    return row


def schema_of(names: Iterable[str]) -> dict[str, type[polars.DataType]]:
    """Return the types of columns by name."""
    import polars as pl

    return {name: pl.String if name in TEXT else pl.Int64 if name in INTEGERS else pl.Float64 for name in names}
