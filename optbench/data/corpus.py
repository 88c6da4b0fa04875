"""A corpus: documents in three splits, read any number of times, and the rules that assign text to splits.

No text occurs in two splits. A long document is cut into contiguous parts. A short one goes whole into the split that
its hash selects, so that its copies go to the same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from optbench.errors import ConfigError

SPLITS = ("train", "validation", "test")
HELD_OUT = SPLITS[1:]
LONG_CHARACTERS = 4000  # documents from this length on are cut; parts of shorter ones would be too short
LINE_REACH = 1000  # a cut moves back by at most this many characters to the end of a line
MORE_TEXT = (
    f"Give a document of {LONG_CHARACTERS:,} characters or more, or many (see data.separator), or a folder with "
    "train.txt, valid.txt and test.txt; or raise data.validation"
)


@dataclass(frozen=True)
class Corpus:
    """Text before tokenisation."""

    name: str
    """The corpus in error messages: a key and its value, or a path."""
    fingerprint: str
    """Hash of the documents of all splits, or of what determines them."""
    documents: Callable[[str], Iterator[str]]
    """Yields the documents of a split in order; each call starts again."""


def split_document(text: str, share: float, held_out: Sequence[str]) -> dict[str, str]:
    """Return a document's text by split: the training part first, then `share` of it for each split of `held_out`."""
    if not held_out:
        return {"train": text}
    if len(text) < LONG_CHARACTERS:
        return {split_by_hash(text, share, held_out): text}
    return dict(zip(("train", *held_out), contiguous_parts(text, share, len(held_out)), strict=True))


def contiguous_parts(text: str, share: float, held_out: int) -> list[str]:
    """Cut a text into `held_out` + 1 contiguous parts; each but the first has `share` of it.

    A cut moves back to the last line end within LINE_REACH characters."""
    cuts = [0, *(round(len(text) * (1 - share * left)) for left in range(held_out, 0, -1)), len(text)]
    for index in range(1, held_out + 1):
        low = max(cuts[index - 1], cuts[index] - LINE_REACH)
        cuts[index] = text.rfind("\n", low, cuts[index]) + 1 or cuts[index]
    return [text[first:last] for first, last in pairwise(cuts)]


def split_by_hash(text: str, share: float, held_out: Sequence[str]) -> str:
    """Return the split of a whole document; over texts, each split of `held_out` has probability `share`."""
    uniform = int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
    index = int(uniform / share)
    return held_out[index] if index < len(held_out) else "train"


def chunks(text: str, characters: int) -> Iterator[str]:
    """Yield the text in chunks of at most `characters`, cut after line ends if lines are short enough."""
    first = 0
    while len(text) - first > characters:
        last = text.rfind("\n", first, first + characters) + 1 or first + characters
        yield text[first:last]
        first = last
    yield text[first:]


def require_text(corpus: Corpus) -> None:
    """Raise ConfigError unless every split has more than white space."""
    empty = [split for split in SPLITS if not any(document.strip() for document in corpus.documents(split))]
    if len(empty) == len(SPLITS):
        raise ConfigError(f"{corpus.name} has no text to train on", "Choose another file, folder or data set")
    if empty:
        raise ConfigError(
            f"{corpus.name} is too short for three splits: there is no text for {' and '.join(empty)}", MORE_TEXT
        )
