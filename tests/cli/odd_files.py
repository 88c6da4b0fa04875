"""Odd entries where a file of results is expected: damaged content, wrong types, and things that are no files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

DEEP = "[" * 100_000


def gone(path: Path) -> None:
    """Remove whatever is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link(target: str) -> Callable[[Path], None]:
    """Return a function that puts a link to `target` at a path."""
    return lambda path: path.symlink_to(target)


def content(data: bytes) -> Callable[[Path], object]:
    """Return a function that puts a file of these bytes at a path."""
    return lambda path: path.write_bytes(data)


ODD: dict[str, Callable[[Path], object]] = {
    "deep": content(f'{{"schema": 1, "x": {DEEP}'.encode()),
    "deep mapping": content(b'{"a":' * 100_000),
    "list": content(b"[1, 2]\n"),
    "word": content(b'"word"\n'),
    "null": content(b"null\n"),
    "empty": content(b""),
    "torn": content(b'{"schema": 1, "run'),
    "binary": content(bytes(range(256)) * 40),
    "not UTF-8": content(b'{"schema": 1, "run_id": "\xff\xfe"}\n'),
    "NUL": content(b"\0" * 1000),
    "huge number": content(b'{"schema": 1, "cells": ' + b"9" * 5000 + b"}\n"),
    "directory": lambda path: path.mkdir(),
    "full directory": lambda path: (path.mkdir(), (path / "x").write_text("x")),
    "link loop": lambda path: path.symlink_to(path.name),
    "dangling link": link("nowhere"),
    "link to a directory": link("."),
    "FIFO": lambda path: os.mkfifo(path),
    "zeros": link("/dev/zero"),
    "terminal": link("/dev/tty"),
}


def replaced(path: Path, kind: str) -> None:
    """Put a kind of odd file at a path, in place of what is there."""
    gone(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ODD[kind](path)


JUNK = (None, [], {}, "", "x", -1, 0.5, True, 10**400, [[]], [None], {"a": []}, float("nan"), "\x1b[31m\u202ex")


def places(tree: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return every place in a tree of mappings and lists."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree[:2]) if isinstance(tree, list) else ()
    return [place for key, value in inner for place in ((*path, key), *places(value, (*path, key)))]


def spoilt(text: str, place: tuple[object, ...], value: object) -> str:
    """Return a JSON document with another value in one place."""
    tree = whole = json.loads(text)
    for key in place[:-1]:
        tree = tree[key]
    tree[place[-1]] = value
    return json.dumps(whole)
