"""The base of all text data sets: from a corpus to samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from optbench.config.notices import say_once
from optbench.contracts import Progress, Seeds
from optbench.data.corpus import Corpus, chunks, require_text
from optbench.data.token_cache import CHUNK_CHARACTERS, TokenFiles, find_or_build
from optbench.data.tokenizer import Tokenizer, train_bpe
from optbench.data.tokenizer_files import load_tokenizer
from optbench.data.tokens import PackedTokens
from optbench.errors import MissingError

TRAINING_CHARACTERS = 200 * 10**6  # a tokenizer is trained on so many characters from the start of the training split


@dataclass(frozen=True, kw_only=True)
class TextSource(ABC):
    """A DataSource of kind `text`. conf/data/text.yaml explains the keys."""

    sequence_length: int
    vocabulary: int
    tokenizer: str | None

    @abstractmethod
    def locate(self, root: Path) -> Path | None:
        """Return the folder or file that holds the text; None if it is absent."""

    @abstractmethod
    def get(self, root: Path, progress: Progress) -> Path:
        """Download the text if needed and return its path."""

    @abstractmethod
    def corpus(self, root: Path) -> Corpus:
        """Return the documents in three splits. Raises MissingError if they are absent."""

    def missing(self, root: Path) -> MissingError:
        """Describe the missing text and how to get it."""
        return MissingError(f"{type(self).__name__}: no text under {root}")

    def require(self, root: Path) -> Path:
        """Return the folder or file that holds the text. Raises MissingError if it is absent."""
        found = self.locate(root)
        if found is None:
            raise self.missing(root)
        return found

    def verify(self, root: Path) -> list[str] | None:
        """Return None: no checksums are published."""
        self.require(root)
        return None

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """Tokenise the corpus, or find its tokens in the cache."""
        corpus = self.corpus(root)
        return PackedTokens(
            self._tokens(corpus, root), corpus.name, sequence_length=self.sequence_length, seeds=seeds, device=device
        )

    def _tokens(self, corpus: Corpus, root: Path) -> TokenFiles:
        if self.tokenizer is not None:
            given = load_tokenizer(self.tokenizer, root)
            return find_or_build(corpus, given.sha256, lambda: checked(corpus, given))
        spec = f"byte-level BPE, {self.vocabulary} pieces of {TRAINING_CHARACTERS} characters"  # part of cache keys
        files = find_or_build(corpus, spec, lambda: self._trained(corpus))
        if files.tokenizer.size < self.vocabulary:
            say_once(
                f"{corpus.name}: the vocabulary has {files.tokenizer.size} pieces instead of "
                f"data.vocabulary={self.vocabulary}: the training split gives no more"
            )
        return files

    def _trained(self, corpus: Corpus) -> Tokenizer:
        require_text(corpus)
        return train_bpe(first_characters(corpus.documents("train")), self.vocabulary)


def checked(corpus: Corpus, tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer if every split has text."""
    require_text(corpus)
    return tokenizer


def first_characters(documents: Iterator[str]) -> Iterator[str]:
    """Yield the first TRAINING_CHARACTERS of the documents, in the chunks that are tokenised later."""
    left = TRAINING_CHARACTERS
    for document in documents:
        yield from chunks(document[:left], CHUNK_CHARACTERS)
        left -= len(document)
        if left <= 0:
            return
