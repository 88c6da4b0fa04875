"""The table of runs as a polars frame."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.reports.read.columns import COLUMNS

if TYPE_CHECKING:
    import polars


def runs_frame(rows: Sequence[Mapping[str, Any]]) -> polars.DataFrame:
    """Rows of runs as a frame with every column of COLUMNS, null where a value is not known or not of its type.
    `seconds` by phase is a struct, `overrides` and `pictures` are lists of text."""
    import polars as pl

    plain = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, list: pl.List(pl.String)}
    phases = dict.fromkeys(phase for row in rows for phase in row["seconds"] or ())
    kinds = {
        name: plain.get(kind) or pl.Struct(dict.fromkeys(phases, pl.Float64)) for name, (kind, _) in COLUMNS.items()
    }
    return pl.DataFrame({name: [fitting(row[name], COLUMNS[name][0]) for row in rows] for name in COLUMNS}, kinds)


def fitting(value: Any, kind: type) -> Any:
    """A value as the column's type has it; None where it is of another."""
    if value is None:
        return None
    if kind in (int, float):
        return kind(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return value if isinstance(value, kind) else json.dumps(value) if kind is str else None
