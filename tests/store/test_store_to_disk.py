"""What lies on disk when: the order of writing, as a power cut would find it out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optbench.records import Record, Split
from optbench.sessions.checkpoints import read_checkpoint
from optbench.store import RunFolder

Deed = tuple[str, str]


@pytest.fixture
def deeds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Deed]]:
    """What was done in order: (disk, file) for a wait for the disk, (show, file) for a rename, (drop, file)."""
    done: list[Deed] = []
    fsync, replace, unlink = os.fsync, os.replace, Path.unlink

    def synced(handle: Any) -> None:
        file = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append(("disk", file.name.removeprefix(".").removesuffix(".tmp")))
        fsync(handle)

    def replaced(old: Any, new: Any) -> None:
        done.append(("show", Path(new).name))
        replace(old, new)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self.exists():
            done.append(("drop", self.name))
        unlink(self, missing_ok)

    if not Path("/proc/self/fd").exists():
        pytest.skip("finds out what is synced in /proc")
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
    folder.write_checkpoint(step, lambda out: out.write(b"state"))


def test_a_run_without_checkpoints_waits_three_times(folder: RunFolder, deeds: list[Deed]) -> None:
    folder.write_run({"a": 1})
    for step in range(5):
        folder.append(record(step))
    assert deeds == [("show", "run.json")]  # nothing is waited for while it trains
    folder.write_result({"status": "completed"})
    assert sorted(deeds[1:3]) == [("disk", "metrics.jsonl"), ("disk", "run.json")]
    assert deeds[3:] == [("disk", "result.json"), ("show", "result.json")]


def test_what_a_result_speaks_of_is_on_disk_first_whoever_wrote_it(tmp_path: Path, deeds: list[Deed]) -> None:
    """As where a scheduler writes the result of a run whose worker was killed again and again."""
    killed, scheduler = RunFolder(tmp_path, "s", "r"), RunFolder(tmp_path, "s", "r")
    killed.path.mkdir(parents=True)
    killed.write_run({"a": 1})
    killed.append(record(1))
    scheduler.write_result({"status": "failed"})
    at = deeds.index(("show", "result.json"))
    assert {("disk", "run.json"), ("disk", "metrics.jsonl"), ("disk", "result.json")} <= set(deeds[:at])
    killed.close()


def test_a_checkpoint_stands_on_what_is_on_disk_and_the_one_before_goes_last(
    folder: RunFolder, deeds: list[Deed]
) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    assert ("disk", "run.json") in deeds[: deeds.index(("show", "step-000000001.pt"))]
    deeds.clear()
    checkpoint(folder, 2)
    new = "step-000000002.pt"
    expected = [("disk", "metrics.jsonl"), ("disk", new), ("show", new), ("disk", "checkpoints")]
    assert deeds == [*expected, ("drop", "step-000000001.pt")]


def test_the_result_of_a_run_with_checkpoints_is_waited_for_before_they_go(
    folder: RunFolder, deeds: list[Deed]
) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    folder.append(record(2))
    deeds.clear()
    folder.write_result({"status": "completed"})
    assert deeds == [
        ("disk", "metrics.jsonl"),
        ("disk", "result.json"),
        ("show", "result.json"),
        ("disk", "run"),  # the folder
    ]


def test_run_json_that_checkpoints_stand_on_is_never_torn(folder: RunFolder, deeds: list[Deed]) -> None:
    folder.write_run({"a": 1})
    checkpoint(folder, 1)
    deeds.clear()
    folder.write_run({"a": 2})  # as when it is resumed
    assert deeds == [("disk", "run.json"), ("show", "run.json")]


def test_pictures_and_records_that_were_cut_back_are_on_disk_before_the_result(
    folder: RunFolder, deeds: list[Deed]
) -> None:
    np = pytest.importorskip("numpy")
    folder.write_run({"a": 1})
    folder.append(record(1))
    length = folder.sync()
    folder.append(record(2))
    folder.sync()
    folder.cut_back(length)
    folder.write_picture("samples", 3, np.zeros((2, 2, 3), np.uint8))
    deeds.clear()
    folder.write_result({"status": "completed"})
    before = deeds[: deeds.index(("show", "result.json"))]
    assert {("disk", "samples-step-000000003.png"), ("disk", "metrics.jsonl")} <= set(before)


def test_a_whole_run_waits_for_the_disk_three_times(quick_run: Any, deeds: list[Deed]) -> None:
    ended = quick_run("steps=4", "eval_every=2", "keep_checkpoint=false")
    of_the_run = [deed for deed in deeds if deed[0] == "disk"]
    assert sorted(of_the_run) == [("disk", name) for name in ("metrics.jsonl", "result.json", "run.json")]
    assert deeds[-1] == ("show", "result.json")
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
    with caplog.at_level("INFO", "optbench.store"):
        assert folder.read_checkpoint(read_checkpoint) is None
    (message,) = caplog.messages
    assert "skipped, records before it are missing from metrics.jsonl" in message
    again = quick_run("steps=4", "eval_every=2")
    assert again.result["weights_sha256"] == calm.result["weights_sha256"]
    assert again.result["resumed_from_steps"] == []
    assert [row["step"] for row in folder.records()] == [row["step"] for row in whole]
