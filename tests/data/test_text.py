"""Text data sets: disjoint splits, packed samples, batches that depend only on the step, errors that name a cause."""

from __future__ import annotations

import inspect
import os
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config
from optbench.config import imports, notices
from optbench.contracts import Seeds
from optbench.data import tokens as tokens_module
from optbench.data.corpus import SPLITS, chunks, contiguous_parts, split_by_hash, split_document
from optbench.data.pydocs import PyDocs, topics, without_repetitions
from optbench.data.text import Text
from optbench.data.tokens import PackedTokens
from optbench.data.wikitext import articles
from optbench.errors import ConfigError, MissingError, OptbenchError

CPU = torch.device("cpu")
SEEDS = Seeds(init=1, order=2, augment=3)
NAMES = ("pydocs", "text", "wikitext", "c4", "openwebtext", "fineweb")
SETTINGS: dict[str, Any] = {"sequence_length": 16, "vocabulary": 259, "tokenizer": None}
LINES = "".join(f"line {n} of a text that goes on\n" for n in range(2000))


def pydocs(**changes: Any) -> PackedTokens:
    return PyDocs(**{"validation": 0.05, **SETTINGS, **changes}).load(Path(), CPU, SEEDS)


def text_set(path: Path | str, **changes: Any) -> Text:
    return Text(**{"path": str(path), "separator": None, "validation": 0.05, **SETTINGS, **changes})


def load(path: Path | str, **changes: Any) -> PackedTokens:
    return text_set(path, **changes).load(Path(), CPU, SEEDS)


def parts(path: Path, **changes: Any) -> dict[str, list[str]]:
    corpus = text_set(path, **changes).corpus(Path())
    return {split: list(corpus.documents(split)) for split in SPLITS}


def tokens_by_split(data: PackedTokens) -> dict[str, int]:
    tokens = data.facts["tokens"]
    assert isinstance(tokens, dict)
    return tokens


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_file_gives_every_argument_of_its_source(name: str) -> None:
    choice = config.load([f"data={name}", "model=gpt"]).data
    assert set(choice.settings) == set(inspect.signature(imports.load(choice.target)).parameters)
    assert choice.about["kind"] == "text"


@pytest.mark.parametrize("name", NAMES[1:])
def test_missing_data_is_one_clear_error(name: str, tmp_path: Path) -> None:
    choice = config.load([f"data={name}", "model=gpt"]).data
    with pytest.raises(OptbenchError) as caught:
        imports.load(choice.target)(**choice.settings).load(tmp_path, CPU, SEEDS)
    assert caught.value.exit_code in (2, 4)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_contiguous_parts_join_to_the_text_and_end_with_lines() -> None:
    pieces = contiguous_parts(LINES, 0.1, 2)
    assert "".join(pieces) == LINES
    assert all(piece.endswith("\n") for piece in pieces)
    shares = [len(piece) / len(LINES) for piece in pieces]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.001)
    assert list(map(len, contiguous_parts("x" * 100, 0.1, 2))) == [80, 10, 10]  # no line to keep whole


def test_chunks_join_to_the_text() -> None:
    assert list(chunks("ab\ncd\nef", 4)) == ["ab\n", "cd\n", "ef"]
    assert list(chunks("abcdef", 4)) == ["abcd", "ef"]
    assert list(chunks("", 4)) == [""]


def test_the_hash_of_a_short_document_selects_its_split() -> None:
    found = [split_by_hash(f"document {n}", 0.1, ("validation", "test")) for n in range(5000)]
    assert found.count("validation") == pytest.approx(500, abs=80)  # four standard deviations
    assert found.count("test") == pytest.approx(500, abs=80)
    assert split_document("document 7", 0.1, ("validation", "test")) == {found[7]: "document 7"}


