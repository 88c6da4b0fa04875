"""A corpus: documents in three splits that can be read again and again, and the rules by which text is divided.

No text stands in two splits: a long document is cut into contiguous pieces, a short one goes as a whole where its own
hash says, so that copies of it go the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from optbench.errors import ConfigError

SPLITS = ("train", "validation", "test")
LONG_CHARACTERS = 4000  # from here on a document is cut; pieces of shorter ones would be too short to be of use
LINE_REACH = 1000  # characters that a cut moves back for the sake of a whole line


@dataclass(frozen=True)
class Corpus:
    """Text before it is tokenised."""

    name: str
    """What errors call it: a key and its value, or a path."""
    fingerprint: str
    """Hash of the documents of every split, or of what they follow from."""
    documents: Callable[[str], Iterator[str]]
    """The documents of a split in their order, anew at each call."""


def divided(text: str, share: float, held_out: Sequence[str]) -> dict[str, str]:
    """A document's text by split: `share` of it for each split of `held_out`, the first part for training."""
    if not held_out:
        return {"train": text}
    if len(text) < LONG_CHARACTERS:
        return {by_hash(text, share, held_out): text}
    return dict(zip(("train", *held_out), contiguous(text, share, len(held_out)), strict=True))


def contiguous(text: str, share: float, parts: int) -> list[str]:
    """A text in `parts` + 1 contiguous pieces, each but the first with `share` of it.

    A cut moves back to the last line end within LINE_REACH characters."""
    points = [0, *(round(len(text) * (1 - share * left)) for left in range(parts, 0, -1)), len(text)]
    for at in range(1, parts + 1):
        low = max(points[at - 1], points[at] - LINE_REACH)
        points[at] = text.rfind("\n", low, points[at]) + 1 or points[at]
    return [text[first:last] for first, last in pairwise(points)]


def by_hash(text: str, share: float, held_out: Sequence[str]) -> str:
    """The split of a whole document: each of `held_out` with probability `share`, over texts."""
    draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    place = int(draw / share)
    return held_out[place] if place < len(held_out) else "train"


def chunks(text: str, characters: int) -> Iterator[str]:
    """The text in pieces of at most `characters`, cut after line ends where lines are short enough."""
    first = 0
    while len(text) - first > characters:
        last = text.rfind("\n", first, first + characters) + 1 or first + characters
        yield text[first:last]
        first = last
    yield text[first:]


def require_text(corpus: Corpus) -> None:
    """ConfigError where the training part holds nothing but white space."""
    if not any(document.strip() for document in corpus.documents("train")):
        raise ConfigError(f"{corpus.name} holds no text to train on", "Give it some, or take another set")
