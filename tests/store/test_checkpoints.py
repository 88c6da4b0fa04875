"""Checkpoints on disk: their checksum, the one before them, and interrupted writes."""

from __future__ import annotations

import hashlib
import os
import pickle
import resource
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from optbench.errors import StorageError
from optbench.store import Checkpoints

CONTENT = {"run_id": "run", "records_bytes": 0}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def read(path: Path) -> dict[str, Any]:
    return pickle.loads((path / "rest" if path.is_dir() else path).read_bytes())


def written(checkpoints: Checkpoints, step: int, kind: str = "pt", **changed: object) -> Path:
    content = pickle.dumps({**CONTENT, "step": step, **changed})
    if kind == "pt":
        return checkpoints.write(step, lambda out: out.write(content))
    return checkpoints.write_parts(step, lambda parts: [(parts / n).write_bytes(content) for n in ("rest", ".meta")])


def usable(checkpoints: Checkpoints, records_bytes: int = 0) -> list[int]:
    return [state["step"] for _, state in checkpoints.read("run", records_bytes, read)]


@pytest.mark.parametrize("kind", ["pt", "parts"])
def test_every_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(
    checkpoints: Checkpoints, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(checkpoints, 1, kind)
    path = written(checkpoints, 2, kind)
    file = path / ".meta" if kind == "parts" else path
    whole = file.read_bytes()
    assert usable(checkpoints) == [2, 1]
    for position in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        file.write_bytes(flipped)
        caplog.clear()
        assert usable(checkpoints) == [1]
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.message == f"{path} is left out: its content does not have the SHA-256 in its name"
    file.write_bytes(whole)
    assert usable(checkpoints) == [2, 1]


def test_a_file_more_or_less_in_a_folder_is_noticed(checkpoints: Checkpoints) -> None:
    path = written(checkpoints, 1, "parts")
    (path / "more").write_bytes(b"")
    assert usable(checkpoints) == []
    (path / "more").unlink()
    assert usable(checkpoints) == [1]
    (path / ".meta").unlink()
    assert usable(checkpoints) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"run_id": "other"}, "it belongs to the run other"),
        ({"records_bytes": 9}, "records before it are missing from metrics.jsonl"),
    ],
    ids=["run", "records"],
)
def test_a_checkpoint_of_another_run_or_without_records_is_left_out(
    checkpoints: Checkpoints, changed: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(checkpoints, 1)
    written(checkpoints, 2, **changed)
    assert usable(checkpoints, 8) == [1]
    assert caplog.messages[0].endswith(f"is left out: {why}")


@pytest.mark.parametrize("kind", ["pt", "parts"])
def test_checkpoints_of_earlier_versions_have_no_checksum_and_are_read(checkpoints: Checkpoints, kind: str) -> None:
    for step, run_id in ((1, "run"), (2, "other")):
        path = written(checkpoints, step, kind, run_id=run_id)
        checkpoints.last = path.rename(path.with_name(f"step-00000000{step}.{kind}"))
    assert usable(checkpoints) == [1]


def test_a_fifo_in_place_of_a_checkpoint_is_left_out(checkpoints: Checkpoints) -> None:
    written(checkpoints, 1)
    os.mkfifo(checkpoints.folder / "step-000000002.pt")
    assert usable(checkpoints) == [1]


def test_the_name_of_a_large_checkpoint_is_its_sha256(checkpoints: Checkpoints) -> None:
    content = os.urandom(3_000_001)

    def save(out: IO[bytes]) -> None:
        for start in range(0, len(content), 70_000):
            out.write(memoryview(content)[start : start + 70_000])

    assert checkpoints.write(1, save).name == f"step-000000001-{hashlib.sha256(content).hexdigest()}.pt"


@pytest.mark.parametrize("size", [0, 100, 250_000], ids="{}-bytes".format)
def test_a_full_disk_keeps_the_checkpoint_before(checkpoints: Checkpoints, size: int) -> None:
    written(checkpoints, 1)
    written(checkpoints, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(StorageError, match="checkpoints: cannot be written: File too large"):
            checkpoints.write(3, lambda out: torch.save(torch.zeros(200_000), out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert usable(checkpoints) == [2]
    assert len(list(checkpoints.folder.iterdir())) == 1


@pytest.mark.parametrize("kind", ["pt", "parts"])
def test_the_same_step_written_again_replaces_nothing_before_it_is_complete(
    checkpoints: Checkpoints, kind: str
) -> None:
    """As at the end of a run whose last step had a checkpoint."""
    written(checkpoints, 7, kind, final=False)
    written(checkpoints, 7, kind, final=True)
    assert [state["final"] for _, state in checkpoints.read("run", 0, read)] == [True, False]
    same = written(checkpoints, 7, kind, final=True)
    assert checkpoints.newest_first() == [same]
