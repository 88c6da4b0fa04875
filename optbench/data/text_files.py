"""Text files in three parts: which files of a folder belong to which, and the corpus that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.data.corpus import SPLITS, Corpus, divided
from optbench.errors import ConfigError, MissingError, first_line

SUFFIXES = {".txt", ".text", ".md", ".rst", ".raw", ".tokens"}
NAMES = {
    "train": {"train", "training"},
    "validation": {"valid", "validation", "val", "dev"},
    "test": {"test"},
}

Divide = Callable[[str], Iterable[str]]
"""The documents of a file's text."""


@dataclass(frozen=True)
class Parts:
    """Text files by split, in the order they are read; a split without files is cut from the training files."""

    files: dict[str, list[Path]]

    @property
    def held_out(self) -> list[str]:
        """The splits that are cut from the training files."""
        return [split for split in SPLITS[1:] if not self.files[split]]


def parts_of(place: Path) -> Parts:
    """The parts of a folder, or of a single file, which is all training text.

    At the top of the folder, a file or folder called train, valid (validation, val, dev) or test, like `train.txt`,
    `wiki.valid.raw` or `test/`, is that part. Where there is a training part, other files are left alone; else all
    others are the training part. A validation part without a test part is the test part, since nothing may be chosen
    on what is reported. ConfigError where nothing is left to train on."""
    if place.is_file():
        return Parts({"train": [place], "validation": [], "test": []})
    named: dict[str, list[Path]] = {split: [] for split in SPLITS}
    others: list[Path] = []
    for entry in sorted(place.iterdir()):
        split = part_named(entry.name)
        (others if split is None else named[split]).extend(text_files(entry))
    train = named["train"] or others
    if not train:
        found = " and ".join(split for split in SPLITS if named[split])
        if found:
            raise ConfigError(f"{place} holds text for {found}, and none to train on", "Put train.txt beside it")
        raise ConfigError(f"{place} holds no text files: {', '.join(sorted(SUFFIXES))}", "Point data.path at some")
    validation, test = named["validation"], named["test"]
    return Parts({"train": train, "validation": validation if test else [], "test": test or validation})


def part_named(name: str) -> str | None:
    """The split that a file's or folder's name says."""
    words = set(name.lower().split("."))
    return next((split for split, names in NAMES.items() if words & names), None)


def text_files(entry: Path) -> list[Path]:
    """The text files at or below an entry of a folder, sorted; hidden ones are left out."""
    if entry.name.startswith("."):
        return []
    if entry.is_dir():
        return [file for below in sorted(entry.iterdir()) for file in text_files(below)]
    return [entry] if entry.suffix.lower() in SUFFIXES else []


def read_text(file: Path) -> str:
    """A UTF-8 file's text, line ends as they are. MissingError names a file that cannot be read."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MissingError(
            f"{file} cannot be decoded: byte {error.start} is not UTF-8", "Convert it, or move it out of the folder"
        ) from error
    except OSError as error:
        raise MissingError(f"{file} cannot be read: {error.strerror or first_line(error)}") from error


def corpus_of(name: str, parts: Parts, share: float, rule: str, documents_in: Divide) -> Corpus:
    """The corpus of the files; `rule` says what `documents_in` does, for the fingerprint."""
    held_out = parts.held_out
    digest = hashlib.sha256(f"{share if held_out else None} {held_out} {rule}\n".encode())
    for split in SPLITS:
        for file in parts.files[split]:
            digest.update(f"{split} {hashlib.sha256(read_text(file).encode()).hexdigest()}\n".encode())

    def documents(split: str) -> Iterator[str]:
        whole = split not in ("train", *held_out)
        for text in texts(parts.files["train" if split in held_out else split], documents_in):
            part = text if whole else divided(text, share, held_out).get(split, "")
            if part.strip():
                yield part

    return Corpus(name, digest.hexdigest(), documents)


def texts(files: Sequence[Path], documents_in: Divide) -> Iterator[str]:
    """The documents of the files."""
    for file in files:
        yield from documents_in(read_text(file))