def test_topics_have_no_repetitions_and_splits_no_overlap() -> None:
    texts = list(without_repetitions(["a\n\nb", "b\n\n  a \n\nc"]))
    assert texts == ["a\n\nb", "c"]
    corpus = PyDocs(validation=0.05, **SETTINGS).corpus(Path())
    seen = {p: {" ".join(b.split()) for t in corpus.documents(p) for b in t.split("\n\n")} for p in SPLITS}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not {p for p in seen[one] & seen[other] if len(p) > 40}
    length = sum(len(t) for p in SPLITS for t in corpus.documents(p))
    assert 0.5 < length / sum(map(len, topics())) < 0.95


def test_samples_are_the_documents_in_sequence() -> None:
    data = pydocs()
    row = torch.cat([batch["tokens"].flatten() for batch in data.eval_batches("validation", 7)])
    texts = list(PyDocs(validation=0.05, **SETTINGS).corpus(Path()).documents("validation"))
    assert len(row) == data.sizes["validation"] * 16
    decoded = data.vocabulary.decode(row.tolist())
    assert "".join(texts).startswith(decoded.removesuffix("�"))
    assert tokens_by_split(data)["validation"] == sum(len(text.encode()) + 1 for text in texts)
    assert int((row == data.vocabulary.end).sum()) == len(texts) - 1 + (len(row) == tokens_by_split(data)["validation"])
    assert int(data.vocabulary.counts.sum()) == tokens_by_split(data)["train"]


