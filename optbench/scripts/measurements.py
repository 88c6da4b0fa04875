"""The measurements of a script that names them itself: rows of named values become values of our columns by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Row: TypeAlias = Mapping[str, object]
"""Values by the script's names, as JSON, a table or events hold them."""
Curve: TypeAlias = tuple[tuple[int, Mapping[str, float]], ...]
"""(step, values by column) in the order of the steps."""
OPTIMIZER_STEPS = ("step", "global_step", "iteration")
STEP_NAMES = (*OPTIMIZER_STEPS, "epoch")
"""Names of a row's step; the first one found counts. A row without any has the step of the row before; where no row has
one, they are numbered from 1."""
ALSO = {name: name for name in ("train_loss", "val_loss", "lr")}
"""Columns that are recorded beside the metric where a script itself uses these names."""


@dataclass(frozen=True)
class Measured:
    """The values that a script has measured. `problem` is empty, or says why a wanted one is missing."""

    final: Mapping[str, float] = field(default_factory=dict[str, float])
    """The last value of each column (val_metric, test_metric, ...); may be nan or infinite."""
    rows: Curve = ()
    problem: str = ""
    counts_steps: bool = False
    """True if rows are numbered by optimizer steps; False for epochs, or rows in their order."""


def measured(rows: Iterable[Row], names: Mapping[str, str], place: str) -> Measured:
    """Return the measurements in `rows`. `names`: the script's name of each wanted column; `place`: where they stand.

    A later row replaces an earlier one of the same step. A cell that is empty or null is no measurement."""
    final, by_step, last = dict[str, float](), dict[int, dict[str, float]](), dict[str, object]()
    named: int | None = None
    by_names: set[str] = set()
    for number, row in enumerate(rows, 1):
        if (numbered := step_of(row)) is not None:
            by_names.add(numbered[0])
            named = numbered[1]
        found = {column: value_of(row, name) for column, name in {**ALSO, **names}.items()}
        values = {column: value for column, value in found.items() if isinstance(value, float)}
        last |= {column: value for column, value in found.items() if value is not None}
        if values:
            final |= values
            by_step.setdefault(number if named is None else named, {}).update(values)
    problem = ""
    for column, name in names.items():
        if column not in last:
            problem = problem or f"no {name} in {place}"
        elif not isinstance(last[column], float):
            problem = problem or f"{name} in {place} is not a number: {str(last[column])[:60]!r}"
    counts_steps = bool(by_names) and by_names <= {*OPTIMIZER_STEPS}
    return Measured(final, tuple(sorted(by_step.items())), problem, counts_steps)


def value_of(row: Row, name: str) -> object:
    """Return the value of a name, or of a dotted path into nested objects: a float where it is a number, else as it is.

    None stands for a value that is missing, null or empty."""
    if name not in row and "." in name:
        head, _, rest = name.partition(".")
        inner = row.get(head)
        return value_of(inner, rest) if isinstance(inner, dict) else None
    found = row.get(name)
    if isinstance(found, str) and not found.strip():
        return None
    try:
        return float(found) if isinstance(found, (int, float, str)) and not isinstance(found, bool) else found
    except (ValueError, OverflowError):
        return found


def step_of(row: Row) -> tuple[str, int] | None:
    """Return the step of a row with its name; None for a row without any."""
    for name in STEP_NAMES:
        found = value_of(row, name)
        if isinstance(found, float) and math.isfinite(found) and 0 <= found < 2**53:
            return name, int(found)
    return None
