"""Text files in three splits: which files of a folder belong to which split, and the corpus that they form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.config.foreign_entries import is_foreign
from optbench.data.corpus import HELD_OUT, SPLITS, Corpus, split_document
from optbench.errors import ConfigError, MissingError, first_line
from optbench.files import read_bytes

SUFFIXES = {".txt", ".text", ".md", ".rst", ".raw", ".tokens"}
SPLIT_NAMES = {
    "train": {"train", "training"},
    "validation": {"valid", "validation", "val", "dev"},
    "test": {"test"},
}

SplitText = Callable[[str], Iterable[str]]
"""Splits a file's text into documents."""


@dataclass(frozen=True)
class SplitFiles:
    """Text files by split, in the order they are read; a split without files is cut from the training files."""

    files: dict[str, list[Path]]

    @property
    def held_out(self) -> list[str]:
        """The splits that are cut from the training files."""
        return [split for split in HELD_OUT if not self.files[split]]


def split_files(path: Path) -> SplitFiles:
    """Assign the text files of a folder to splits. A single file is all training text.

    A file or folder at the top called train, valid (validation, val, dev) or test is that split, with or without more
    words: `train.txt`, `wiki.valid.raw`, `test/`. If there are training files, other files are ignored; else all others
    are the training files. Validation files without test files become the test split, since a reported split must not
    be used to choose. Raises ConfigError if there are no training files."""
    if path.is_file():
        return SplitFiles({"train": [path], "validation": [], "test": []})
    named: dict[str, list[Path]] = {split: [] for split in SPLITS}
    others: list[Path] = []
    for entry in entries_of(path):
        split = split_of_name(entry.name)
        (others if split is None else named[split]).extend(text_files(entry))
    train = named["train"] or others
    if not train:
        found = " and ".join(split for split in SPLITS if named[split])
        if found:
            raise ConfigError(f"{path} has text for {found}, but none to train on", "Add a train.txt")
        raise ConfigError(f"{path} has no text files ({', '.join(sorted(SUFFIXES))})", "Set data.path to text files")
    validation, test = named["validation"], named["test"]
    return SplitFiles({"train": train, "validation": validation if test else [], "test": test or validation})


def split_of_name(name: str) -> str | None:
    """Return the split that a file's or folder's name states."""
    words = set(name.lower().split("."))
    return next((split for split, names in SPLIT_NAMES.items() if words & names), None)


def text_files(entry: Path) -> list[Path]:
    """Return the text files at or below a folder's entry, sorted and without hidden and foreign ones."""
    if is_foreign(entry.name) or (entry.is_symlink() and entry.resolve() in (entry.parent / "x").resolve().parents):
        return []  # the second is a link to a folder that it lies in
    if entry.is_dir():
        return [file for below in entries_of(entry) for file in text_files(below)]
    return [entry] if entry.suffix.lower() in SUFFIXES else []


def entries_of(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder. Raises MissingError if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise MissingError(f"{folder} cannot be read: {error.strerror or first_line(error)}") from error


def read_text(file: Path) -> str:
    """Read a UTF-8 file and keep its line ends. Raises MissingError with the name of an unreadable file."""
    try:
        return read_bytes(file, limit=None).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MissingError(
            f"{file} cannot be decoded: byte {error.start} is not UTF-8", "Convert it, or move it out of the folder"
        ) from error
    except OSError as error:
        raise MissingError(f"{file} cannot be read: {error.strerror or first_line(error)}") from error


def corpus_of_files(name: str, parts: SplitFiles, share: float, rule: str, split_text: SplitText) -> Corpus:
    """Return the corpus of the files. `rule` names what `split_text` does and is part of the fingerprint."""
    held_out = parts.held_out
    digest = hashlib.sha256(f"{share if held_out else None} {held_out} {rule}\n".encode())
    for split in SPLITS:
        for file in parts.files[split]:
            digest.update(f"{split} {hashlib.sha256(read_text(file).encode()).hexdigest()}\n".encode())

    def documents(split: str) -> Iterator[str]:
        whole = split not in ("train", *held_out)
        for text in documents_of(parts.files["train" if split in held_out else split], split_text):
            part = text if whole else split_document(text, share, held_out).get(split, "")
            if part.strip():
                yield part

    return Corpus(name, digest.hexdigest(), documents)


def documents_of(files: Sequence[Path], split_text: SplitText) -> Iterator[str]:
    """Yield the documents of the files."""
    for file in files:
        yield from split_text(read_text(file))
