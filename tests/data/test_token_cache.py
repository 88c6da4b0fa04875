"""The token cache: written once, complete or absent, rebuilt if damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from optbench.data import token_cache
from optbench.data.corpus import SPLITS, Corpus
from optbench.data.token_cache import TokenFiles, find_or_build
from optbench.data.tokenizer import Tokenizer, train_bpe
from optbench.errors import ConfigError, MissingError

TEXTS = {"train": ["one two three\n" * 50, "four"], "validation": ["five\nsix"], "test": []}
FILES = [*(f"{split}.bin" for split in ("train", "validation")), "counts.bin", "tokenizer.json", "meta.json"]


def corpus(texts: dict[str, list[str]] | None = None) -> Corpus:
    return Corpus("here", repr(texts or TEXTS), lambda split: iter((texts or TEXTS)[split]))


def bytes_tokenizer() -> Tokenizer:
    return train_bpe(TEXTS["train"], 259)


def fails() -> Tokenizer:
    raise AssertionError("the tokens should come from the cache")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def contents(entry: TokenFiles) -> list[list[int]]:
    return [entry.mapped(split).tolist() for split in SPLITS]


def entries(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if not file.name.endswith(".lock")]


def test_each_document_ends_with_the_end_piece(own_cache: Path) -> None:
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    tokenizer = entry.tokenizer
    (first, second), (third,) = (list(tokenizer.encode(TEXTS[split])) for split in ("train", "validation"))
    assert contents(entry) == [[*first, 2, *second, 2], [*third, 2], []]
    assert entry.tokens == {"train": 50 * 14 + 1 + 5, "validation": 9, "test": 0}
    assert entry.counts().tolist() == np.bincount(entry.mapped("train"), minlength=259).tolist()
    assert entry.mapped("train").dtype == np.uint16
    assert not entry.mapped("train").flags.writeable


def test_long_documents_have_one_end_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "CHUNK_CHARACTERS", 30)
    monkeypatch.setattr(token_cache, "BATCH_CHARACTERS", 100)
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    assert entry.counts()[2] == 2
    assert entry.tokenizer.decode(entry.mapped("train").tolist()) == "".join(TEXTS["train"])


def test_a_second_load_tokenises_nothing() -> None:
    first = find_or_build(corpus(), "bytes", bytes_tokenizer)
    second = find_or_build(corpus(), "bytes", fails)
    assert contents(first) == contents(second)
    assert first.tokenizer.sha256 == second.tokenizer.sha256
    with pytest.raises(AssertionError):
        find_or_build(corpus(), "another tokenizer", fails)
    with pytest.raises(AssertionError):
        find_or_build(corpus({**TEXTS, "test": ["seven"]}), "bytes", fails)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b""], ids=["truncated", "flipped", "emptied"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_entry_is_rebuilt(own_cache: Path, name: str, damage: object) -> None:
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    whole = contents(entry)
    file = entry.folder / name
    before = file.read_bytes()
    file.write_bytes(damage(before))  # type: ignore[operator]
    assert contents(find_or_build(corpus(), "bytes", bytes_tokenizer)) == whole
    assert file.read_bytes() == before
    assert entries(own_cache) == [entry.folder.name]


@pytest.mark.parametrize("name", FILES)
def test_an_entry_without_one_of_its_files_is_rebuilt(name: str) -> None:
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    (entry.folder / name).unlink()
    find_or_build(corpus(), "bytes", bytes_tokenizer)
    assert (entry.folder / name).is_file()


@pytest.mark.parametrize("at", [0, -1])
def test_of_large_files_length_and_ends_are_checked(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(token_cache, "WHOLE_BYTES", 100)
    monkeypatch.setattr(token_cache, "ENDS_BYTES", 10)
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    find_or_build(corpus(), "bytes", fails)
    file = entry.folder / "train.bin"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(AssertionError):
        find_or_build(corpus(), "bytes", fails)


def test_a_failed_build_leaves_no_entry(own_cache: Path) -> None:
    def documents(split: str) -> Iterator[str]:
        yield "some text"
        raise MissingError("the disk is gone")

    with pytest.raises(MissingError, match="the disk is gone"):
        find_or_build(Corpus("here", "x", documents), "bytes", bytes_tokenizer)
    assert entries(own_cache) == []


def test_leftovers_of_a_killed_process_are_removed(own_cache: Path) -> None:
    entry = find_or_build(corpus(), "bytes", bytes_tokenizer)
    left = own_cache / f".{entry.folder.name}.abc"
    left.mkdir()
    (left / "train.bin").write_bytes(b"half")
    (entry.folder / "meta.json").unlink()
    find_or_build(corpus(), "bytes", bytes_tokenizer)
    assert entries(own_cache) == [entry.folder.name]


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"token cache .* cannot be written") as caught:
        find_or_build(corpus(), "bytes", bytes_tokenizer)
    assert "OPTBENCH_CACHE_DIR" in caught.value.hint
    assert len(str(caught.value).splitlines()) == 2


def test_processes_share_an_entry(own_cache: Path, tmp_path: Path) -> None:
    """Two processes at once, both beginning with a damaged entry: one builds, both read the same."""
    from optbench.data.pydocs import PyDocs

    settings = {"validation": 0.05, "sequence_length": 64, "vocabulary": 300, "tokenizer": None}
    code = (
        "import torch; from pathlib import Path; from optbench.contracts import Seeds\n"
        "from optbench.data.pydocs import PyDocs\n"
        f"print(PyDocs(**{settings}).load(Path('.'), torch.device('cpu'), Seeds(1, 2, 3)).sha256)"
    )
    import torch

    from optbench.contracts import Seeds

    expected = PyDocs(**settings).load(tmp_path, torch.device("cpu"), Seeds(1, 2, 3)).sha256
    (name,) = entries(own_cache)
    (own_cache / name / "train.bin").write_bytes(b"")
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == [expected] * 2
    assert entries(own_cache) == [name]