@pytest.mark.parametrize("mapped", [False, True], ids=["device", "mapped"])
def test_batches_depend_only_on_the_step(mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mapped:
        monkeypatch.setattr(tokens_module, "DEVICE_LIMIT_BYTES", 0)
    data = pydocs(sequence_length=512)
    assert isinstance(data._rows["train"], tokens_module.MappedRows) == mapped
    steps = 3 * data.sizes["train"] // 100 + 2
    straight = list(islice(data.train_batches(100), steps))
    resumed = list(islice(pydocs(sequence_length=512).train_batches(100, first_step=5), steps - 5))
    for a, b in zip(straight[5:], resumed, strict=True):
        assert torch.equal(a["tokens"], b["tokens"])
        assert torch.equal(a["index"], b["index"])
    assert torch.cat([batch["index"] for batch in straight]).tolist() == list(range(100 * steps))
    rows = [tuple(row) for batch in straight for row in batch["tokens"].tolist()]
    epochs = [sorted(rows[i : i + data.sizes["train"]]) for i in (0, data.sizes["train"])]
    assert epochs[0] == epochs[1]  # every sample once in each epoch,
    assert rows[: data.sizes["train"]] != rows[data.sizes["train"] : 2 * data.sizes["train"]]  # in another order
    assert straight[0]["tokens"].dtype == straight[0]["index"].dtype == torch.int64


def test_evaluation_is_in_order_and_limited_evenly() -> None:
    data = pydocs()
    batches = list(data.eval_batches("test", 50))
    index = torch.cat([batch["index"] for batch in batches])
    assert index.tolist() == list(range(data.sizes["test"]))
    (few,) = data.eval_batches("test", 50, limit=5)
    count = data.sizes["test"]
    assert few["index"].tolist() == [int(n * (count - 1) / 4) for n in range(5)]
    whole = torch.cat([batch["tokens"] for batch in batches])
    assert torch.equal(few["tokens"], whole[few["index"]])


def test_the_hash_covers_content_split_tokenizer_and_length(tmp_path: Path) -> None:
    def sha(content: str = LINES, **changes: Any) -> str:
        return load(write(tmp_path, {"a.txt": content}) / "a.txt", **changes).sha256

    hashes = [
        sha(),
        sha(LINES.replace("line 7 ", "line 8 ")),
        sha(validation=0.1),
        sha(vocabulary=300),
        sha(sequence_length=17),
    ]
    assert len(set(hashes)) == 5
    assert sha() == hashes[0]


def test_facts_describe_the_data(tmp_path: Path) -> None:
    data = load(write(tmp_path, {"a.txt": LINES}), vocabulary=300)
    assert data.facts["vocabulary"] == data.vocabulary.size == 300
    assert data.tokens_per_sample == data.sequence_length == data.facts["sequence_length"] == 16
    assert data.sizes == {split: count // 16 for split, count in tokens_by_split(data).items()}
    assert len(str(data.facts["tokenizer_sha256"])) == 64


def test_names_assign_files_to_splits(tmp_path: Path) -> None:
    files = {"wiki.train.raw": "a", "wiki.valid.raw": "b", "wiki.test.raw": "c", "README.md": "no part", ".x.txt": "d"}
    assert parts(write(tmp_path / "files", files)) == {"train": ["a"], "validation": ["b"], "test": ["c"]}
    folders = {"train/1.txt": "a", "train/sub/0.md": "b", "dev/x.txt": "c", "test/y.txt": "d", "train/z.bin": "e"}
    assert parts(write(tmp_path / "folders", folders)) == {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    pooled = {"x.txt": "a", "test.txt": "c", "valid.txt": "b"}
    assert parts(write(tmp_path / "pooled", pooled)) == {"train": ["a"], "validation": ["b"], "test": ["c"]}


def test_a_validation_file_alone_is_the_test_split(tmp_path: Path) -> None:
    found = parts(write(tmp_path, {"train.txt": LINES, "valid.txt": "b"}))
    assert found["test"] == ["b"]
    assert "".join(found["train"] + found["validation"]) == LINES
    assert len(found["validation"][0]) == pytest.approx(0.05 * len(LINES), rel=0.02)


def test_files_without_split_names_are_all_cut(tmp_path: Path) -> None:
    found = parts(write(tmp_path, {"b.txt": LINES, "a/test.txt": LINES.upper(), "c.bin": "no text"}))
    for split in SPLITS:
        assert [text.isupper() for text in found[split]] == [True, False]  # sorted: a/ before b.txt
    assert "".join(text for split in SPLITS for text in found[split][1:]) == LINES


def test_a_separator_divides_a_file_into_documents(tmp_path: Path) -> None:
    write(tmp_path, {"train.txt": "a<|e|>b<|e|> \n<|e|>c", "valid.txt": "d", "test.txt": "e"})
    assert parts(tmp_path, separator="<|e|>")["train"] == ["a", "b", "c"]


def test_articles_begin_with_their_titles() -> None:
    text = " \n = One = \n \n text \n = = Section = = \n \n = Two = \n more \n"
    assert articles(text) == [" \n", " = One = \n \n text \n = = Section = = \n \n", " = Two = \n more \n"]


def test_wikitext_from_files(tmp_path: Path) -> None:
    article = " = Title = \n " + "word " * 400 + "\n"
    names = ("wiki.train.raw", "wiki.valid.raw", "wiki.test.raw")
    write(tmp_path / "wikitext-2-raw", dict.fromkeys(names, article * 3))
    choice = config.load(["data=wikitext", "data.vocabulary=259", "model=gpt"]).data
    data = imports.load(choice.target)(**choice.settings).load(tmp_path, CPU, SEEDS)
    assert int(data.vocabulary.counts[data.vocabulary.end]) == 3


@pytest.mark.parametrize(
    ("files", "path", "changes", "expected"),
    [
        ({"a.txt": ""}, "a.txt", {}, r"a\.txt has no text to train on"),
        ({"a.txt": " \n \n"}, "", {}, "has no text to train on"),
        ({"a.bin": "x"}, "", {}, r"has no text files \(\.md"),
        ({"test.txt": "x", "dev.txt": "x"}, "", {}, "text for validation and test, but none to train on"),
        (
            {"a.txt": LINES},
            "",
            {"sequence_length": 5000},
            r"data\.sequence_length=5000: the validation split of",
        ),
        ({"a.txt": "one short line"}, "", {}, "is too short for three splits: there is no text for "),
        (
            {"train.txt": LINES, "valid.txt": "six", "test.txt": LINES},
            "",
            {},
            r"data\.sequence_length=16: the validation split of .* has only 4 tokens, less than one sample",
        ),
        ({"a.txt": LINES}, "", {"separator": "\n\n"}, r"data\.separator='\\n\\n' does not occur in data\.path="),
    ],
)
def test_unusable_text_is_named(
    tmp_path: Path, files: dict[str, str], path: str, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        load(write(tmp_path, files) / path, **changes)
    assert len(str(caught.value.args[0]).splitlines()) == 1
    assert caught.value.hint


SEPARATORS = {
    r"\n\n": "\n\n",
    "\n\n": "\n\n",
    r"\t": "\t",
    r"\r\n\f": "\r\n\f",
    r"\\n": r"\n",
    "<|e|>": "<|e|>",
    r"\q": r"\q",
}


@pytest.mark.parametrize("typed", SEPARATORS)
def test_a_separator_is_what_its_escapes_mean(typed: str, tmp_path: Path) -> None:
    meant = SEPARATORS[typed]
    file = write(tmp_path, {"a.txt": meant.join(f"text {n}" for n in range(9))}) / "a.txt"
    choice = config.load(["data=text", "model=gpt", f"data.path={file}", f"data.separator='{typed}'"]).data
    corpus = imports.load(choice.target)(**choice.settings).corpus(tmp_path)
    assert sum(len(list(corpus.documents(split))) for split in SPLITS) == 9


def test_the_id_counts_what_a_separator_means() -> None:
    typed = (r"'\n\n'", "'\n\n'", r"\n\n", r"'\\n\\n'")
    ids = [config.load(["data=text", "model=gpt", f"data.separator={text}"]).run_id for text in typed]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


def test_a_separator_that_only_differs_in_line_ends_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\n\r\ntwo")
    with pytest.raises(ConfigError, match="does not occur") as caught:
        load(tmp_path, separator="\n\n")
    assert caught.value.hint == r"The lines end with \r\n: data.separator='\r\n\r\n'"


def test_a_vocabulary_that_the_text_does_not_give_is_lowered_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_said", set())
    caplog.set_level("INFO", "optbench")
    file = write(tmp_path, {"a.txt": LINES + str(tmp_path)}) / "a.txt"
    for _ in range(2):  # trained, then found in the cache
        data = load(file, vocabulary=9000)
    size = data.vocabulary.size
    assert 259 < size < 1000 and data.facts["vocabulary"] == size
    said = f"the vocabulary has {size} pieces instead of data.vocabulary=9000: the training split gives no more"
    assert [record.getMessage() for record in caplog.records] == [f"{file}: {said}"]


def test_links_and_pipes_are_no_endless_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"a/x.txt": LINES, "__MACOSX/x.txt": "left by an archive"})
    (folder / "a" / "up").symlink_to("..")
    assert "".join(text for split in SPLITS for text in parts(folder)[split]) == LINES
    os.mkfifo(folder / "p.txt")
    with pytest.raises(MissingError, match=r"p\.txt cannot be read: Not a regular file"):
        load(folder)
    with pytest.raises(MissingError, match=r"data\.path=.*p\.txt is not a file or folder"):
        load(folder / "p.txt")


def test_missing_or_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"data\.path=nowhere"):
        load("nowhere")
    with pytest.raises(ConfigError, match=r"data\.path is missing"):
        Text(path=None, separator=None, validation=0.05, **SETTINGS).load(tmp_path, CPU, SEEDS)
    (tmp_path / "a.txt").write_bytes(b"good \xff bad")
    with pytest.raises(MissingError, match=r"a\.txt cannot be decoded: byte 5 is not UTF-8"):
        load(tmp_path)


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.vocabulary=258"):
        config.load(["data=pydocs", "data.vocabulary=258", "model=gpt"])


def test_a_path_below_the_data_folder(tmp_path: Path) -> None:
    write(tmp_path, {"texts/a.txt": LINES})
    assert text_set("texts").locate(tmp_path) == tmp_path / "texts"


def test_samples_are_numbered_by_their_position_in_the_stream() -> None:
    data = pydocs()
    ends = [batch["index"][[0, -1]].tolist() for batch in islice(data.train_batches(8, first_step=3), 4)]
    assert ends[0] == [24, 31]
    assert all(b[0] == a[1] + 1 for a, b in pairwise(ends))
