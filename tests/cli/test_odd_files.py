"""Whatever lies where a file of results is expected: one clear answer, no hang, and everything stays where it was."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from odd_files import JUNK, ODD, places, replaced, spoilt

from optbench.benches.reporting.tree import make_tree

Call = Callable[..., tuple[int, str, str]]
QUICK = ("model=quadratic", "steps=2", "tracker=none", "threads=1", "device=cpu")
SWEEP = ("sweep", "optimizer=sgd", *QUICK, "--trials", "1", "--seeds", "1", "--study", "s", "--results-dir", "results")
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "results/large", "--text"),
    "report -o": ("report", "results", "-o", "out", "--only", "md,csv,json,html"),
    "compare": ("compare", "lion", "adamw", "results/large"),
    "merge from": ("merge", "results", "-o", "merged"),
    "merge into": ("merge", "other", "-o", "results"),
    "run": ("run", *QUICK),
    "run --dry-run": ("run", *QUICK, "--dry-run"),
}
FILES = (
    "run.json",
    "result.json",
    "metrics.jsonl",
    "pruned.json",
    ".lock",
    "pictures",
    "study.json",
    ".cache",
    "s.parquet",
)
CODES = {0, 2, 3, 4, 5}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study, and the run of COMMANDS["run"]."""
    folder = tmp_path_factory.mktemp("odd")
    make_tree(folder / "results", runs=20, records=4)
    from optbench import run

    run([*QUICK], results_dir=folder / "results")
    return folder


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail instead of waiting."""

    def fail(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def prepared(whole: Path, here: Path, command: str) -> Path:
    """Copy the results into the working folder; return the folder of the study that the command reads."""
    shutil.copytree(whole / "results", here / "results")
    if command == "merge into":
        shutil.copytree(whole / "results", here / "other")
    return here / "results" / ("runs" if command.startswith("run") else "large")


def place(study: Path, name: str) -> Path:
    """Return the path of a file of a study or of one of its runs."""
    if name in ("study.json", ".cache", "s.parquet"):
        where = {"study.json": study, ".cache": study.parent, "s.parquet": study.parent / ".cache"}[name]
        return where / (f"{study.name}.parquet" if name == "s.parquet" else name)
    return sorted(file.parent for file in study.glob("*/run.json"))[0] / name


CASES = [(kind, name) for kind in ODD for name in FILES]
QUICK_CASES = random.Random(0).sample(CASES, 12)


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*c, marks=[] if c in QUICK_CASES else [pytest.mark.slow]) for c in CASES]
)
def test_odd_files(
    kind: str, name: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    for number, (command, words) in enumerate(COMMANDS.items()):
        here = tmp_path / str(number)
        here.mkdir()
        monkeypatch.chdir(here)
        study = prepared(whole, here, command)
        odd = place(study, name)
        replaced(odd, kind)
        code, _out, err = call(*words)
        assert code in CODES, (command, err)
        assert "Traceback" not in err
        for file in (whole / "results").rglob("*.json"):
            copy = here / "results" / file.relative_to(whole / "results")
            assert os.path.lexists(copy) or odd in copy.parents, (command, copy)
        if name == "study.json" and command.startswith(("report", "compare")) and kind != "dangling link":
            assert code in (0, 5), err


def wrong_values(file: Path, count: int, seed: int) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield places of a document, and its text with a value of the wrong kind there."""
    text, draw = file.read_text(), random.Random(seed)
    for _ in range(count):
        where = draw.choice(places(json.loads(text)))
        yield where, spoilt(text, where, draw.choice(JUNK))


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
@pytest.mark.parametrize("name", ["run.json", "result.json", "study.json"])
def test_values_of_the_wrong_kind(
    name: str, seed: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, words in COMMANDS.items():
        if command == "report -o" or (name == "study.json" and command.startswith("run")):
            continue
        for other in ("results", "other", "merged"):
            shutil.rmtree(tmp_path / other, ignore_errors=True)
        file = place(prepared(whole, tmp_path, command), name)
        original = file.read_text()
        for where, text in wrong_values(file, 6, seed):
            file.write_text(text)
            code, out, err = call(*words)
            assert code in CODES, (command, where, err)
            assert not CONTROL.search(out + err), (command, where)
            file.write_text(original)


@pytest.mark.parametrize("kind", ["deep", "list", "directory", "FIFO", "link loop"])
def test_a_sweep_keeps_a_study_file_that_it_cannot_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from optbench.sweeps.scheduler.study_file import read_study_json, set_aside_unreadable

    replaced(tmp_path / "study.json", kind)
    assert read_study_json(tmp_path) is None
    set_aside_unreadable(tmp_path)
    set_aside_unreadable(tmp_path)  # nothing is left to do
    assert os.listdir(tmp_path) == ["study.unreadable-1"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["zeros", "FIFO", "directory", "link loop", "binary", "deep", "empty"])
def test_a_table_to_score_that_is_none(kind: str, tmp_path: Path, call: Call) -> None:
    replaced(tmp_path / "table.csv", kind)
    code, _, err = call("score", tmp_path / "table.csv")
    assert code == 2 and err.startswith("optbench: ")


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "lion", "lion", "results/large"),
        ("report", "~nosuchuser/results"),
        ("report", "x" * 300),
        ("merge", "x" * 300, "-o", "m"),
        ("merge", "results", "-o", "x" * 300),
        ("run", *QUICK, "--study", "x" * 300),
        ("run", *QUICK, "--study", "a\x1b[31m\u202e"),
        ("score", "x/" * 3000),
        ("sweep", "loop.yaml", "--dry-run"),
        ("list", "--config-dir", "loop.yaml"),
        ("list", "a\x1b[2J"),
        ("run", "--\x1b[2J"),
    ],
)
def test_names_that_cannot_be(
    words: tuple[str, ...], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole / "results" / "large", tmp_path / "results" / "large")
    replaced(tmp_path / "loop.yaml", "link loop")
    code, out, err = call(*words)
    assert code in (2, 5)
    assert len(err) < 1500 and not CONTROL.search(out + err)
