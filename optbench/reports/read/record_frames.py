"""metrics.jsonl files as one polars frame. Damaged lines are left out and counted, never fatal.

Many whole files are parsed at once by polars, which is quick and refuses everything at the first strange line; a file
with such a line, or with values that were not finite, is then read line by line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.records import Split

if TYPE_CHECKING:
    import polars

WHOLE = ("step", "samples", "tokens", "gradient_evaluations")
TEXT = ("run_id", "split")
NEEDED = ("step", "samples", "split")
LEFT_OUT = ("nonfinite",)
SPLITS = frozenset(map(str, Split))
AT_ONCE = 32  # files; some 30 MB


def read_records(files: Mapping[str, Path]) -> tuple[polars.DataFrame, dict[str, str]]:
    """The records of runs by run_id, in the order given, and what was wrong with some of the files.

    Columns: run_id, split (text), step, samples, tokens, gradient_evaluations (whole numbers), everything else float64;
    nan and infinity where a record says that a value was not finite, null where it was not measured."""
    import polars as pl

    frames: list[polars.DataFrame] = []
    wrong: dict[str, str] = {}
    ordered = list(files.items())
    for start in range(0, len(ordered), AT_ONCE):
        frames += chunk(ordered[start : start + AT_ONCE], wrong)
    if not frames:
        return pl.DataFrame(schema=schema_of(("run_id", *WHOLE, "split"))), wrong
    return pl.concat(frames, how="diagonal"), wrong


def chunk(files: Sequence[tuple[str, Path]], wrong: dict[str, str]) -> Iterable[polars.DataFrame]:
    """The frames of some files: one for all that are in order, and one for each of the others."""
    found: dict[str, bytes] = {}
    for run_id, file in files:
        try:
            found[run_id] = file.read_bytes() if file.exists() else b""
        except OSError as error:
            wrong[run_id] = f"{file.name} cannot be read: {error.strerror or error}"
    clean = {run_id: content for run_id, content in found.items() if content and looks_clean(content)}
    frame = quickly(clean)
    if frame is not None:
        yield frame
    for run_id, content in found.items():
        if frame is None or run_id not in clean:
            yield from patiently(run_id, content, wrong)


def looks_clean(content: bytes) -> bool:
    """Whether every line is whole and every value was finite, as far as a glance tells."""
    return content.endswith(b"\n") and b'"nonfinite"' not in content


def quickly(files: Mapping[str, bytes]) -> polars.DataFrame | None:
    """All files at once, or None where something in them is not as it should be."""
    import polars as pl

    if not files:
        return None
    names = sorted({name for content in files.values() for name in columns_of(content)} - {*LEFT_OUT})
    lines = {run_id: content.count(b"\n") for run_id, content in files.items()}
    try:
        frame = pl.read_ndjson(b"".join(files.values()), schema=schema_of(names))
    except (pl.exceptions.PolarsError, ValueError):
        return None
    if frame.height != sum(lines.values()) or any(
        name not in frame.columns or frame[name].null_count() for name in NEEDED
    ):
        return None
    if not set(frame["split"].unique()) <= SPLITS:
        return None
    owners = pl.concat([pl.repeat(run_id, n, dtype=pl.String, eager=True) for run_id, n in lines.items()])
    frame = frame.with_columns(owners.alias("run_id"))
    up = frame.select((pl.col("step").diff() >= 0).over("run_id"))["step"].fill_null(True)
    return frame if up.all() and not frame.select("run_id", "split", "step").is_duplicated().any() else None


def columns_of(content: bytes) -> set[str]:
    """Names in the first and last lines of a file: every kind of record is evaluated early or at the end."""
    names: set[str] = set()
    head = content[:40_000].split(b"\n")[:-1] if len(content) > 40_000 else content.split(b"\n")
    for line in (*head, *content[-6_000:].split(b"\n")[1:]):
        try:
            row = json.loads(line) if line else {}
        except ValueError:
            continue
        names.update(row if isinstance(row, dict) else ())
    return names


def patiently(run_id: str, content: bytes, wrong: dict[str, str]) -> Iterable[polars.DataFrame]:
    """One file line by line. Lines that are no record are left out and counted; of a step that is there twice, the
    later line counts."""
    import polars as pl

    rows: dict[tuple[str, int], dict[str, Any]] = {}
    lines = content.split(b"\n")
    torn = bool(lines.pop())
    bad = twice = 0
    for line in filter(None, lines):
        row = record_of(line)
        if row is None:
            bad += 1
            continue
        key = (row["split"], row["step"])
        twice += rows.pop(key, None) is not None
        rows[key] = row | {"run_id": run_id}
    said = [f"{bad} lines are no records"] if bad else []
    said += [f"{twice} records are there twice"] if twice else []
    said += ["its last line is torn"] if torn else []
    if said:
        wrong[run_id] = "metrics.jsonl: " + ", ".join(said)
    if rows:
        ordered = sorted(rows.values(), key=lambda row: row["step"])
        names = sorted({name for row in ordered for name in row} - {*LEFT_OUT})
        yield pl.DataFrame(ordered, schema=schema_of(names), strict=False)


def record_of(line: bytes) -> dict[str, Any] | None:
    """One line as a record, or None where it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.get("split") not in SPLITS:
        return None
    strange = row.pop("nonfinite", None)
    for name, value in row.items():
        if name == "split" or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if name in WHOLE and not (math.isfinite(value) and value == int(value) and value >= 0):
            return None
    if any(row.get(name) is None for name in NEEDED):
        return None
    for name, word in strange.items() if isinstance(strange, dict) else ():
        row[name] = float(word) if word in ("nan", "inf", "-inf") else math.nan
    return row


def schema_of(names: Iterable[str]) -> dict[str, Any]:
    """Types by column name."""
    import polars as pl

    return {name: pl.String if name in TEXT else pl.Int64 if name in WHOLE else pl.Float64 for name in names}
