"""Any UTF-8 text: a file, or a folder of files, optionally named by split (train.txt, valid.txt, test.txt)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.contracts import Progress
from optbench.data.corpus import Corpus
from optbench.data.text_files import corpus_of_files, read_text, split_files
from optbench.data.text_source import TextSource
from optbench.data.user_path import find_user_path, missing_path
from optbench.errors import ConfigError, MissingError


@dataclass(frozen=True, kw_only=True)
class Text(TextSource):
    """The user's text files; `text_files.split_files` assigns them to splits."""

    path: str | None
    separator: str | None
    validation: float

    def expected_path(self, root: Path) -> Path:
        """Return `data.path`; a relative path that does not exist here is relative to the data folder."""
        if not self.path:
            raise ConfigError("data.path is missing", "Give a text file or a folder of text files: data.path=PATH")
        return find_user_path(self.path, root)

    def locate(self, root: Path) -> Path | None:
        """Return the file or folder."""
        path = self.expected_path(root)
        return path if os.path.isfile(path) or os.path.isdir(path) else None

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the file or folder; there is nothing to download."""
        return self.require(root)

    def corpus(self, root: Path) -> Corpus:
        """Return the documents in three splits."""
        path, rule = self.require(root), f"separator {self.separator!r}"
        parts = split_files(path)
        if self.separator:
            self._require_separator([file for files in parts.files.values() for file in files])
        return corpus_of_files(str(path), parts, self.validation, rule, self._documents)

    def _documents(self, text: str) -> list[str]:
        return text.split(self.separator) if self.separator else [text]

    def _require_separator(self, files: Sequence[Path]) -> None:
        """Raise ConfigError if no file has the separator."""
        assert self.separator
        windows = self.separator.replace("\n", "\r\n")
        in_windows = False
        for text in map(read_text, files):
            if self.separator in text:
                return
            in_windows |= windows in text
        hint = (
            f"The lines end with \\r\\n: data.separator={windows!r}"
            if in_windows
            else "Leave it out: a file is then one document"
        )
        raise ConfigError(f"data.separator={self.separator!r} does not occur in data.path={self.path}", hint)

    def missing(self, root: Path) -> MissingError:
        """Describe the missing path."""
        return missing_path("data.path", str(self.path), root, "file or folder")
