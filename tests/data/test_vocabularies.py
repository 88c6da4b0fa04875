"""WordPiece vocabularies of ten scripts, with the odd separators of published ones, give transformers' own pieces."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from optbench.data.tokenizer import train_bpe
from optbench.data.tokenizer_files import load_tokenizer
from optbench.errors import ConfigError, MissingError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SCRIPTS = {
    "latin": "Déjà vu: the naïve café, über-cool façade; Ærø and Łódź!",
    "chinese": "北京大学在中国北京市。机器学习很有趣,对吗?",
    "japanese": "東京タワーは高いです。カタカナとひらがな、ガギグゲゴ。",
    "arabic": "اللغة العربية جميلة، والسَّلامُ عليكم؟",
    "devanagari": "नमस्ते दुनिया। हिन्दी में लिखा हुआ पाठ।",
    "cyrillic": "Привет, мир! Ёлка и йогурт; українська ґанок.",
    "thai": "ภาษาไทยไม่มีช่องว่างระหว่างคำ น้ำใจ",
    "korean": "한국어 문장을 조각으로 나눕니다. 안녕하세요!",
    "emoji": "smile 😀 family 👨‍👩‍👧 flag 🇫🇷 heart ❤️ done",
    "hebrew": "שלום עולם, עברית נכתבת מימין לשמאל.",
}
ODD = ["\u2028", "\u2029", "\x85", "\u3000", "\x0b", "\x0c", "\x1c", "a\u3000", "\u00a0", "\u200b", "\ufeffx"]


def vocabulary_of(text: str) -> list[str]:
    """Return pieces of a text: half of its characters as they are, all as continuations, some words; and odd ones."""
    text += unicodedata.normalize("NFD", text)  # as it is when accents are removed
    characters = sorted(set(text.lower().split()[0]) | set(text.lower()[::2]) - {" "})
    words = [word[:3] for word in text.lower().split() if len(word) > 3]
    odd = [*ODD[:5], *characters, *ODD[5:]]  # between the others: each one lost would shift their numbers
    return list(dict.fromkeys([*SPECIAL, *odd, *(f"##{c}" for c in sorted(set(text.lower()) - {" "})), *words]))


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_pieces_are_those_of_transformers(script: str, ends: str, tmp_path: Path) -> None:
    from transformers import BertTokenizer  # pyright: ignore[reportAttributeAccessIssue]  exported lazily

    pieces, text = vocabulary_of(SCRIPTS[script]), SCRIPTS[script]
    file = tmp_path / "vocab.txt"
    mark = "\ufeff" if script in ("chinese", "latin") else ""
    file.write_bytes((mark + ends.join(pieces) + ends).encode())
    reference = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    tokenizer = load_tokenizer(str(file), tmp_path)
    assert tokenizer.size == len(pieces)
    for sample in (text, text.upper(), *(odd.join(text.split()) for odd in ODD)):
        (found,) = tokenizer.encode([sample])
        assert found == reference(sample, add_special_tokens=False)["input_ids"]
    (known,) = tokenizer.encode([text])
    assert len(set(known) - {1}) > 5  # more than unknown pieces


def test_lines_that_are_no_pieces_are_named(tmp_path: Path) -> None:
    file = tmp_path / "vocab.txt"
    file.write_text("\n".join([*SPECIAL, "a", "", "b"]))
    with pytest.raises(ConfigError, match=r"line 7 of .*vocab\.txt is empty"):
        load_tokenizer(str(file), tmp_path)
    file.write_text("\n".join([*SPECIAL, "a", "b", "a"]) + "\n\n")
    with pytest.raises(ConfigError, match=r"line 6 of .* is repeated by line 8"):
        load_tokenizer(str(file), tmp_path)


def test_a_tokenizer_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    tree = json.loads(train_bpe(["the cat"], 260).engine.to_str())
    (tmp_path / "tokenizer.json").write_text("\ufeff" + json.dumps(tree), encoding="utf-8")
    assert load_tokenizer(str(tmp_path), tmp_path).size == 259


@pytest.mark.parametrize("typed", ["nowhere/vocab.txt", "~/nowhere.json", "~nosuchuser/vocab.txt"])
def test_a_tokenizer_that_is_not_there_is_named_as_typed(typed: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=rf"^data\.tokenizer={typed}: "):
        load_tokenizer(typed, tmp_path)
