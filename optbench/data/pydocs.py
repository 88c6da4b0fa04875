"""Python's documentation topics, as `help()` shows them: about 0.4 MB of text that comes with Python.

Documents are the topics in sorted order. Topics repeat one another: help("for") is a section of help("compound").
A paragraph that occurred before, up to white space, is left out; otherwise a fifth of the validation split would also
be training text. `corpus.split_document` assigns the rest of each topic to splits. The topics, and so the data hash,
differ between Python releases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optbench.contracts import Progress
from optbench.data.corpus import HELD_OUT, Corpus, split_document
from optbench.data.text_source import TextSource
from optbench.errors import MissingError


@dataclass(frozen=True, kw_only=True)
class PyDocs(TextSource):
    """The embedded text."""

    validation: float

    def locate(self, root: Path) -> Path:
        """Return the folder of Python's own module."""
        import pydoc_data

        return Path(pydoc_data.__path__[0])

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the folder; there is nothing to download."""
        return self.locate(root)

    def corpus(self, root: Path) -> Corpus:
        """Return the topics without repetitions."""
        texts = [text for text in without_repetitions(topics()) if text.strip()]
        digest = hashlib.sha256(f"pydocs {self.validation}\n".encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode()).digest())

        def documents(split: str) -> Iterator[str]:
            parts = (split_document(text, self.validation, HELD_OUT).get(split) for text in texts)
            return (part for part in parts if part)

        return Corpus("data=pydocs", digest.hexdigest(), documents)


def topics() -> list[str]:
    """Return the texts of the topics, sorted by name."""
    try:
        from pydoc_data.topics import topics as found
    except ImportError as error:
        raise MissingError(
            "data=pydocs: this Python has no module pydoc_data.topics", "Use data=text data.path=FILE"
        ) from error
    return [found[name] for name in sorted(found)]


def without_repetitions(texts: list[str]) -> Iterator[str]:
    """Yield the texts without paragraphs that occurred before, in the same text or an earlier one."""
    seen: set[str] = set()
    for text in texts:
        kept = []
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if words not in seen:
                kept.append(paragraph)
            seen.add(words)
        yield "\n\n".join(kept)
