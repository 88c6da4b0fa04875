"""WikiText (Merity et al., 2016): articles of Wikipedia in three published parts, of 2 or 103 million words.

Documents are articles: each begins with a line " = Title = ".
"""

from __future__ import annotations

import re
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import torch

from optbench.contracts import Seeds
from optbench.data.corpus import SPLITS, Corpus
from optbench.data.download import Progress
from optbench.data.hub_stream import open_stream, reported, text_in
from optbench.data.text_files import corpus_of, parts_of
from optbench.data.tokens import PackedTokens, TextForm
from optbench.errors import ConfigError, MissingError, first_line

TITLE = re.compile(r"^ = [^=\n]+ = $", re.MULTILINE)


class WikiText:
    """Plain text files: fetched by us, or unpacked from the original archives."""

    def __init__(self, *, path: str, name: str, sequence_length: int, vocabulary: int, tokenizer: str | None) -> None:
        self.path, self.name = path, name
        self.form = TextForm(sequence_length=sequence_length, vocabulary=vocabulary, tokenizer=tokenizer)

    def locate(self, root: Path) -> Path | None:
        """The first folder with all three parts: ours, or the archive's (wikitext-2-raw/wiki.train.raw)."""
        places = [root / "wikitext" / self.name, root / self.name, root / self.name.removesuffix("-v1")]
        return next((place for place in places if is_whole(place)), None)

    def get(self, root: Path, progress: Progress) -> Path:
        """Fetch the three parts, unless they are here."""
        found = self.locate(root)
        if found:
            return found
        folder = root / "wikitext" / self.name
        streams = [open_stream("wikitext", self.path, self.name, split, None) for split in SPLITS]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{self.name}."))
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

    def _write(self, file: Path, stream: object) -> None:
        with reported("wikitext", self.path), open(file, "w", encoding="utf-8", newline="\n") as out:
            for row in stream:  # type: ignore[attr-defined]
                out.write(text_in(row, "text", self.path).rstrip("\n") + "\n")

    def verify(self, root: Path) -> list[str]:
        """No checksums of the plain text are published."""
        self._require(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """The articles' samples."""
        return self.form.dataset(self.corpus(root), root, device, seeds)

    def corpus(self, root: Path) -> Corpus:
        """The articles in their published parts."""
        folder = self._require(root)
        return corpus_of(str(folder), parts_of(folder), 0.0, "articles", articles)

    def _require(self, root: Path) -> Path:
        folder = self.locate(root)
        if folder is None:
            raise MissingError(
                f"data=wikitext is not here: {root / 'wikitext' / self.name} lacks its three parts",
                "Fetch it: optbench data get wikitext   (or put train.txt, valid.txt and test.txt there)",
            )
        return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder has text for each of the three parts."""
    try:
        return folder.is_dir() and not parts_of(folder).held_out
    except ConfigError:
        return False


def articles(text: str) -> list[str]:
    """The text cut before every title."""
    starts = [0, *(title.start() for title in TITLE.finditer(text)), len(text)]
    return [text[first:last] for first, last in pairwise(starts)]
