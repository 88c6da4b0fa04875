"""Tokenizers and their special pieces, on top of the `tokenizers` library.

Text never becomes a special piece: "<mask>" or "[MASK]" in a document is tokenised as ordinary characters.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from optbench.contracts import Vocabulary

if TYPE_CHECKING:
    import tokenizers

TRAINED_SPECIAL = ("<pad>", "<mask>", "<end>")  # the first pieces of a vocabulary that optbench trains
BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")  # SentencePiece's fallback


@dataclass(frozen=True)
class Tokenizer:
    """An engine of the `tokenizers` library and the numbers of its special pieces."""

    engine: tokenizers.Tokenizer
    size: int
    pad: int
    mask: int
    end: int
    special: tuple[int, ...]

    def __post_init__(self) -> None:
        self.engine.no_truncation()
        self.engine.no_padding()
        self.engine.encode_special_tokens = True  # special pieces in text are text

    def encode(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Yield the pieces of each text, without special ones."""
        for found in self.engine.encode_batch_fast(list(texts), add_special_tokens=False):
            yield found.ids

    def decode(self, pieces: Sequence[int]) -> str:
        """Return the text of the pieces, without special ones."""
        hidden = set(self.special)
        kept = [int(piece) for piece in pieces if int(piece) not in hidden]
        return self.engine.decode(kept, skip_special_tokens=False)

    def as_json(self) -> str:
        """Return the JSON that `tokenizer_from_json` reads."""
        pieces = {"size": self.size, "pad": self.pad, "mask": self.mask, "end": self.end, "special": self.special}
        return json.dumps({**pieces, "engine": json.loads(self.engine.to_str())}, sort_keys=True)

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that affects how text is tokenised."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()

    def vocabulary(self, counts: Tensor) -> Vocabulary:
        """Return the Vocabulary that tasks and models see."""
        return Vocabulary(
            size=self.size,
            pad=self.pad,
            mask=self.mask,
            end=self.end,
            special=self.special,
            counts=counts,
            byte_lengths=self.byte_lengths(),
            decode=self.decode,
        )

    def byte_lengths(self) -> Tensor:
        """Return the UTF-8 bytes of each piece, int64 (size,); 0 for special ones.

        White space that WordPiece drops is not counted."""
        tree = json.loads(self.engine.to_str())
        byte_level = '"ByteLevel"' in json.dumps([tree["pre_tokenizer"], tree["decoder"]])
        prefix = tree["model"].get("continuing_subword_prefix") or ""
        lengths = [0] * self.size
        for piece, number in self.engine.get_vocab(with_added_tokens=True).items():
            lengths[number] = len(piece) if byte_level else bytes_of(piece, prefix)
        for number in self.special:
            lengths[number] = 0
        return torch.tensor(lengths)


def bytes_of(piece: str, prefix: str) -> int:
    """Count the UTF-8 bytes of a piece of a tokenizer that is not byte-level; a word mark counts as a space."""
    if BYTE_PIECE.fullmatch(piece):
        return 1
    return len(piece.removeprefix(prefix).replace("▁", " ").encode())


def tokenizer_from_json(text: str) -> Tokenizer:
    """Read the tokenizer that `Tokenizer.as_json` wrote."""
    import tokenizers

    tree = json.loads(text)
    engine = tokenizers.Tokenizer.from_str(json.dumps(tree.pop("engine")))
    return Tokenizer(engine, **{**tree, "special": tuple(tree["special"])})


def train_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer (Sennrich et al., 2016; Radford et al., 2019).

    Its pieces are three special ones, the 256 bytes, and merges in the order of their frequency; the same in every
    process. A text with fewer than `size` pieces gives a smaller vocabulary."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(TRAINED_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    # built again without the added tokens of training, which the engine would search for in the text
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    engine = tokenizers.Tokenizer(models.BPE(vocab=model["vocab"], merges=merges))
    engine.pre_tokenizer, engine.decoder = split, decoders.ByteLevel()
    pad, mask, end = (model["vocab"][piece] for piece in TRAINED_SPECIAL)
    return Tokenizer(engine, size=len(model["vocab"]), pad=pad, mask=mask, end=end, special=(pad, mask, end))
