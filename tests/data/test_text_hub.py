"""Streams of the `datasets` library, from local files: downloaded in order, resumed, read without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.contracts import Seeds
from optbench.data import hub_text
from optbench.data.corpus import SPLITS
from optbench.data.hub_text import C4
from optbench.data.wikitext import WikiText
from optbench.errors import ConfigError, MissingError

SETTINGS: dict[str, Any] = {"sequence_length": 16, "vocabulary": 259, "tokenizer": None}
TEXTS = [f"document {n} says: " + f"word{n} " * (n % 17) for n in range(400)]
SIZES = [len(text.encode()) for text in TEXTS]


@pytest.fixture(autouse=True)
def own_library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Write a data set of two files of JSON lines."""
    folder = tmp_path / "origin"
    folder.mkdir()
    for number in range(2):
        rows = [json.dumps({"text": text, "url": "x"}) for text in TEXTS[number * 200 : number * 200 + 200]]
        (folder / f"train-{number}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def c4(path: Path | str, text_bytes: int = 10**9, **changes: Any) -> C4:
    settings = {"name": None, "revision": None, "column": "text", "validation": 0.1, **SETTINGS, **changes}
    return C4(path=str(path), text_bytes=text_bytes, **settings)


def silent(what: str, fraction: float) -> None:
    pass


def documents(made: C4, root: Path) -> list[str]:
    return [text for split in SPLITS for text in made.corpus(root).documents(split)]


def test_the_head_of_the_stream_is_taken(origin: Path, tmp_path: Path) -> None:
    made = c4(origin, sum(SIZES[:100]))
    folder = made.get(tmp_path / "data", silent)
    assert made.locate(tmp_path / "data") == folder
    assert sorted(documents(made, tmp_path / "data")) == sorted(TEXTS[:100])
    assert made.verify(tmp_path / "data") == []
    data = made.load(tmp_path / "data", torch.device("cpu"), Seeds(1, 2, 3))
    tokens = data.facts["tokens"]
    assert isinstance(tokens, dict)
    assert sum(tokens.values()) == sum(SIZES[:100]) + 100


def test_a_larger_download_continues_and_a_smaller_one_uses_less(origin: Path, tmp_path: Path) -> None:
    small, large = c4(origin, 2000), c4(origin, sum(SIZES[:300]))
    small.get(tmp_path, silent)
    before = documents(small, tmp_path)
    with pytest.raises(MissingError, match=r"data=c4 is incomplete: .* has \d+ of \d+ bytes"):
        large.load(tmp_path, torch.device("cpu"), Seeds(1, 2, 3))
    large.get(tmp_path, silent)
    assert sorted(documents(large, tmp_path)) == sorted(TEXTS[:300])
    assert documents(small, tmp_path) == before


def test_the_text_of_another_local_folder_is_not_taken_for_this_ones(origin: Path, tmp_path: Path) -> None:
    c4(origin, 2000).get(tmp_path / "data", silent)
    (origin / "train-0.jsonl").write_text('{"text": "something else"}\n')
    with pytest.raises(MissingError, match="data=c4 is incomplete"):
        c4(origin, 2000).load(tmp_path / "data", torch.device("cpu"), Seeds(1, 2, 3))


class Stop(BaseException):
    """As raised by a signal handler."""


def test_an_interrupted_download_continues(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_text, "SHARD_BYTES", 1500)
    seen: list[float] = []

    def stop(what: str, fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == 5:
            raise Stop

    made = c4(origin, sum(SIZES))
    with pytest.raises(Stop):
        made.get(tmp_path, stop)
    assert made.locate(tmp_path) is None
    (origin / "train-0.jsonl").touch()
    made.get(tmp_path, silent)
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 0.5
    state = json.loads((made.folder(tmp_path) / "state.json").read_text())
    kept = [
        json.loads(line)
        for s in state["shards"]
        for line in (made.folder(tmp_path) / s["file"]).read_text().split("\n")[:-1]
    ]
    assert kept == TEXTS  # in order, none twice, none left out
    assert len(state["shards"]) > 8


def test_a_stream_shorter_than_asked_is_used_whole(origin: Path, tmp_path: Path) -> None:
    made = c4(origin)
    made.get(tmp_path, silent)
    assert sorted(documents(made, tmp_path)) == sorted(TEXTS)
    left = sorted(file.name for file in made.folder(tmp_path).iterdir())
    assert left == [".lock", "00000.jsonl", "state.json"]


def test_a_broken_stream_keeps_its_shards(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_text, "SHARD_BYTES", 1500)
    whole = (origin / "train-1.jsonl").read_text()
    (origin / "train-1.jsonl").write_text("{ no json\n")
    made = c4(origin)
    with pytest.raises(MissingError, match=r"data=c4 data\.path=.*cannot be downloaded"):
        made.get(tmp_path, silent)
    assert not list(made.folder(tmp_path).glob("*.new")) + list(made.folder(tmp_path).glob(".*.new"))
    (origin / "train-1.jsonl").write_text(whole)
    made.get(tmp_path, silent)
    assert sorted(documents(made, tmp_path)) == sorted(TEXTS)


def test_a_damaged_shard_is_named(origin: Path, tmp_path: Path) -> None:
    made = c4(origin)
    folder = made.get(tmp_path, silent)
    shard = folder / "00000.jsonl"
    shard.write_bytes(shard.read_bytes()[:-20])
    (difference,) = made.verify(tmp_path)
    assert "00000.jsonl: SHA-256" in difference
    with pytest.raises(MissingError, match=r"00000\.jsonl is damaged"):
        made.load(tmp_path, torch.device("cpu"), Seeds(1, 2, 3))
    (folder / "state.json").write_text("{")
    with pytest.raises(MissingError, match=r"state\.json is damaged"):
        made.locate(tmp_path)


def test_a_wrong_column_is_named(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.column=content: .* it has text, url"):
        c4(origin, column="content").get(tmp_path, silent)


def test_wikitext_rows_become_three_files(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    for split in SPLITS:
        (origin / f"{split}.jsonl").write_text(
            "\n".join(json.dumps({"text": text}) for text in ("", f" = {split} = \n", "", " words \n"))
        )
    made = WikiText(path=str(origin), name="default", **SETTINGS)
    folder = made.get(tmp_path / "data", silent)
    assert (folder / "validation.txt").read_text() == "\n = validation = \n\n words \n"
    assert made.locate(tmp_path / "data") == folder
    assert list(folder.parent.iterdir()) == [folder]


def test_without_a_network_it_exits_with_4_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optbench", "data", "get", "c4", "model=gpt"]
    places = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "OPTBENCH_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **places})
    assert done.returncode == 4
    assert "data=c4 cannot be downloaded: HF_HUB_OFFLINE is set" in done.stderr
    assert not (tmp_path / "data").exists()
