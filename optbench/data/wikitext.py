"""WikiText (Merity et al., 2016): Wikipedia articles in three published splits, of 2 or 103 million words.

Documents are articles; each begins with a line " = Title = ".
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from optbench.contracts import Progress
from optbench.data.corpus import SPLITS, Corpus
from optbench.data.hub_stream import download_errors, local_mark, open_stream, text_column
from optbench.data.text_files import corpus_of_files, split_files
from optbench.data.text_source import TextSource
from optbench.errors import ConfigError, MissingError, first_line

TITLE = re.compile(r"^ = [^=\n]+ = $", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class WikiText(TextSource):
    """Plain text files: downloaded by `get`, or unpacked from the original archives."""

    path: str
    name: str

    def locate(self, root: Path) -> Path | None:
        """Return the first folder with all three splits: ours, or the archive's (wikitext-2-raw/wiki.train.raw)."""
        own = [self.folder(root)]
        folders = own if local_mark(self.path) else [*own, root / self.name, root / self.name.removesuffix("-v1")]
        return next((folder for folder in folders if is_complete(folder)), None)

    def folder(self, root: Path) -> Path:
        """Return the folder that `get` fills; the text of a local folder gets one of its own."""
        return root / "wikitext" / "-".join(filter(None, [self.name, local_mark(self.path)]))

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the three splits unless they exist."""
        found = self.locate(root)
        if found:
            return found
        folder = self.folder(root)
        streams = [open_stream("wikitext", self.path, self.name, split, None) for split in SPLITS]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = folder.parent / f".{folder.name}.{os.getpid()}"
            temporary.mkdir()
            try:
                for number, (split, stream) in enumerate(zip(SPLITS, streams, strict=True)):
                    progress(f"{self.name} {split}", number / len(SPLITS))
                    self._write(temporary / f"{split}.txt", stream)
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise MissingError(f"data=wikitext: {folder} cannot be written: {first_line(error)}") from error
        return folder

    def _write(self, file: Path, rows: Iterable[Mapping[str, object]]) -> None:
        with download_errors("wikitext", self.path), open(file, "w", encoding="utf-8", newline="\n") as out:
            for row in rows:
                out.write(text_column(row, "text", self.path).rstrip("\n") + "\n")

    def corpus(self, root: Path) -> Corpus:
        """Return the articles in their published splits."""
        folder = self.require(root)
        return corpus_of_files(str(folder), split_files(folder), 0.0, "articles", articles)

    def missing(self, root: Path) -> MissingError:
        """Describe the missing folder."""
        return MissingError(
            f"data=wikitext not found: {self.folder(root)} lacks one of its three splits",
            "Run: optbench data get wikitext   (or put train.txt, valid.txt and test.txt there)",
        )


def is_complete(folder: Path) -> bool:
    """Return True if a folder has text for each of the three splits."""
    try:
        return folder.is_dir() and not split_files(folder).held_out
    except ConfigError:
        return False


def articles(text: str) -> list[str]:
    """Cut the text before every title."""
    starts = [0, *(title.start() for title in TITLE.finditer(text)), len(text)]
    return [text[first:last] for first, last in pairwise(starts)]
