"""Tables as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for one


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys, with a header; numbers at full precision, nothing for None. Text that a spreadsheet would
    run as a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(name) for name in rows[0]] if rows else [])
    writer.writerows([safe(value) if type(value) is str else value for value in row.values()] for row in rows)
    return out.getvalue()


def safe(text: str) -> str:
    """A cell of text."""
    return f"'{text}" if text.startswith(FORMULA) else text
