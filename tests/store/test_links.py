"""Links in a run's folder lead nowhere: nothing outside is written, cut or deleted, and the link is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optbench.errors import StorageError
from optbench.records import Record, Split
from optbench.store import RunFolder

NAMES = [
    "run.json",
    "result.json",
    ".result.json.tmp",
    "metrics.jsonl",
    "error.txt",
    ".lock",
    "checkpoints",
    "pictures",
]
NAMES += ["checkpoints/step-000000001.pt", "checkpoints/.step-000000001.pt.tmp", "checkpoints/step-000000001.parts"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "results", "study", "run")
    made.path.mkdir(parents=True)
    return made


def outside(tmp_path: Path, link: Path, *, is_folder: bool) -> Path:
    """Return a file or folder with content, to which `link` now points."""
    target = tmp_path / "outside"
    if is_folder:
        target.mkdir()
        (target / "mine.txt").write_text("mine")
        (target / "step-000000001.pt").write_text("mine")
    else:
        target.write_text("mine")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    return target


def content(target: Path) -> dict[str, str]:
    files = target.rglob("*") if target.is_dir() else [target]
    return {str(file): file.read_text() for file in files}


@pytest.mark.parametrize("name", NAMES)
def test_a_link_in_a_run_folder_is_refused_by_name(folder: RunFolder, tmp_path: Path, name: str) -> None:
    link = folder.path / name
    target = outside(tmp_path, link, is_folder=name in ("checkpoints", "pictures") or name.endswith(".parts"))
    before = content(target)
    with pytest.raises(StorageError, match=f"{name}: is a link"), folder.locked():
        folder.write_run({"schema": 1})
    assert content(target) == before
    assert link.is_symlink()


def record() -> Record:
    return Record(1, 1, 1, Split.TRAIN, 1.0, 2.0, {"train_loss": 0.5})


WRITES: dict[str, tuple[str, Callable[[RunFolder], Any]]] = {
    "append": ("metrics.jsonl", lambda folder: folder.append(record())),
    "cut": ("metrics.jsonl", lambda folder: folder.cut_back(0)),
    "run": (".run.json.tmp", lambda folder: folder.write_run({})),
    "result": (".result.json.tmp", lambda folder: folder.write_result({})),
    "error": (".error.txt.tmp", lambda folder: folder.write_error("")),
    "picture": ("pictures", lambda folder: folder.write_picture("a", 1, __import__("numpy").zeros((2, 2, 3), "uint8"))),
    "checkpoint": ("checkpoints", lambda folder: folder.checkpoints.write(1, lambda out: out.write(b"state"))),
    "parts": ("checkpoints", lambda folder: folder.checkpoints.write_parts(1, lambda parts: None)),
    "drop": ("checkpoints", lambda folder: folder.checkpoints.drop()),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_link_that_appears_while_the_run_writes_is_not_followed(folder: RunFolder, tmp_path: Path, name: str) -> None:
    file, write = WRITES[name]
    with folder.locked():
        folder.write_run({"schema": 1})
        target = outside(tmp_path, folder.path / file, is_folder=file in ("checkpoints", "pictures"))
        before = content(target)
        with pytest.raises(StorageError, match=f"(?s){file}.*link"):
            write(folder)
    assert content(target) == before


def test_only_checkpoints_are_deleted_from_their_folder(folder: RunFolder) -> None:
    place = folder.checkpoints.folder
    with folder.locked():
        folder.checkpoints.write(1, lambda out: out.write(b"1"))
        (place / "notes.txt").write_text("mine")
        (place / "best").mkdir()
        (place / ".step-000000001.parts.tmp").mkdir()
        for step in (2, 3, 4):
            folder.checkpoints.write(step, lambda out: out.write(b"x"))
        assert [path.name[:14] for path in folder.checkpoints.newest_first()] == ["step-000000004", "step-000000003"]
        folder.checkpoints.drop()
    assert sorted(path.name for path in place.iterdir()) == ["best", "notes.txt"]


def test_a_results_folder_a_study_and_a_run_may_be_links(tmp_path: Path) -> None:
    for name in ("root", "study", "run"):
        (tmp_path / f"disk-{name}").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk-root")
    (tmp_path / "results" / "study").symlink_to(tmp_path / "disk-study")
    (tmp_path / "results" / "study" / "run").symlink_to(tmp_path / "disk-run")
    folder = RunFolder(tmp_path / "results", "study", "run")
    with folder.locked():
        folder.write_run({"schema": 1})
        folder.checkpoints.write(1, lambda out: out.write(b"state"))
    assert (tmp_path / "disk-run" / "run.json").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", ".run.json.tmp"])
def test_a_fifo_in_place_of_a_file_does_not_hang(folder: RunFolder, name: str) -> None:
    os.mkfifo(folder.path / name)
    with pytest.raises(StorageError, match="cannot be written"), folder.locked():
        folder.write_run({"schema": 1})
        folder.append(record())
