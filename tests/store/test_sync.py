"""The order in which files are written and synced, for the case of a power cut."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optbench.records import Record, Split
from optbench.sessions.checkpoints import read_checkpoint
from optbench.store import RunFolder

Call = tuple[str, str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Call]]:
    """Record calls in order: (sync, file) for an fsync, (rename, file) and (delete, file); names without a SHA-256."""
    done: list[Call] = []

    def noted(what: str, name: str) -> None:
        done.append((what, re.sub("-[0-9a-f]{64}", "", name)))

    fsync, replace, unlink = os.fsync, os.replace, Path.unlink

    def synced(handle: Any) -> None:
        file = Path(os.readlink(f"/proc/self/fd/{handle}"))
        noted("sync", file.name.removeprefix(".").removesuffix(".tmp"))
        fsync(handle)

    def replaced(old: Any, new: Any) -> None:
        noted("rename", Path(new).name)
        replace(old, new)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self.exists():
            noted("delete", self.name)
        unlink(self, missing_ok)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to observe fsync")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "replace", replaced)
        patch.setattr(Path, "unlink", unlinked)
        yield done


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    made = RunFolder(tmp_path, "study", "run")
    made.path.mkdir(parents=True)
    yield made
    made.close()


def record(step: int) -> Record:
    return Record(step, step, step, Split.TRAIN, 1.0, 2.0, {"train_loss": 0.5})


def checkpoint(folder: RunFolder, step: int) -> None:
    folder.append(record(step))
    folder.sync()
    folder.checkpoints.write(step, lambda out: out.write(b"state"))


def test_a_run_without_checkpoints_syncs_three_times(folder: RunFolder, calls: list[Call]) -> None:
    folder.write_run({"a": 1})
    for step in range(5):
        folder.append(record(step))
    assert calls == [("rename", "run.json")]  # no sync while it trains
    folder.write_result({"status": "completed"})
    assert sorted(calls[1:3]) == [("sync", "metrics.jsonl"), ("sync", "run.json")]
    assert calls[3:] == [("sync", "result.json"), ("rename", "result.json")]


def test_files_of_another_process_are_synced_before_the_result(tmp_path: Path, calls: list[Call]) -> None:
    """For example a scheduler writes the result of a run whose worker was killed."""
    killed, scheduler = RunFolder(tmp_path, "s", "r"), RunFolder(tmp_path, "s", "r")
    killed.path.mkdir(parents=True)
    killed.write_run({"a": 1})
    killed.append(record(1))
    scheduler.write_result({"status": "failed"})
    at = calls.index(("rename", "result.json"))
    assert {("sync", "run.json"), ("sync", "metrics.jsonl"), ("sync", "result.json")} <= set(calls[:at])
    killed.close()


def test_records_are_synced_before_a_checkpoint_and_the_last_one_is_never_deleted_before_the_next(
    folder: RunFolder, calls: list[Call]
) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    assert ("sync", "run.json") in calls[: calls.index(("rename", "step-000000001.pt"))]
    checkpoint(folder, 2)
    calls.clear()
    checkpoint(folder, 3)
    new = "step-000000003.pt"
    expected = [("sync", "metrics.jsonl"), ("delete", "step-000000001.pt")]
    assert calls == [*expected, ("sync", new), ("rename", new), ("sync", "checkpoints")]
    assert [path.name[:14] for path in folder.checkpoints.newest_first()] == ["step-000000003", "step-000000002"]


def test_the_result_is_synced_before_checkpoints_are_deleted(folder: RunFolder, calls: list[Call]) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    folder.append(record(2))
    calls.clear()
    folder.write_result({"status": "completed"})
    assert calls == [
        ("sync", "metrics.jsonl"),
        ("sync", "result.json"),
        ("rename", "result.json"),
        ("sync", "run"),  # the folder
    ]


def test_run_json_is_never_torn_once_a_checkpoint_exists(folder: RunFolder, calls: list[Call]) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    calls.clear()
    folder.write_run({"a": 2})  # as when it is resumed
    assert calls == [("sync", "run.json"), ("rename", "run.json")]


def test_pictures_and_truncated_records_are_synced_before_the_result(folder: RunFolder, calls: list[Call]) -> None:
    np = pytest.importorskip("numpy")
    folder.write_run({"a": 1})
    folder.append(record(1))
    length = folder.sync()
    folder.append(record(2))
    folder.sync()
    folder.cut_back(length)
    folder.write_picture("samples", 3, np.zeros((2, 2, 3), np.uint8))
    calls.clear()
    folder.write_result({"status": "completed"})
    before = calls[: calls.index(("rename", "result.json"))]
    assert {("sync", "samples-step-000000003.png"), ("sync", "metrics.jsonl")} <= set(before)


def test_a_complete_run_syncs_three_times(quick_run: Any, calls: list[Call]) -> None:
    ended = quick_run("steps=4", "eval_every=2", "keep_checkpoint=false")
    of_the_run = [call for call in calls if call[0] == "sync"]
    assert sorted(of_the_run) == [("sync", name) for name in ("metrics.jsonl", "result.json", "run.json")]
    assert calls[-1] == ("rename", "result.json")
    assert ended.result["status"] == "completed"


@pytest.mark.parametrize("left", [0, 10, None], ids=["empty", "shorter", "no-file"])
def test_a_checkpoint_whose_records_are_lost_is_skipped(
    quick_run: Any, left: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the resumed run would have a gap in its records."""
    calm = quick_run("steps=4", "eval_every=2")
    folder = RunFolder(calm.folder.parent.parent, calm.folder.parent.name, calm.folder.name)
    whole = folder.records()
    folder.result_file.unlink()
    if left is None:
        folder.metrics_file.unlink()
    else:
        os.truncate(folder.metrics_file, left)
    caplog.clear()
    with caplog.at_level("WARNING", "optbench.store"):
        assert not list(folder.read_checkpoints(read_checkpoint))
    (message,) = caplog.messages
    assert "is left out: records before it are missing from metrics.jsonl" in message
    again = quick_run("steps=4", "eval_every=2")
    assert again.result["weights_sha256"] == calm.result["weights_sha256"]
    assert again.result["resumed_from_steps"] == []
    assert [row["step"] for row in folder.records()] == [row["step"] for row in whole]
