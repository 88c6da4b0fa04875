"""Python's documentation topics, as `help()` shows them: about 0.4 MB of text that comes with Python.

Documents are the topics in sorted order. Topics repeat one another (help("for") is a section of help("compound")), so a
paragraph that has occurred before, up to white space, is left out: else a fifth of the validation part would stand in
the training part. What remains of a topic is divided as `corpus.divided` says. The topics differ between Python
releases, and with them the hash of the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from optbench.contracts import Seeds
from optbench.data.corpus import Corpus, divided
from optbench.data.tokens import PackedTokens, TextForm
from optbench.errors import MissingError

HELD_OUT = ("validation", "test")


class PyDocs:
    """The embedded text."""

    def __init__(self, *, validation: float, sequence_length: int, vocabulary: int, tokenizer: str | None) -> None:
        self.validation = validation
        self.form = TextForm(sequence_length=sequence_length, vocabulary=vocabulary, tokenizer=tokenizer)

    def locate(self, root: Path) -> Path:
        """The folder of Python's own module."""
        import pydoc_data

        return Path(pydoc_data.__path__[0])

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """It is here already."""
        return self.locate(root)

    def verify(self, root: Path) -> list[str]:
        """There is no checksum: each Python release has its own text."""
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """The topics' samples."""
        return self.form.dataset(self.corpus(), root, device, seeds)

    def corpus(self) -> Corpus:
        """The topics without repetitions."""
        texts = [text for text in without_repetitions(topics()) if text.strip()]
        digest = hashlib.sha256(f"pydocs {self.validation}\n".encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode()).digest())

        def documents(split: str) -> Iterator[str]:
            parts = (divided(text, self.validation, HELD_OUT).get(split) for text in texts)
            return (part for part in parts if part)

        return Corpus("data=pydocs", digest.hexdigest(), documents)


def topics() -> list[str]:
    """The topics' texts in the sorted order of their names."""
    try:
        from pydoc_data.topics import topics as found
    except ImportError as error:
        raise MissingError(
            "data=pydocs: this Python comes without pydoc_data.topics", "Take data=text data.path=FILE"
        ) from error
    return [found[name] for name in sorted(found)]


def without_repetitions(texts: list[str]) -> Iterator[str]:
    """The texts without the paragraphs that have occurred before, in the same text or an earlier one."""
    seen: set[str] = set()
    for text in texts:
        kept = []
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if words not in seen:
                kept.append(paragraph)
            seen.add(words)
        yield "\n\n".join(kept)
