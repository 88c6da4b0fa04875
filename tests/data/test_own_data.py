"""Data sets of a user's own, and tables."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Call

from optbench import config
from optbench.config import imports, notices
from optbench.contracts import DataSet
from optbench.errors import ConfigError
from optbench.sessions.assemble import load_data
from optbench.sessions.execute import FinishedRun, execute
from optbench.training.seeding import seeds_of

FILE = Path(__file__).parent / "own_data.py"
SAME = "pair three by_name arrays column signs one_hot names tensors loader samples batches stream mapped gradients hub"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notices, "_said", set())


def loaded(name: str, *overrides: str, seed: int = 0) -> Any:
    chosen = config.load(["model=mlp", f"data={FILE}:{name}", *overrides])
    return load_data(chosen, CPU, seeds_of(seed))


def batches_of(data: DataSet, count: int, first: int = 0) -> list[dict[str, torch.Tensor]]:
    return [dict(batch) for batch in islice(data.train_batches(8, first), count)]


def same(one: list[dict[str, torch.Tensor]], other: list[dict[str, torch.Tensor]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("form", SAME.split())
def test_every_form_gives_the_same_samples(form: str) -> None:
    data, x, y = loaded(form), imports.load(f"{FILE}:X"), imports.load(f"{FILE}:Y")
    assert sum(data.sizes.values()) == 90
    assert (data.classes, data.sample_shape, data.kind) == (2, (4,), "table")
    truth = {tuple(row.tolist()): int(label) for row, label in zip(x, y, strict=True)}
    found = [batch for split in data.sizes for batch in data.eval_batches(split, 16)]
    assert all(batch["labels"].dtype == torch.int64 and batch["inputs"].dtype == torch.float32 for batch in found)
    rows = {tuple(row.tolist()): int(n) for b in found for row, n in zip(b["inputs"], b["labels"], strict=True)}
    assert rows == truth
    assert same(batches_of(data, 3, first=14), batches_of(data, 17)[14:])


def test_a_cut_split_has_its_share_of_every_class() -> None:
    data = loaded("pair", "data.validation=0.2", "data.test=9")
    assert data.sizes == {"train": 63, "validation": 18, "test": 9}
    shares = [torch.cat([b["labels"] for b in data.eval_batches(split, 99)]).float().mean() for split in data.sizes]
    assert max(shares) - min(shares) < 0.06


def test_random_augmentation_depends_on_the_step_alone_and_not_on_workers() -> None:
    data = loaded("noisy")
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    straight = batches_of(data, 12)
    assert torch.equal(torch.rand(3), drawn), "reading leaves the model's generator alone"
    assert same(straight[7:], batches_of(loaded("noisy"), 5, first=7))
    assert same(straight[:4], batches_of(loaded("noisy", "data.workers=2"), 4))
    assert not same(straight[:4], batches_of(loaded("noisy", seed=1), 4))
    once, twice = (list(data.eval_batches("test", 16)) for _ in range(2))
    assert same([dict(b) for b in once], [dict(b) for b in twice])


def test_pictures_are_standardised_and_classes_numbered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        data = loaded("pictures")
    assert (data.sample_shape, data.classes, data.kind) == ((3, 6, 6), 4, "images")
    batch = torch.cat([b["inputs"] for b in data.eval_batches("train", 99)])
    assert batch.mean().abs() < 0.1
    assert abs(float(batch.std()) - 1) < 0.1
    assert "the labels 1, 2, 3 and 4 are numbered 0 to 3" in caplog.text


def test_texts_are_tokenised() -> None:
    data = loaded("texts", "model=gpt", "data.vocabulary=270", "data.sequence_length=16")
    assert data.kind == "text"
    assert data.vocabulary.size <= 270
    assert next(data.train_batches(2))["tokens"].shape == (2, 16)


def test_copies_of_training_samples_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        loaded("copies")
    assert "10 of 20 test samples have the same inputs as a training sample" in caplog.text


def test_a_finished_run_is_not_shown_for_other_data(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 90, 4)).astype("float32")
    words = ["model=mlp", f"data={FILE}:from_file", "steps=2", "tracker=none", "threads=1"]
    hidden, named = config.load(words), config.load([*words, "data.version=v1"])
    np.save("x.npy", values[0])
    runs = [execute(one, tmp_path / "results") for one in (hidden, named)]
    np.save("x.npy", values[1])
    with pytest.raises(ConfigError, match="no longer what it was trained on"):
        execute(hidden, tmp_path / "results")
    assert execute(named, tmp_path / "results").result == runs[1].result


def test_real_labels_are_predicted_in_their_own_unit(quick_run: Callable[..., FinishedRun]) -> None:
    ended = quick_run(f"data={FILE}:numbers", "steps=200", "optimizer=adamw", "optimizer.lr=1e-2")
    final = ended.result["final"]
    assert (ended.result["metric"], ended.run["metric_scale"], ended.run["task"]) == ("rmse", "positive", "supervised")
    assert 30 < final["test_trivial"] < 70, "about the labels' deviation of 50"
    assert final["test_metric"] < 0.2 * final["test_trivial"]


@pytest.mark.parametrize("kind", ["noisy", "numbers"])
def test_an_interrupted_run_goes_on_bit_for_bit(twice: Callable[..., Any], kind: str) -> None:
    words = ["model=mlp", f"data={FILE}:{kind}", "steps=12", "eval_every=5", "tracker=none", "threads=1"]
    twice(config.load(words), 4, 9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noisy", "pair"])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    words = ["model=mlp", f"data={FILE}:{kind}", "steps=400", "tracker=none", "threads=1", "checkpoint_seconds=0"]
    calm = execute(config.load(words), tmp_path / "calm")
    command = [sys.executable, "-m", "optbench", "run", *words, "--results-dir", str(tmp_path / "wild")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "wild").rglob("checkpoints/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.kill()
    ended = execute(config.load(words), tmp_path / "wild")
    assert 0 < ended.result["resumed_from_steps"][-1] < 400
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
    assert ended.result["final"] == calm.result["final"]


TABLE = "id,rooms,area,town,price,sold\n" + "\n".join(
    f"h{i},{i % 7},{'' if i % 9 == 0 else 50 + i},{'abc'[i % 3]},{1000.5 * i + 3},{'yes' if i > 30 else 'no'}"
    for i in range(60)
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("label", "known"), [("price", {"outputs": 1}), ("sold", {"classes": 2}), ("rooms", {"classes": 7})]
)
def test_a_table_has_numbers_categories_and_missing_values(kind: str, label: str, known: dict[str, int]) -> None:
    import polars

    Path("t.csv").write_text(TABLE)
    polars.read_csv("t.csv").write_parquet("t.parquet")
    words = ["model=mlp", f"data={kind}", f"data.path=t.{kind}", f"data.label={label}", "data.ignore=[id]"]
    data: Any = load_data(config.load(words), CPU, seeds_of(0))
    width = 1 + 2 + 3 + 1 + 2 - {"price": 1, "sold": 2, "rooms": 1}[label]
    assert data.sample_shape == (width,)
    assert {key: getattr(data, key) for key in known} == known
    assert data.sizes == {"train": 48, "validation": 6, "test": 6}
    train = torch.cat([batch["inputs"] for batch in data.eval_batches("train", 99)])
    assert torch.isfinite(train).all()
    assert abs(float(train[:, 0].mean())) < 1e-5, "standardised by its own rows"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "data.path is missing"),
        ("data.path=none.csv", "there is no"),
        ("data.path=t.csv", "data.label is missing: data.path=t.csv has id, rooms, area"),
        ("data.path=t.csv data.label=prise", "data.label=prise: data.path=t.csv has no such column"),
        ("data.path=t.csv data.label=price data.categories=5", "id has more than data.categories=5 different texts"),
        ("data.path=t.csv data.label=price data.ignore=[x]", "data.ignore=x: data.path=t.csv has no such column"),
        ("data.path=t.csv data.label=price data.ignore=[id] data.split_column=town", "it holds 'a', not train"),
        ("data.path=t.csv data.label=town data.ignore=[id] data.kind_of_label=numbers", "but the labels are texts"),
        ("data.path=empty.csv data.label=price", "cannot be read|has no rows"),
        ("data.path=t.csv data.label=sold data.ignore=[id,rooms,area,town,price]", "has no column to predict from"),
    ],
)
def test_a_bad_table_is_one_error(words: str, message: str) -> None:
    from optbench.errors import OptbenchError

    Path("t.csv").write_text(TABLE)
    Path("empty.csv").write_text("")
    with pytest.raises(OptbenchError, match=message):
        load_data(config.load(["model=mlp", "data=csv", *words.split()]), CPU, seeds_of(0))


def test_the_embedded_table_is_learned(quick_run: Callable[..., FinishedRun]) -> None:
    ended = quick_run("data=diabetes", "optimizer=lion", "steps=150")
    final = ended.result["final"]
    assert ended.run["data"]["sizes"] == {"train": 294, "validation": 60, "test": 88}
    assert final["test_metric"] < 0.85 * final["test_trivial"]


def test_verify_says_that_nothing_is_published_and_shows_the_hash_of_the_content(here: Path, call: Call) -> None:
    (here / "d.py").write_text(
        "import torch\n\n\ndef load():\n    return torch.arange(40.0)[:, None], torch.arange(40) % 2\n"
    )
    code, out, _ = call("data", "verify", "./d.py:load")
    assert code == 0
    assert "no checksums are published" in out
    assert "agrees" not in out
    tree = json.loads(call("data", "verify", "./d.py:load", "--json")[1])
    assert tree["published"] is False
    assert tree["sha256"] in out
    (here / "d.py").write_text((here / "d.py").read_text().replace("% 2", "% 4"))
    assert json.loads(call("data", "verify", "./d.py:load", "--json")[1])["sha256"] != tree["sha256"]
    assert "no checksums are published" in call("data", "verify", "digits")[1]
