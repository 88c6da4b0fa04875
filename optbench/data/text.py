"""Any UTF-8 text: a file, or a folder of files, optionally named by split (train.txt, valid.txt, test.txt)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optbench.contracts import Progress
from optbench.data.corpus import Corpus
from optbench.data.text_files import corpus_of_files, split_files
from optbench.data.text_source import TextSource
from optbench.errors import ConfigError, MissingError
from optbench.files import expanded


@dataclass(frozen=True, kw_only=True)
class Text(TextSource):
    """The user's text files; `text_files.split_files` assigns them to splits."""

    path: str | None
    separator: str | None
    validation: float

    def expected_path(self, root: Path) -> Path:
        """Return `data.path`; a relative path that does not exist here is relative to the data folder."""
        if self.path is None:
            raise ConfigError("data.path is missing", "Give a text file or a folder of text files: data.path=PATH")
        path = expanded(self.path)
        return path if path.is_absolute() or path.exists() else root / path

    def locate(self, root: Path) -> Path | None:
        """Return the file or folder."""
        path = self.expected_path(root)
        return path if path.exists() else None

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the file or folder; there is nothing to download."""
        return self.require(root)

    def corpus(self, root: Path) -> Corpus:
        """Return the documents in three splits."""
        path, rule = self.require(root), f"separator {self.separator!r}"
        return corpus_of_files(str(path), split_files(path), self.validation, rule, self._documents)

    def _documents(self, text: str) -> list[str]:
        return text.split(self.separator) if self.separator else [text]

    def missing(self, root: Path) -> MissingError:
        """Describe the missing path."""
        return MissingError(
            f"data.path={self.path}: {self.expected_path(root)} does not exist", "Give a file or folder of text"
        )
