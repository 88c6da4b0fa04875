"""The cells of a table as text, by their column's kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from optbench.reports.model.numbers import DASH, MISSING, bytes_text, estimate_text, p_text, short
from optbench.reports.model.rows import Estimate
from optbench.reports.model.table import Flagged, Link, Table, TableColumn, Whisker

BLOCKS = "▁▂▃▄▅▆▇█"
BLOCKS_IN_A_ROW = 16
NUMBERS: dict[str, Callable[[float], str]] = {
    "count": "{:,}".format,
    "bytes": bytes_text,
    "p": p_text,
}


def cell_text(cell: object, column: TableColumn) -> str:
    """Write a cell in a line of text."""
    if isinstance(cell, Flagged):
        text = cell_text(cell.value, column)
        if text == MISSING and cell.flag:
            return cell.flag
        return f"{text} ({cell.flag})" if cell.flag else text
    if isinstance(cell, Link):
        return cell.text
    if isinstance(cell, (Estimate, Whisker)):
        return estimate_text(cell.of if isinstance(cell, Whisker) else cell)
    if isinstance(cell, tuple):
        return spark(cell) if column.kind == "curve" else ranks_text(*cell)
    if cell is None:
        return MISSING if column.right else ""
    if isinstance(cell, (int, float)) and column.kind in NUMBERS:
        return NUMBERS[column.kind](cell)
    if isinstance(cell, float) or (isinstance(cell, int) and column.kind == "number"):
        return short(cell, column.digits)
    return str(cell)


def ranks_text(low: object, high: object) -> str:
    """Write a range of ranks."""
    return str(low) if low == high else f"{low}{DASH}{high}"


def spark(values: Sequence[float | None]) -> str:
    """Draw a curve in a row of blocks, with a gap where nothing was finite."""
    if len(values) < 2:
        return ""
    picked = [values[round(i * (len(values) - 1) / (BLOCKS_IN_A_ROW - 1))] for i in range(BLOCKS_IN_A_ROW)]
    known = [value for value in picked if value is not None]
    if not known:
        return ""
    low, width = min(known), max(known) - min(known)
    return "".join(
        " " if value is None else BLOCKS[min(7, math.floor(8 * (value - low) / width)) if width else 0]
        for value in picked
    )


def texts(table: Table) -> list[list[str]]:
    """Write every cell of a table, row by row."""
    return [[cell_text(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
