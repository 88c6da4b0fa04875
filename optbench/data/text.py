"""Any UTF-8 text: a file, or a folder of files, with parts of its own (train.txt, valid.txt, test.txt) or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from optbench.contracts import Seeds
from optbench.data.corpus import Corpus
from optbench.data.text_files import corpus_of, parts_of
from optbench.data.tokens import PackedTokens, TextForm
from optbench.errors import ConfigError, MissingError


class Text:
    """Text files; `text_files.parts_of` says which file is of which part."""

    def __init__(
        self,
        *,
        path: str | None,
        separator: str | None,
        validation: float,
        sequence_length: int,
        vocabulary: int,
        tokenizer: str | None,
    ) -> None:
        self.path, self.separator, self.validation = path, separator, validation
        self.form = TextForm(sequence_length=sequence_length, vocabulary=vocabulary, tokenizer=tokenizer)

    def place(self, root: Path) -> Path:
        """Where the text is looked for: `data.path`, relative to the data folder where it is not found from here."""
        if self.path is None:
            raise ConfigError("data.path is missing", "Give a text file or a folder of them: data.path=PATH")
        given = Path(self.path).expanduser()
        return given if given.is_absolute() or given.exists() else root / given

    def locate(self, root: Path) -> Path | None:
        """The file or folder."""
        place = self.place(root)
        return place if place.exists() else None

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """Nothing to fetch: the text is the user's."""
        return self._require(root)

    def verify(self, root: Path) -> list[str]:
        """There are no published checksums."""
        self._require(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """The text's samples."""
        return self.form.dataset(self.corpus(root), root, device, seeds)

    def corpus(self, root: Path) -> Corpus:
        """The text in three parts."""
        place = self._require(root)
        return corpus_of(str(place), parts_of(place), self.validation, f"separator {self.separator!r}", self._documents)

    def _documents(self, text: str) -> list[str]:
        return text.split(self.separator) if self.separator else [text]

    def _require(self, root: Path) -> Path:
        found = self.locate(root)
        if found is None:
            raise MissingError(
                f"data.path={self.path}: {self.place(root)} is not there", "Give a file or folder of text"
            )
        return found
