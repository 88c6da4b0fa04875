"""The records of a report as CSV text, at full precision."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from optbench.errors import printable
from optbench.reports.model.document import Document

FORMULA = ("=", "+", "-", "@", "\n")  # what a spreadsheet would take for one
NUMBERS = re.compile(r"-?[\d.]+(e[+-]?\d+)?( -?[\d.]+(e[+-]?\d+)?)*")  # of several seeds in one cell


def tables(document: Document) -> dict[str, list[dict[str, object]]]:
    """Return the rows of every CSV file by name; files without a row are left out."""
    found: dict[str, list[dict[str, object]]] = {}
    for chapter in document.chapters:
        for records in (records for section in chapter.sections for records in section.records):
            found.setdefault(records.name, []).extend({**chapter.labels, **row} for row in records.rows())
    return {name: same_columns(rows) for name, rows in found.items() if rows}


def same_columns(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return rows that all have every column."""
    columns = dict.fromkeys(name for row in rows for name in row)
    if all(len(row) == len(columns) for row in rows):
        return rows
    return [{name: row.get(name) for name in columns} for row in rows]


def to_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of equal keys as CSV with a header; nothing for None. Text that a spreadsheet would run as a formula
    gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(name) for name in rows[0]] if rows else [])
    writer.writerows([safe(value) if type(value) is str else value for value in row.values()] for row in rows)
    return out.getvalue()


def safe(text: str) -> str:
    """Return a cell of text."""
    text = "\n".join(map(printable, text.splitlines()))
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) and not NUMBERS.fullmatch(text) else text
