"""Tokenizers: pieces of text, special pieces, the same vocabulary in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real

from optbench.data.pydocs import topics
from optbench.data.tokenizer import Tokenizer, tokenizer_from_json, train_bpe
from optbench.data.tokenizer_files import load_tokenizer
from optbench.errors import ConfigError, MissingError

TEXT = "the cat sat on the mat. The cat's hat, the naïve rat — ünïcode!\n    if x:\n        return <mask>\n" * 20
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused0]",
    "un",
    "##aff",
    "##able",
    "cafe",
    "!",
    "[",
    "]",
    "mask",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([TEXT], 300)


def vocabulary_file(folder: Path, pieces: list[str]) -> Path:
    file = folder / "vocab.txt"
    file.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return file


def encoded(tokenizer: Tokenizer, text: str) -> list[int]:
    (pieces,) = tokenizer.encode([text])
    return pieces


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_byte_level_pieces_decode_to_the_same_text(tokenizer: Tokenizer, text: str) -> None:
    pieces = encoded(tokenizer, text)
    assert tokenizer.decode(pieces) == text
    assert int(tokenizer.byte_lengths()[pieces].sum()) == len(text.encode())
    assert not set(pieces) & set(tokenizer.special)


def test_the_smallest_vocabulary_has_only_bytes() -> None:
    tokenizer = train_bpe(["abc" * 50], 259)
    assert len(encoded(tokenizer, "naïve")) == 6
    assert (tokenizer.pad, tokenizer.mask, tokenizer.end, tokenizer.size) == (0, 1, 2, 259)
    assert tokenizer.byte_lengths().tolist() == [0, 0, 0] + [1] * 256


def test_merges_come_in_the_order_of_their_frequency() -> None:
    tokenizer = train_bpe(["ab ab ab ab cd cd cd"], 261)  # pairs: ab and " c", then cd 3 times, ...
    assert len(encoded(tokenizer, "ab")) == 1
    assert tokenizer.engine.id_to_token(259) == "ab"  # the most frequent pair: 4 times


def test_decoding_skips_special_pieces(tokenizer: Tokenizer) -> None:
    pieces = encoded(tokenizer, "cat")
    assert tokenizer.decode([tokenizer.pad, *pieces, tokenizer.mask, tokenizer.end]) == "cat"


def test_a_tokenizer_survives_saving(tokenizer: Tokenizer) -> None:
    again = tokenizer_from_json(tokenizer.as_json())
    assert again.sha256 == tokenizer.sha256
    assert encoded(again, TEXT) == encoded(tokenizer, TEXT)


def test_every_process_trains_the_same_vocabulary() -> None:
    code = (
        "from optbench.data.tokenizer import train_bpe\nfrom optbench.data.pydocs import topics\n"
        "print(train_bpe(topics(), 1000).sha256)"
    )
    running = []
    for threads in ("1", "7"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", code]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    found = {process.communicate()[0].strip() for process in running}
    assert found == {train_bpe(topics(), 1000).sha256}


def test_a_text_with_few_pieces_gives_a_smaller_vocabulary() -> None:
    tokenizer = train_bpe(["aaaa bbbb"], 500)
    assert 259 <= tokenizer.size < 270
    assert len(tokenizer.byte_lengths()) == tokenizer.size == tokenizer.engine.get_vocab_size()


def test_wordpiece_by_hand(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(vocabulary_file(tmp_path, PIECES).parent), tmp_path)
    assert encoded(tokenizer, "Unaffable Café!") == [6, 7, 8, 9, 10]  # lower case, no accents, longest match first
    assert encoded(tokenizer, "x [MASK]") == [1, 11, 13, 12]  # unknown; text never becomes a special piece
    assert (tokenizer.pad, tokenizer.end, tokenizer.mask, tokenizer.size) == (0, 3, 4, 14)
    assert tokenizer.special == (0, 1, 2, 3, 4, 5)
    assert tokenizer.byte_lengths().tolist() == [0, 0, 0, 0, 0, 0, 2, 3, 4, 4, 1, 1, 1, 4]
    assert tokenizer.decode([0, 6, 7, 8, 3]) == "unaffable"


def test_wordpiece_with_capitals_keeps_them(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(vocabulary_file(tmp_path, [*PIECES, "Cat", "cat"])), tmp_path)
    assert encoded(tokenizer, "Cat cat") == [14, 15]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([p for p in PIECES if p not in ("[MASK]", "[SEP]")], r"vocab\.txt lacks \[MASK\], \[SEP\]"),
        ([*PIECES, "un"], r"line 7 of .*vocab\.txt is repeated by line 15"),
        ([], "lacks"),
    ],
)
def test_an_invalid_vocabulary_file_is_named(tmp_path: Path, pieces: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        load_tokenizer(str(vocabulary_file(tmp_path, pieces)), tmp_path)
    assert len(str(caught.value.args[0]).splitlines()) == 1


def test_invalid_tokenizer_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"data\.tokenizer=absent"):
        load_tokenizer("absent", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"not a valid tokenizer\.json"):
        load_tokenizer(str(tmp_path), tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(MissingError, match="cannot be read"):
        load_tokenizer(str(tmp_path / "vocab.txt"), tmp_path)


def test_missing_special_pieces_are_added(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tree = json.loads(tokenizer.engine.to_str())
    names = {"<pad>": "a1", "<mask>": "a2", "<end>": "<|endoftext|>"}  # as GPT-2's: neither padding nor mask
    tree["model"]["vocab"] = {names.get(piece, piece): number for piece, number in tree["model"]["vocab"].items()}
    token = {"id": 2, "content": "<|endoftext|>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tree["added_tokens"] = [{**token, **flags}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree))
    found = load_tokenizer("tokenizer.json", tmp_path)  # below the data folder
    assert (found.end, found.pad, found.mask, found.size) == (2, 300, 301, 302)
    assert found.special == (2, 300, 301)
    assert encoded(found, "the cat") == encoded(tokenizer, "the cat")
    assert 2 not in encoded(found, "a<|endoftext|>b")
    assert len(found.byte_lengths()) == 302
    assert found.decode([2, *encoded(found, "the cat"), 300]) == "the cat"


def test_pieces_equal_those_of_berts_own_tokenizer(tmp_path: Path) -> None:
    from transformers import BertTokenizerFast  # pyright: ignore[reportAttributeAccessIssue]  exported lazily

    file = real("bert-base-uncased-vocab", "vocab.txt")
    reference = BertTokenizerFast(str(file))
    tokenizer = load_tokenizer(str(file), tmp_path)
    text = "Élan vital, the un-affable; 東京 — $3.50 #hash\tx\n" + topics()[5]
    assert encoded(tokenizer, text) == reference(text, add_special_tokens=False, verbose=False)["input_ids"]
    assert tokenizer.size == 30522
    assert (tokenizer.pad, tokenizer.mask, tokenizer.end) == (0, 103, 102)
    assert torch.equal(tokenizer.byte_lengths()[[1996, 103]], torch.tensor([3, 0]))  # "the", "[MASK]"
