"""Text of a hub data set on disk: shards of JSON lines, and the state of the download beside them.

After each shard the state of the stream is saved, so that an interrupted or a larger download continues there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict, TypeVar

from optbench.errors import MissingError, first_line

STATE = "state.json"

T = TypeVar("T")


class Shard(TypedDict):
    """One file of documents."""

    file: str
    sha256: str
    documents: int
    text_bytes: int


class DownloadState(TypedDict):
    """The progress of a download. `stream` is the library's own state, null before the first shard."""

    shards: list[Shard]
    text_bytes: int
    ended: bool
    stream: dict[str, object] | None


def read_state(folder: Path) -> DownloadState:
    """Read the state of a download. Raises MissingError with the name of a damaged file."""
    file = folder / STATE
    if not file.is_file():
        return {"shards": [], "text_bytes": 0, "ended": False, "stream": None}
    try:
        tree = json.loads(file.read_text())
        return {
            "shards": tree["shards"],
            "text_bytes": tree["text_bytes"],
            "ended": tree["ended"],
            "stream": tree["stream"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingError(f"{file} is damaged", f"Delete {folder} and download the data again") from error


def write_state(folder: Path, state: DownloadState) -> None:
    """Write the state of a download atomically."""
    replace_file(folder / STATE, lambda out: out.write(json.dumps(state).encode()))


def write_shard(file: Path, texts: Iterator[str], least_bytes: int) -> tuple[Shard, bool]:
    """Write documents until the shard has `least_bytes` of text; return it, and True if the stream has ended."""
    documents = text_bytes = 0

    def write(out: BinaryIO) -> bool:
        nonlocal documents, text_bytes
        for text in texts:
            out.write(json.dumps(text, ensure_ascii=False).encode() + b"\n")
            documents += 1
            text_bytes += len(text.encode())
            if text_bytes >= least_bytes:
                return False
        return True

    ended = replace_file(file, write)
    shard = Shard(file=file.name, sha256=file_sha256(file), documents=documents, text_bytes=text_bytes)
    if not documents:
        file.unlink()
    return shard, ended


def replace_file(file: Path, write: Callable[[BinaryIO], T]) -> T:
    """Replace a file atomically by the bytes that `write(stream)` writes; return what `write` returns."""
    temporary = file.with_name(f".{file.name}.new")
    try:
        with open(temporary, "wb") as out:
            result = write(out)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return result


def documents_of(files: Iterable[Path]) -> Iterator[str]:
    """Yield the documents of the shards. Raises MissingError with the name of a damaged one."""
    for file in files:
        try:
            with open(file, encoding="utf-8", newline="\n") as stream:
                yield from (json.loads(line) for line in stream)
        except (OSError, ValueError) as error:
            raise MissingError(
                f"{file} is damaged: {first_line(error)}", f"Delete {file.parent} and download the data again"
            ) from error


def first_bytes(texts: Iterator[str], count: int) -> Iterator[str]:
    """Yield documents until they have `count` bytes of text."""
    for text in texts:
        if count <= 0:
            return
        yield text
        count -= len(text.encode())


def file_sha256(file: Path) -> str:
    """Hash a file's content; return "" if it does not exist."""
    if not file.is_file():
        return ""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
