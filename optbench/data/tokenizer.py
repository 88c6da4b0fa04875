"""Tokenizers: byte-level BPE trained on the corpus, a given WordPiece vocabulary, a given tokenizer.json.

Text never becomes a special piece: "<mask>" or "[MASK]" in a document is tokenised as the characters it consists of.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optbench.contracts import Vocabulary
from optbench.errors import ConfigError, MissingError, first_line

if TYPE_CHECKING:
    import tokenizers

OWN = ("<pad>", "<mask>", "<end>")  # the first pieces of a vocabulary that we train
BYTES = 256
USUAL = {  # names of the special pieces in published tokenizers, the likeliest first
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<end>"),
}
BERT = {"pad": "[PAD]", "mask": "[MASK]", "end": "[SEP]", "unknown": "[UNK]"}
CONTROL = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]")
ONE_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # SentencePiece's fallback


@dataclass(frozen=True)
class Tokenizer:
    """An engine of the `tokenizers` library and its special pieces."""

    engine: tokenizers.Tokenizer
    size: int
    pad: int
    mask: int
    end: int
    special: tuple[int, ...]

    def encode(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The pieces of each text, no special one added."""
        for found in self.engine.encode_batch_fast(list(texts), add_special_tokens=False):
            yield found.ids

    def decode(self, pieces: Sequence[int]) -> str:
        """Text of the pieces, special ones left out."""
        hidden = set(self.special)
        kept = [int(piece) for piece in pieces if int(piece) not in hidden]
        return self.engine.decode(kept, skip_special_tokens=False)

    def as_text(self) -> str:
        """JSON that `restored` reads."""
        pieces = {"size": self.size, "pad": self.pad, "mask": self.mask, "end": self.end, "special": self.special}
        return json.dumps({**pieces, "engine": json.loads(self.engine.to_str())}, sort_keys=True)

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that decides what becomes of a text."""
        return hashlib.sha256(self.as_text().encode()).hexdigest()

    def vocabulary(self, counts: Tensor) -> Vocabulary:
        """The contract's view of it."""
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
        """UTF-8 bytes of each piece, int64 (size,); 0 for special ones. White space that WordPiece drops is in none."""
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
    """UTF-8 bytes of a piece of a tokenizer that is not byte-level; a leading mark of a word stands for a space."""
    if ONE_BYTE.fullmatch(piece):
        return 1
    return len(piece.removeprefix(prefix).replace("▁", " ").encode())


def restored(text: str) -> Tokenizer:
    """The tokenizer that `as_text` wrote."""
    import tokenizers

    tree = json.loads(text)
    engine = tokenizers.Tokenizer.from_str(json.dumps(tree.pop("engine")))
    return finished(engine, **{**tree, "special": tuple(tree["special"])})


def finished(engine: tokenizers.Tokenizer, **pieces: Any) -> Tokenizer:
    """An engine that neither cuts, nor pads, nor reads special pieces out of text."""
    engine.no_truncation()
    engine.no_padding()
    engine.encode_special_tokens = True
    return Tokenizer(engine, **pieces)


def trained(texts: Iterable[str], size: int, name: str) -> Tokenizer:
    """Byte-level BPE (Sennrich et al., 2016; Radford et al., 2019): three special pieces, the 256 bytes, and merges in
    the order of their frequency; the same in every process. ConfigError where the text has no `size` pieces."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = split
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(OWN), initial_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    found = len(model["vocab"])
    if found != size:
        raise ConfigError(
            f"data.vocabulary={size}: the training part of {name} gives {found} pieces", f"Ask for {found} or fewer"
        )
    # built anew, without the added tokens of training, which would be searched for in the text
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    engine = tokenizers.Tokenizer(models.BPE(vocab=model["vocab"], merges=merges))
    engine.pre_tokenizer, engine.decoder = split, decoders.ByteLevel()
    pad, mask, end = (model["vocab"][piece] for piece in OWN)
    return finished(engine, size=size, pad=pad, mask=mask, end=end, special=(pad, mask, end))


def given(path: str, root: Path) -> Tokenizer:
    """The tokenizer of a file or folder: `tokenizer.json`, or a WordPiece `vocab.txt`."""
    place = Path(path).expanduser()
    place = place if place.is_absolute() or place.exists() else root / place
    names = ("tokenizer.json", "vocab.txt")
    file = next((place / name for name in names if (place / name).is_file()), place) if place.is_dir() else place
    if not file.is_file():
        raise MissingError(
            f"data.tokenizer={path}: {file} is no tokenizer", "Give a vocab.txt, a tokenizer.json, or a folder with one"
        )
    return from_json(file) if file.suffix == ".json" else from_vocabulary(file)


def read_lines(file: Path) -> list[str]:
    """Lines of a UTF-8 file without their ends. MissingError names a file that cannot be read."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"{file} cannot be read: {first_line(error)}") from error


def from_vocabulary(file: Path) -> Tokenizer:
    """WordPiece (Devlin et al., 2019) over a `vocab.txt`, as BertTokenizerFast reads it: lower case and no accents
    where no piece has an upper-case letter."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    lines = [line.strip() for line in read_lines(file)]
    pieces = {piece: number for number, piece in enumerate(lines) if piece}
    lacking = [piece for piece in BERT.values() if piece not in pieces]
    if lacking:
        raise ConfigError(f"data.tokenizer: {file} lacks {', '.join(lacking)}", "A WordPiece vocabulary has each")
    if len(pieces) != len(lines):
        raise ConfigError(f"data.tokenizer: {file} names a piece twice, or has an empty line")
    lower = not any(piece != piece.lower() for piece in pieces if not CONTROL.fullmatch(piece))
    engine = tokenizers.Tokenizer(models.WordPiece(vocab=pieces, unk_token=BERT["unknown"]))
    engine.normalizer = normalizers.BertNormalizer(lowercase=lower)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    special = tuple(number for piece, number in pieces.items() if CONTROL.fullmatch(piece))
    pad, mask, end = (pieces[BERT[role]] for role in ("pad", "mask", "end"))
    return finished(engine, size=len(pieces), pad=pad, mask=mask, end=end, special=special)


def from_json(file: Path) -> Tokenizer:
    """A `tokenizer.json` of the `tokenizers` library. A special piece that it lacks is added behind its vocabulary."""
    import tokenizers

    try:
        engine = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception
        raise ConfigError(f"data.tokenizer: {file} is no tokenizer.json: {first_line(error)}") from error
    known: Mapping[str, int] = engine.get_vocab(with_added_tokens=True)
    if not known:
        raise ConfigError(f"data.tokenizer: {file} has no pieces")
    size = max(known.values()) + 1
    roles: dict[str, int] = {}
    for role, names in USUAL.items():
        found = next((known[name] for name in names if name in known), None)
        roles[role] = size if found is None else found
        size += found is None
    added = {number for number, token in engine.get_added_tokens_decoder().items() if token.special}
    return finished(engine, size=size, **roles, special=tuple(sorted(added | set(roles.values()))))
