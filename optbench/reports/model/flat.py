"""Dataclasses as flat rows, for CSV files.

An estimate fills four columns: NAME, NAME_low, NAME_high, NAME_n."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from optbench.reports.model.document import Records
from optbench.reports.model.rows import Estimate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def records(name: str, rows: Sequence[DataclassInstance]) -> Records:
    """Return dataclasses as the records of the CSV file `name`."""
    return Records(name, lambda: map(flat, rows))


def flat(row: DataclassInstance, without: Collection[str] = ()) -> dict[str, object]:
    """Return a dataclass as one row: estimates and mappings get a column for each part, sequences are joined."""
    found: dict[str, object] = {}
    for field in fields(row):
        if field.name not in without:
            found |= spread(field.name, getattr(row, field.name))
    return found


def spread(name: str, value: object) -> dict[str, object]:
    """Return one value as columns."""
    if isinstance(value, Estimate):
        return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high, f"{name}_n": value.n}
    if isinstance(value, Mapping):
        return {f"{name}.{key}": inner for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return {name: " ".join(":".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {f"{name}_{key}": inner for key, inner in flat(value).items()}
    return {name: value}
