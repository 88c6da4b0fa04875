"""The table of runs as a polars frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.reports.read.columns import COLUMNS, RunRow

if TYPE_CHECKING:
    import polars


def runs_frame(rows: Sequence[RunRow]) -> polars.DataFrame:
    """Return rows of runs as a frame with every column of COLUMNS; null: unknown, or not of the column's type.

    `seconds` by phase is a struct; `overrides`, `searched` and `pictures` are lists of text."""
    import polars as pl

    plain = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, list: pl.List(pl.String)}
    phases = dict.fromkeys(phase for row in rows for phase in row["seconds"] or ())
    kinds = {
        name: plain.get(kind) or pl.Struct(dict.fromkeys(phases, pl.Float64)) for name, (kind, _) in COLUMNS.items()
    }
    return pl.DataFrame(
        {name: [converted(row.get(name), kind) for row in rows] for name, (kind, _) in COLUMNS.items()}, kinds
    )


def converted(value: object, kind: type) -> object:
    """Return a value as its column's type; None if it is of another."""
    if value is None:
        return None
    if kind in (int, float):
        return kind(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return value if isinstance(value, kind) else json.dumps(value) if kind is str else None
