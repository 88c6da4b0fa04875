"""Rows of named values from what a script writes: lines of JSON, a JSON document, a table of CSV.

Each reader takes files of any size and content; a line that is no row is passed over. They raise OSError for a file
that cannot be read, ValueError for a table without sense.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

from optbench.files import open_regular, parse_json, read_json_file
from optbench.scripts.measurements import Row

LONGEST_LINE = 2**20
"""Bytes of the longest line that is read; a longer one is passed over."""
MOST_BRACES = 8  # that are tried as the beginning of an object
DELIMITERS = ",;\t"


def line_rows(file: Path, start: int = 0) -> Iterator[Row]:
    """Yield the objects in JSON at the end of a line, from byte `start` on.

    Something may stand before one: the name of a logger, or the progress bar that a script shows beside its output."""
    with open_regular(file) as stream:
        stream.seek(start)
        for line in lines(stream):
            row = object_at_end(line.strip())
            if row is not None:
                yield row


def object_at_end(line: str) -> Row | None:
    """Return the JSON object that a line ends with; None if there is none."""
    begin = line.find("{") if line.endswith("}") else -1
    for _ in range(MOST_BRACES):
        if begin < 0:
            return None
        try:
            return cast("Row", parse_json(line[begin:]))
        except ValueError:
            begin = line.find("{", begin + 1)
    return None


def document_rows(file: Path) -> list[Row] | None:
    """Return the object that a JSON file holds, or those of its list; None for a file that is no JSON document."""
    try:
        tree = read_json_file(file)
    except ValueError:
        return None
    rows = cast("list[object]", tree) if isinstance(tree, list) else [tree]
    return [cast("Row", row) for row in rows if isinstance(row, dict)]


def csv_rows(file: Path, names: Collection[str], start: int = 0) -> Iterator[Row]:
    """Yield the rows of a table whose first line names the columns, those from byte `start` on.

    The delimiter is a comma, a semicolon or a tab: the one that the first line has most of. Raises ValueError if two
    columns have one of `names`."""
    with open_regular(file) as stream:
        heading = next(lines(stream), "").removeprefix("\ufeff")
        delimiter = max(DELIMITERS, key=heading.count)
        header = [cell.strip() for cell in next(csv.reader([heading], delimiter=delimiter), [])]
        twice = [name for name, count in Counter(header).items() if count > 1 and name in names]
        if twice:
            raise ValueError(f"two columns are named {twice[0]}")
        if start > stream.tell():
            stream.seek(start)
        try:
            for cells in csv.reader(lines(stream), delimiter=delimiter):
                yield dict(zip(header, cells, strict=False))
        except csv.Error as error:
            raise ValueError(str(error)) from None


def lines(stream: BufferedReader) -> Iterator[str]:
    """Yield the lines of a file as text, without those longer than LONGEST_LINE."""
    whole = True
    while line := stream.readline(LONGEST_LINE):
        ended = line.endswith(b"\n") or len(line) < LONGEST_LINE
        if whole and ended:
            yield line.decode("utf-8", "replace").rstrip("\r\n")
        whole = ended


def holds(file: Path, word: str) -> bool:
    """Return True if a word stands on a line of a file."""
    try:
        with open_regular(file) as stream:
            return any(word in line for line in lines(stream))
    except OSError:
        return False


def tail(file: Path, end: int, length: int = 4096) -> bytes:
    """Return the last bytes of a file before byte `end`, `length` at most."""
    with open_regular(file) as stream:
        stream.seek(max(0, min(end, os.fstat(stream.fileno()).st_size) - length))
        return stream.read(min(end, length))
