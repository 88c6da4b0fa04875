"""Tokens on disk: written once, found again by the hash of content and tokenizer, mapped into memory.

An entry is a folder `KEY/` with `train.bin`, `validation.bin`, `test.bin` (tokens in a row), `counts.bin` (occurrences
of each piece in the training part), `tokenizer.json` and `meta.json`, which holds the length and a checksum of each of
the others. It is written under another name and renamed as a whole, under a lock, so that an entry is whole or absent.
Whatever does not agree with its `meta.json` is built anew. Files up to WHOLE_BYTES are checked in full at every load,
larger ones by their length and their first and last ENDS_BYTES, which costs milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optbench.data.corpus import SPLITS, Corpus, chunks
from optbench.data.tokenizer import Tokenizer, restored
from optbench.errors import ConfigError, first_line

FORMAT = 1  # part of every key: a change of how text becomes tokens makes new entries
WHOLE_BYTES = 64 << 20
ENDS_BYTES = 1 << 20
CHUNK_CHARACTERS = 1 << 16  # what is tokenised at once by one thread
BATCH_CHARACTERS = 1 << 22  # what is tokenised between two writes
META = "meta.json"


@dataclass(frozen=True)
class Entry:
    """Tokens of a corpus, as they lie on disk."""

    folder: Path
    tokenizer: Tokenizer
    dtype: str
    tokens: dict[str, int]
    """Number of tokens by split."""
    sha256: dict[str, str]
    """Hash of the tokens of each split."""

    def mapped(self, split: str) -> np.ndarray:
        """The tokens of a split, (n,), read where they are touched."""
        if not self.tokens[split]:
            return np.empty(0, self.dtype)  # an empty file cannot be mapped
        return np.memmap(self.folder / f"{split}.bin", self.dtype, mode="r")

    def counts(self) -> np.ndarray:
        """Occurrences of each piece in the training part, int64 (size,)."""
        return np.fromfile(self.folder / "counts.bin", np.int64)


def cache_folder() -> Path:
    """$OPTBENCH_CACHE_DIR/tokens, or ~/.cache/optbench/tokens."""
    return Path(os.environ.get("OPTBENCH_CACHE_DIR") or "~/.cache/optbench").expanduser() / "tokens"


def key_of(corpus: Corpus, tokenizer: str) -> str:
    """The name of an entry; `tokenizer` says which one, or how it is trained."""
    return hashlib.sha256(f"{FORMAT}\n{corpus.fingerprint}\n{tokenizer}".encode()).hexdigest()[:32]


def entry_of(corpus: Corpus, tokenizer: str, make: Callable[[], Tokenizer]) -> Entry:
    """The corpus's tokens, from the cache or built now by the tokenizer that `make` gives.

    ConfigError where the cache cannot be written."""
    import filelock

    root, key = cache_folder(), key_of(corpus, tokenizer)
    found = opened(root / key)
    if found:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / f"{key}.lock"):
            return opened(root / key) or build(corpus, root, key, make)
    except OSError as error:
        raise ConfigError(
            f"The token cache {root} cannot be written: {first_line(error)}",
            "Point OPTBENCH_CACHE_DIR at a folder that can be written",
        ) from error


def opened(folder: Path) -> Entry | None:
    """The entry in a folder; None where it is absent or damaged."""
    try:
        meta = json.loads((folder / META).read_text())
        facts = meta["facts"]
        if meta["sha256"] != digest(facts) or any(checked(folder / name) != c for name, c in facts["files"].items()):
            return None
        tokenizer = restored((folder / "tokenizer.json").read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Entry(folder, tokenizer, facts["dtype"], facts["tokens"], facts["sha256"])


def build(corpus: Corpus, root: Path, key: str, make: Callable[[], Tokenizer]) -> Entry:
    """Tokenise a corpus into a new entry, in place of a damaged one. The caller holds the lock."""
    for left in root.glob(f".{key}.*"):  # of a process that was killed
        shutil.rmtree(left)
    temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{key}."))
    try:
        write_entry(corpus, temporary, make())
        if (root / key).exists():
            shutil.rmtree(root / key)
        temporary.rename(root / key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    entry = opened(root / key)
    if entry is None:
        raise OSError("what was written reads back differently")
    return entry


def write_entry(corpus: Corpus, folder: Path, tokenizer: Tokenizer) -> None:
    """Every file of an entry, `meta.json` last."""
    dtype = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.int32)
    counts = np.zeros(tokenizer.size, np.int64)
    tokens, hashes = {}, {}
    for split in SPLITS:
        counted = counts if split == "train" else None
        pieces = tokenised(corpus.documents(split), tokenizer, dtype)
        tokens[split], hashes[split] = write_tokens(folder / f"{split}.bin", pieces, counted)
    counts.tofile(folder / "counts.bin")
    (folder / "tokenizer.json").write_text(tokenizer.as_text())
    files = {file.name: checked(file) for file in sorted(folder.iterdir())}
    facts = {"dtype": dtype.name, "tokens": tokens, "sha256": hashes, "files": files}
    (folder / META).write_text(json.dumps({"facts": facts, "sha256": digest(facts)}))


def write_tokens(file: Path, parts: Iterator[np.ndarray], counts: np.ndarray | None) -> tuple[int, str]:
    """Number and hash of the tokens written; their occurrences are added to `counts`."""
    total, hashed = 0, hashlib.sha256()
    with open(file, "wb") as stream:
        for part in parts:
            stream.write(part.tobytes())
            hashed.update(part.tobytes())
            total += len(part)
            if counts is not None:
                counts += np.bincount(part, minlength=len(counts))
    return total, hashed.hexdigest()


def tokenised(documents: Iterator[str], tokenizer: Tokenizer, dtype: np.dtype) -> Iterator[np.ndarray]:
    """The documents' tokens, each document followed by `end`, in parts of some millions."""
    for batch in batches(documents):
        row: list[int] = []
        for pieces, (_, last) in zip(tokenizer.encode([text for text, _ in batch]), batch, strict=True):
            row += pieces
            if last:
                row.append(tokenizer.end)
        yield np.array(row, dtype)


def batches(documents: Iterator[str]) -> Iterator[list[tuple[str, bool]]]:
    """Pieces of documents, with whether each is its document's last, in batches of about BATCH_CHARACTERS."""
    batch: list[tuple[str, bool]] = []
    size = 0
    for document in documents:
        pieces = list(chunks(document, CHUNK_CHARACTERS))
        for number, text in enumerate(pieces, 1):
            batch.append((text, number == len(pieces)))
            size += len(text)
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def checked(file: Path) -> dict[str, Any]:
    """Length and checksum of a file: of all of it up to WHOLE_BYTES, else of its two ends."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        if size <= WHOLE_BYTES:
            return {"bytes": size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
        head = stream.read(ENDS_BYTES)
        stream.seek(size - ENDS_BYTES)
        return {"bytes": size, "sha256": hashlib.sha256(head + stream.read()).hexdigest()}


def digest(facts: Any) -> str:
    """Hash of plain data."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
