"""Tokenizers from files: a `vocab.txt` of WordPiece, a `tokenizer.json` of the `tokenizers` library."""

from __future__ import annotations

import os
import re
from pathlib import Path

from optbench.data.tokenizer import Tokenizer
from optbench.data.user_path import find_user_path
from optbench.errors import ConfigError, MissingError, first_line
from optbench.files import read_text

BERT = {"pad": "[PAD]", "mask": "[MASK]", "end": "[SEP]", "unknown": "[UNK]"}
BERT_SPECIAL = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]")
USUAL_NAMES = {  # of special pieces in published tokenizers, the most likely first
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<end>"),
}


def load_tokenizer(path: str, root: Path) -> Tokenizer:
    """Load the tokenizer of a file or folder: `tokenizer.json`, or a WordPiece `vocab.txt`.

    A relative path that does not exist here is relative to the data folder `root`."""
    place = find_user_path(path, root)
    names = ("tokenizer.json", "vocab.txt")
    file = next((place / name for name in names if os.path.isfile(place / name)), place)
    if not os.path.isfile(file):
        raise MissingError(
            f"data.tokenizer={path}: no tokenizer at {file}", "Give a vocab.txt, a tokenizer.json, or a folder with one"
        )
    return from_tokenizer_json(file) if file.suffix == ".json" else from_wordpiece_vocabulary(file)


def from_wordpiece_vocabulary(file: Path) -> Tokenizer:
    """Build WordPiece (Devlin et al., 2019) from a `vocab.txt`, as BertTokenizerFast does.

    If no piece has an upper-case letter, text is lower-cased and accents are removed."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    lines = read_lines(file)
    pieces = {piece: number for number, piece in enumerate(lines) if piece}
    missing = [piece for piece in BERT.values() if piece not in pieces]
    if missing:
        raise ConfigError(f"data.tokenizer: {file} lacks {', '.join(missing)}", "Give a complete WordPiece vocabulary")
    for number, piece in enumerate(lines):
        if pieces.get(piece) != number:
            fault = f"is repeated by line {pieces[piece] + 1}" if piece else "is empty"
            raise ConfigError(f"data.tokenizer: line {number + 1} of {file} {fault}", "Give each line one piece")
    lower = not any(piece != piece.lower() for piece in pieces if not BERT_SPECIAL.fullmatch(piece))
    engine = tokenizers.Tokenizer(models.WordPiece(vocab=pieces, unk_token=BERT["unknown"]))
    engine.normalizer = normalizers.BertNormalizer(lowercase=lower)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    special = tuple(number for piece, number in pieces.items() if BERT_SPECIAL.fullmatch(piece))
    pad, mask, end = (pieces[BERT[role]] for role in ("pad", "mask", "end"))
    return Tokenizer(engine, size=len(pieces), pad=pad, mask=mask, end=end, special=special)


def from_tokenizer_json(file: Path) -> Tokenizer:
    """Read a `tokenizer.json`. Special pieces that it lacks are added at the end of its vocabulary."""
    import tokenizers

    try:
        engine = tokenizers.Tokenizer.from_str(text_of(file))
    except MissingError:
        raise
    except Exception as error:  # the library raises a bare Exception
        raise ConfigError(f"data.tokenizer: {file} is not a valid tokenizer.json: {first_line(error)}") from error
    known: dict[str, int] = engine.get_vocab(with_added_tokens=True)
    if not known:
        raise ConfigError(f"data.tokenizer: {file} has no pieces")
    size = max(known.values()) + 1
    roles: dict[str, int] = {}
    for role, names in USUAL_NAMES.items():
        found = next((known[name] for name in names if name in known), None)
        roles[role] = size if found is None else found
        size += found is None
    added = {number for number, token in engine.get_added_tokens_decoder().items() if token.special}
    return Tokenizer(engine, size=size, **roles, special=tuple(sorted(added | set(roles.values()))))


def read_lines(file: Path) -> list[str]:
    """Return the lines of a file, without empty ones at its end.

    Only a line feed ends a line: `str.splitlines` and `strip` would take U+2028, U+0085 and U+3000, which are pieces of
    published vocabularies, for line ends and margins."""
    lines = [line.removesuffix("\r") for line in text_of(file).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def text_of(file: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte-order mark.

    Raises MissingError with the name of an unreadable file."""
    try:
        return read_text(file, limit=None, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise MissingError(f"{file} cannot be read: {reason}") from error
