"""Tokens on disk: written once, found again by the hash of corpus and tokenizer, mapped into memory.

An entry is a folder `KEY/` with `train.bin`, `validation.bin`, `test.bin` (tokens in sequence), `counts.bin`
(occurrences of each piece in the training split), `tokenizer.json` and `meta.json`, which stores length and checksum of
the other files. An entry is written under another name and renamed under a lock, so that it is complete or absent. An
entry that disagrees with its `meta.json` is built again. Files up to WHOLE_BYTES are checked in full at every load. Of
larger ones, only the length and the first and last ENDS_BYTES are checked, which takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from optbench.data.corpus import SPLITS, Corpus, chunks
from optbench.data.tokenizer import Tokenizer, tokenizer_from_json
from optbench.errors import ConfigError, first_line
from optbench.files import expanded

FORMAT = 1  # part of every key: changing how text becomes tokens requires new entries
WHOLE_BYTES = 64 << 20
ENDS_BYTES = 1 << 20
CHUNK_CHARACTERS = 1 << 16  # one thread tokenises this much at a time
BATCH_CHARACTERS = 1 << 22  # tokenised between two writes
META = "meta.json"


class Checksum(TypedDict):
    """Length and hash of a file."""

    bytes: int
    sha256: str


class Contents(TypedDict):
    """The contents of an entry, as `meta.json` describes them."""

    dtype: str
    tokens: dict[str, int]
    sha256: dict[str, str]
    files: dict[str, Checksum]


@dataclass(frozen=True)
class TokenFiles:
    """The tokens of a corpus on disk: one entry of the cache."""

    folder: Path
    tokenizer: Tokenizer
    dtype: str
    tokens: dict[str, int]
    """Number of tokens by split."""
    sha256: dict[str, str]
    """Hash of the tokens of each split."""

    def mapped(self, split: str) -> np.ndarray:
        """Return the tokens of a split, (n,), as a memory map."""
        if not self.tokens[split]:
            return np.empty(0, self.dtype)  # an empty file cannot be mapped
        return np.memmap(self.folder / f"{split}.bin", self.dtype, mode="r")

    def counts(self) -> np.ndarray:
        """Return the occurrences of each piece in the training split, int64 (size,)."""
        return np.fromfile(self.folder / "counts.bin", np.int64)


def cache_folder() -> Path:
    """Return $OPTBENCH_CACHE_DIR/tokens, or ~/.cache/optbench/tokens."""
    return expanded(os.environ.get("OPTBENCH_CACHE_DIR") or "~/.cache/optbench") / "tokens"


def key_of(corpus: Corpus, tokenizer: str) -> str:
    """Return the name of an entry; `tokenizer` identifies the tokenizer or describes its training."""
    return hashlib.sha256(f"{FORMAT}\n{corpus.fingerprint}\n{tokenizer}".encode()).hexdigest()[:32]


def find_or_build(corpus: Corpus, tokenizer: str, make: Callable[[], Tokenizer]) -> TokenFiles:
    """Return the corpus's tokens from the cache, or tokenise it now with the tokenizer from `make`.

    Raises ConfigError if the cache is not writable."""
    import filelock

    root, key = cache_folder(), key_of(corpus, tokenizer)
    found = open_entry(root / key)
    if found:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / f"{key}.lock"):
            return open_entry(root / key) or build(corpus, root, key, make)
    except OSError as error:
        raise ConfigError(
            f"The token cache {root} cannot be written: {first_line(error)}",
            "Set OPTBENCH_CACHE_DIR to a writable folder",
        ) from error


def open_entry(folder: Path) -> TokenFiles | None:
    """Return the entry in a folder; None if it is absent or damaged."""
    try:
        meta = json.loads((folder / META).read_text())
        contents: Contents = meta["facts"]
        if meta["sha256"] != contents_sha256(contents):
            return None
        if any(checksum(folder / name) != expected for name, expected in contents["files"].items()):
            return None
        tokenizer = tokenizer_from_json((folder / "tokenizer.json").read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return TokenFiles(folder, tokenizer, contents["dtype"], contents["tokens"], contents["sha256"])


def build(corpus: Corpus, root: Path, key: str, make: Callable[[], Tokenizer]) -> TokenFiles:
    """Tokenise a corpus into a new entry, replacing a damaged one. The caller holds the lock."""
    for leftover in root.glob(f".{key}.*"):  # of a killed process
        shutil.rmtree(leftover)
    temporary = root / f".{key}.{os.getpid()}"  # not by mkdtemp, whose folders nobody else may read
    temporary.mkdir()
    try:
        write_entry(corpus, temporary, make())
        if (root / key).exists():
            shutil.rmtree(root / key)
        temporary.rename(root / key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    entry = open_entry(root / key)
    if entry is None:
        raise OSError("the written entry reads back differently")
    return entry


def write_entry(corpus: Corpus, folder: Path, tokenizer: Tokenizer) -> None:
    """Write every file of an entry, `meta.json` last."""
    dtype = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.int32)
    counts = np.zeros(tokenizer.size, np.int64)
    tokens: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for split in SPLITS:
        counted = counts if split == "train" else None
        pieces = tokenise(corpus.documents(split), tokenizer, dtype)
        tokens[split], hashes[split] = write_tokens(folder / f"{split}.bin", pieces, counted)
    counts.tofile(folder / "counts.bin")
    (folder / "tokenizer.json").write_text(tokenizer.as_json())
    files = {file.name: checksum(file) for file in sorted(folder.iterdir())}
    contents: Contents = {"dtype": dtype.name, "tokens": tokens, "sha256": hashes, "files": files}
    (folder / META).write_text(json.dumps({"facts": contents, "sha256": contents_sha256(contents)}))


def write_tokens(file: Path, parts: Iterator[np.ndarray], counts: np.ndarray | None) -> tuple[int, str]:
    """Write tokens and return their number and hash; add their occurrences to `counts`."""
    total, hashed = 0, hashlib.sha256()
    with open(file, "wb") as stream:
        for part in parts:
            stream.write(part.tobytes())
            hashed.update(part.tobytes())
            total += len(part)
            if counts is not None:
                counts += np.bincount(part, minlength=len(counts))
    return total, hashed.hexdigest()


def tokenise(documents: Iterator[str], tokenizer: Tokenizer, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Yield the documents' tokens, each document followed by `end`, in parts of some millions."""
    for batch in batches(documents):
        row: list[int] = []
        for pieces, (_, last) in zip(tokenizer.encode([text for text, _ in batch]), batch, strict=True):
            row += pieces
            if last:
                row.append(tokenizer.end)
        yield np.array(row, dtype)


def batches(documents: Iterator[str]) -> Iterator[list[tuple[str, bool]]]:
    """Yield batches of about BATCH_CHARACTERS: (chunk, True if it is the last one of its document)."""
    batch: list[tuple[str, bool]] = []
    size = 0
    for document in documents:
        texts = list(chunks(document, CHUNK_CHARACTERS))
        for number, text in enumerate(texts, 1):
            batch.append((text, number == len(texts)))
            size += len(text)
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def checksum(file: Path) -> Checksum:
    """Return a file's length and hash: of the whole file up to WHOLE_BYTES, else of its two ends."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        if size <= WHOLE_BYTES:
            return {"bytes": size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
        head = stream.read(ENDS_BYTES)
        stream.seek(size - ENDS_BYTES)
        return {"bytes": size, "sha256": hashlib.sha256(head + stream.read()).hexdigest()}


def contents_sha256(contents: Contents) -> str:
    """Hash the description of an entry."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
