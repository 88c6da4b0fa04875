"""Text that a user's function returns: documents in memory, tokenised like any text data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from optbench.config.notices import say_once
from optbench.contracts import Progress
from optbench.data.corpus import HELD_OUT, SPLITS, Corpus, split_document
from optbench.data.text_source import TextSource


@dataclass(frozen=True, kw_only=True)
class OwnText(TextSource):
    """Documents by split; a split that is missing is cut from the training documents."""

    where: str
    documents: Mapping[str, list[str]]
    validation: float

    def locate(self, root: Path) -> Path:
        """Return the data folder: the text is in memory."""
        return root

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the data folder; there is nothing to download."""
        return root

    def corpus(self, root: Path) -> Corpus:
        """Return the documents in three splits."""
        missing = [split for split in HELD_OUT if split not in self.documents]
        if missing:
            say_once(f"{self.where}: {self.validation:g} of the text is cut off for {' and for '.join(missing)}")
        digest = hashlib.sha256(f"own {self.validation} {missing}".encode())
        for split, documents in sorted(self.documents.items()):
            digest.update(f"\n{split}:".encode() + "\0".join(documents).encode(errors="surrogatepass"))

        def of(split: str) -> Iterator[str]:
            if split in self.documents and split != "train":
                yield from self.documents[split]
                return
            for document in self.documents["train"]:
                yield from filter(None, [split_document(document, self.validation, missing).get(split, "")])

        assert SPLITS[0] == "train"
        return Corpus(self.where, digest.hexdigest(), of)
