"""Tables as CSV text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\n")  # what a spreadsheet would take for one
NUMBERS = re.compile(r"-?[\d.]+(e[+-]?\d+)?( -?[\d.]+(e[+-]?\d+)?)*")  # of several seeds in one cell


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
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # csv puts no quotes around a lone carriage return
    return f"'{text}" if text.startswith(FORMULA) and not NUMBERS.fullmatch(text) else text
