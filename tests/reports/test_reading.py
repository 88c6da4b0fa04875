"""Reading results: damage is listed and never fatal, the cache is disposable, names of plain runs contain what
differs."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import write_run, write_study

from optbench.errors import NoResultsError
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.read.cache import FOLDER, cached_records
from optbench.reports.read.reading import read
from optbench.reports.read.record_frames import read_records

VALUES = {"good": [0.9, 0.91, 0.89], "bad": [0.5, 0.51, 0.49]}
DAMAGE: dict[str, Callable[[Path], Any]] = {
    "run.json truncated": lambda run: cut(run / "run.json"),
    "run.json empty": lambda run: (run / "run.json").write_text(""),
    "run.json is a list": lambda run: (run / "run.json").write_text("[1]"),
    "run.json is null": lambda run: (run / "run.json").write_text("null"),
    "run.json without a config": lambda run: change(run / "run.json", config=None),
    "run.json with another config": lambda run: change(run / "run.json", config={"optimizer": []}),
    "run.json with words for a seed": lambda run: change(run / "run.json", seed="many"),
    "run.json of a newer schema": lambda run: change(run / "run.json", schema=99),
    "run.json is no text": lambda run: (run / "run.json").write_bytes(b"\xff\xfe\x00"),
    "run.json nested without end": lambda run: (run / "run.json").write_text("[" * 200_000),
    "run.json is a folder": lambda run: [(run / "run.json").unlink(), (run / "run.json").mkdir()],
    "run.json is missing": lambda run: (run / "run.json").unlink(),
    "result.json truncated": lambda run: cut(run / "result.json"),
    "result.json empty": lambda run: (run / "result.json").write_text(""),
    "result.json with words for a metric": lambda run: change(run / "result.json", final={"val_metric": "good"}),
    "result.json with a list for a tree": lambda run: change(run / "result.json", final=[1]),
    "result.json without a status": lambda run: (run / "result.json").write_text('{"schema": 1}'),
    "result.json of a newer schema": lambda run: change(run / "result.json", schema=99),
}
FOREIGN: dict[str, Callable[[Path], Any]] = {
    "files": lambda study: [(study / name).write_text("x") for name in (".DS_Store", "README.md", "a.ipynb")],
    "folders": lambda study: [(study / name).mkdir() for name in ("logs", ".replaced", "figures")],
    "a link to itself": lambda study: (study / "loop").symlink_to("loop"),
    "a link upward": lambda study: (study / "up").symlink_to(".."),
    "a study.json that is a list": lambda study: (study / "study.json").write_text("[]"),
    "a study.json that is torn": lambda study: cut(study / "study.json"),
    "cells that are a number": lambda study: change(study / "study.json", cells=3),
    "cells that are words": lambda study: change(study / "study.json", cells=["a", None]),
}


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_listed_and_the_rest_is_reported(tmp_path: Path, damage: str) -> None:
    study = write_study(tmp_path, VALUES)
    DAMAGE[damage](study / "good-final-0-s1001")
    found = read(study)
    assert len(found.runs) == 5
    assert [path for path, _ in found.skipped] == ["made/good-final-0-s1001"]
    assert all(reason for _, reason in found.skipped)
    rows = {row.contender: row for row in build(found, ReportOptions()).workloads[0].rows}
    assert (rows["good"].seeds, rows["bad"].seeds) == ((1000, 1002), (1000, 1001, 1002))


@pytest.mark.parametrize("foreign", FOREIGN)
def test_unrelated_files_are_ignored(tmp_path: Path, foreign: str) -> None:
    study = write_study(tmp_path, VALUES)
    FOREIGN[foreign](study)
    assert len(read(study).runs) == len(read(tmp_path).runs) == 6
    assert build(read(study), ReportOptions()).workloads[0].rows[0].contender == "good"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_run_is_listed(tmp_path: Path) -> None:
    study = write_study(tmp_path, VALUES)
    (study / "good-final-0-s1000" / "run.json").chmod(0)
    assert "cannot be read" in dict(read(study).skipped)["made/good-final-0-s1000"]


def test_the_finished_copy_of_a_duplicate_run_is_used(tmp_path: Path) -> None:
    write_study(tmp_path, VALUES, study="a")
    write_study(tmp_path, VALUES, study="b")
    (tmp_path / "a" / "bad-final-0-s1000" / "result.json").unlink()
    found = read(tmp_path)
    assert len(found.runs) == 6
    assert {run["study"] for run in found.runs if run["run_id"] == "bad-final-0-s1000"} == {"b"}
    assert ("a/bad-final-0-s1000", "the same run as b/bad-final-0-s1000") in found.skipped
    assert ("b/good-final-0-s1000", "the same run as a/good-final-0-s1000") in found.skipped


def test_no_runs_is_an_error_with_a_hint(tmp_path: Path) -> None:
    write_study(tmp_path, VALUES, study="lion-vit")
    with pytest.raises(NoResultsError) as raised:
        read(tmp_path / "lion-vot")
    assert "lion-vit" in str(raised.value.hint)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoResultsError, match="No results in"):
        read(tmp_path / "empty")
    with pytest.raises(NoResultsError, match="one run") as raised:
        read(tmp_path / "lion-vit" / "good-final-0-s1000")
    assert str(tmp_path / "lion-vit") in str(raised.value.hint)


def test_a_relative_path_is_the_same_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path, VALUES)
    monkeypatch.chdir(study)
    assert read(Path(".")).runs == read(study).runs


# -- plain runs --------------------------------------------------------------------------------------------------------


def plain(study: Path, name: str, seed: int, *words: str, steps: int = 100) -> None:
    run = write_run(study, name, "run", seed, len(words), 0.5, "max", steps=steps)
    trial = f"{name} {sorted(words)}"
    changes = {"trial_id": trial, "overrides": [f"optimizer={name}", f"seed={seed}", *words]}
    rate = next((float(word.removeprefix("optimizer.lr=")) for word in words if "optimizer.lr=" in word), 0.001)
    config = json.loads((run / "run.json").read_text())["config"] | {"optimizer": {"name": name, "lr": rate}}
    change(run / "run.json", sweep=None, config=config, **changes)


def test_two_learning_rates_of_an_optimizer_are_not_seeds_of_one(tmp_path: Path) -> None:
    for seed in (0, 1):
        plain(tmp_path / "runs", "a", seed)
        plain(tmp_path / "runs", "a", seed, "optimizer.lr=1e-1", "tracker=none")
        plain(tmp_path / "runs", "b", seed)
    assert {run["contender"] for run in read(tmp_path).runs} == {"a optimizer.lr=0.001", "a optimizer.lr=0.1", "b"}
    assert {run["workload"] for run in read(tmp_path).runs} == {"made-up"}


def test_other_steps_are_another_workload(tmp_path: Path) -> None:
    plain(tmp_path / "runs", "a", 0)
    plain(tmp_path / "runs", "a", 1, "steps=50", steps=50)
    found = {run["workload"]: run["contender"] for run in read(tmp_path).runs}
    assert found == {"made-up steps=100": "a", "made-up steps=50": "a"}
    assert len(build(read(tmp_path), ReportOptions()).workloads) == 2


def test_settings_shared_by_all_runs_are_not_in_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plain(tmp_path / "runs", name, 0, "steps=50", "optimizer.lr=0.1", steps=50)
    assert {(run["workload"], run["contender"]) for run in read(tmp_path).runs} == {("made-up", "a"), ("made-up", "b")}


# -- what tuning chose -------------------------------------------------------------------------------------------------


def chosen_values(study: Path) -> list[tuple[Any, ...]]:
    (workload,) = build(read(study), ReportOptions()).workloads
    tuned = [(row.contender, dict(row.tuned), row.tune_val) for row in workload.rows]
    return [*tuned, *((s.contender, s.key, s.x, s.chosen, s.number) for s in workload.sensitivity)]


@pytest.mark.parametrize("lists_its_keys", [True, False])
def test_chosen_values_do_not_come_from_study_json(tmp_path: Path, lists_its_keys: bool) -> None:
    study = write_study(tmp_path, VALUES, tuning={"good": [0.2, 0.9, 0.1], "bad": [0.5, 0.1, 0.2]})
    if not lists_its_keys:  # as run.json was written before it named the searched keys
        for file in study.glob("*/run.json"):
            sweep = json.loads(file.read_text())["sweep"]
            change(file, sweep={key: value for key, value in sweep.items() if key != "searched"})
    before = chosen_values(study)
    assert before[0] == ("good", {"optimizer.lr": 0.1}, 0.9) and before[2][1:4] == (
        "optimizer.lr",
        (1.0, 0.1, 0.01),
        0.1,
    )
    (study / "study.json").unlink()
    assert chosen_values(study) == before


# -- records -----------------------------------------------------------------------------------------------------------


def lines(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    rows = [
        {"step": step, "samples": 8 * step, "split": "validation" if step % 5 == 0 else "train"}
        | (
            {"val_metric": rng.random()}
            if step % 5 == 0
            else {"train_loss": rng.random(), "peak_allocated_bytes": None}
        )
        for step in range(1, n + 1)
    ]
    return [json.dumps(row) for row in rows]


def one(tmp_path: Path, content: str | bytes) -> tuple[list[dict[str, Any]], str | None]:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    frame, wrong = read_records({"a": file})
    return frame.to_dicts(), wrong.get("a")


@pytest.mark.parametrize(
    ("spoil", "kept", "message"),
    [
        (lambda rows: "\n".join(rows), 9, "last line is torn"),
        (lambda rows: "\n".join(rows) + "\n" + rows[0][:9], 10, "last line is torn"),
        (lambda rows: "\n".join([*rows[:5], "garbage", *rows[5:]]) + "\n", 10, "1 lines are not records"),
        (lambda rows: "\n".join([*rows, "[1, 2]", "3", '"x"', "null", "{}"]) + "\n", 10, "5 lines are not records"),
        (lambda rows: "\n".join([*rows, rows[-1]]) + "\n", 10, "1 records are repeated"),
        (lambda rows: "\n".join(rows).replace('"step": 3', '"step": "3"') + "\n", 9, "1 lines are not records"),
        (lambda rows: "\n".join(rows).replace('"split": "train"', '"split": "tr"', 1) + "\n", 9, "1 lines"),
        (lambda rows: ("\n".join(rows) + "\n").encode() + b"\xff\xfe\n", 10, "1 lines are not records"),
        (lambda rows: "\n\n".join(rows) + "\n", 10, None),
        (lambda rows: "\n".join(rows) + "\n", 10, None),
        (lambda rows: "", 0, None),
        (lambda rows: "\n", 0, None),
    ],
)
def test_damaged_records_are_left_out_and_counted(
    tmp_path: Path, spoil: Callable[[list[str]], str | bytes], kept: int, message: str | None
) -> None:
    rows, wrong = one(tmp_path, spoil(lines(10)))
    assert len(rows) == kept
    assert (wrong is None) if message is None else message in str(wrong)


def test_nonfinite_values_are_nan_not_null(tmp_path: Path) -> None:
    nonfinite = {"step": 11, "samples": 88, "split": "train", "train_loss": None, "nonfinite": {"train_loss": "inf"}}
    rows, wrong = one(tmp_path, "\n".join([*lines(10), json.dumps(nonfinite)]) + "\n")
    assert wrong is None
    assert rows[-1]["train_loss"] == math.inf and rows[4]["train_loss"] is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 5))
def test_parsing_together_equals_parsing_alone(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], torn: int
) -> None:
    folder = tmp_path_factory.mktemp("many")
    files = {}
    for number, length in enumerate(lengths):
        files[f"run{number}"] = folder / f"{number}.jsonl"
        files[f"run{number}"].write_text("\n".join(lines(length, number)) + ("" if number == torn else "\n"))
    together, _ = read_records(files)
    for run_id, file in files.items():
        alone, _ = read_records({run_id: file})
        mine = together.filter(pl.col("run_id") == run_id)
        names = sorted(alone.columns) if alone.height else ["run_id"]
        assert mine.select(names).equals(alone.select(names))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made = write_study(tmp_path, VALUES)
    for number, run in enumerate(sorted(made.glob("*-*"))):
        (run / "metrics.jsonl").write_text("\n".join(lines(10, number)) + "\n")
    return made


def test_the_cache_equals_the_files(study: Path) -> None:
    first, _ = read(study).records()
    copy = study.parent / FOLDER / "made.parquet"
    assert copy.exists()
    again, _ = read(study).records()
    assert again.equals(first) and first.height == 60
    some, _ = read(study).records(["bad-final-0-s1000"], ("run_id", "step", "nowhere"))
    assert (some.height, some.columns, some["nowhere"].null_count()) == (10, ["run_id", "step", "nowhere"], 10)


def test_only_changed_files_are_read_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(study).records()
    file = study / "bad-final-0-s1000" / "metrics.jsonl"
    file.write_text("\n".join(lines(12)) + "\n")
    asked: list[set[str]] = []
    monkeypatch.setattr(
        "optbench.reports.read.cache.read_records", lambda files: [asked.append(set(files)), read_records(files)][1]
    )
    frame, _ = read(study).records()
    assert asked == [{"bad-final-0-s1000"}]
    assert frame.height == 62 and frame.filter(pl.col("run_id") == "bad-final-0-s1000").height == 12


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PAR1" * 20])
def test_a_damaged_cache_is_rebuilt(study: Path, content: bytes) -> None:
    first, _ = read(study).records()
    copy = study.parent / FOLDER / "made.parquet"
    copy.write_bytes(content)
    again, _ = read(study).records()
    assert again.equals(first)
    copy.write_bytes(copy.read_bytes()[:-200] + b"x" * 200)
    assert read(study).records()[0].equals(first)


def test_an_unwritable_cache_is_not_needed(study: Path) -> None:
    (study.parent / FOLDER).write_text("a file is in the way")
    frame, _ = read(study).records()
    assert frame.height == 60


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_cache_that_fills_the_disk_is_not_needed(study: Path) -> None:
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, allowed[1]))
    try:
        frame, _ = read(study).records()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert frame.height == 60
    assert not list((study.parent / FOLDER).iterdir())


def test_faults_are_reported_from_the_cache_too(study: Path) -> None:
    file = study / "bad-final-0-s1000" / "metrics.jsonl"
    file.write_text(file.read_text() + '{"torn')
    for _ in range(2):
        _, wrong = read(study).records()
        assert wrong == (("made/bad-final-0-s1000/metrics.jsonl", "metrics.jsonl: its last line is torn"),)
    frame, wrong = cached_records(study.parent, "made", {"bad-final-0-s1000": file}, ("run_id", "step"))
    assert frame.height == 10 and len(wrong) == 1


def test_a_typed_path_has_no_backslash_in_its_name() -> None:
    from optbench.reports.read.run_rows import names_of

    config = {"model": {"name": "mlp"}, "data": {"name": "digits"}, "optimizer": {"name": "Mine"}}
    sweep = {"choices": ["optimizer=mine.py\\:Mine", "task=./task.py\\:loss"], "workload": []}
    assert names_of(config, sweep, {})["contender"] == "Mine task=./task.py:loss"
