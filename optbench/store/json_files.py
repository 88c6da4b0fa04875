"""JSON documents and lines on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

from optbench.errors import StorageError
from optbench.files import parse_json, read_bytes, read_json_file
from optbench.records import without_nonfinite
from optbench.store.atomic import storage_errors, write_atomically

Document: TypeAlias = dict[str, Any]
"""A JSON object: run.json, result.json or a row of metrics.jsonl."""


def read_records(file: Path) -> list[Document]:
    """Return the rows of a metrics file without a torn last line. Raises ValueError for damage elsewhere, StorageError
    as `read_json` does."""
    try:
        lines = read_bytes(file, limit=None).decode("utf-8", "replace").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(file, error) from None
    return [cast("Document", parse_json(line)) for line in lines[:-1] if line]


def read_json(file: Path) -> Document | None:
    """Return a JSON object from a file, or None if the file is missing or damaged.

    Raises StorageError for what is there but cannot be read: a directory, a FIFO, a file without permission."""
    try:
        tree = read_json_file(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise unreadable(file, error) from None
    return cast("Document", tree) if isinstance(tree, dict) else None


def unreadable(file: Path, error: OSError) -> StorageError:
    """Return the error for a file that is there but cannot be read."""
    return StorageError(f"{file}: cannot be read: {error.strerror or error}", "Move it away, or mend its permissions")


def write_json(file: Path, tree: Mapping[str, object], *, sync: bool = True, sync_rename: bool = True) -> None:
    """Write a JSON object atomically; nan and infinity become null. See `write_atomically`."""
    text = json.dumps(without_nonfinite(tree), indent=2, allow_nan=False) + "\n"
    with storage_errors(file):
        write_atomically(file, lambda out: out.write(text.encode()), sync=sync, sync_rename=sync_rename)
