"""A sharded checkpoint runs no code, whichever of its files names some."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import BytesStorageMetadata
from torch.distributed.checkpoint.state_dict_saver import save

from optbench.distributed.checkpoint_reader import CodeFreeReader
from optbench.distributed.sharded_checkpoint import PLACEHOLDER, load_whole, plain_errors
from optbench.store import Checkpoints

TENSORS = {"a/b": torch.arange(12.0).reshape(3, 4), "c": torch.ones(5, dtype=torch.bfloat16)}
TREE: dict[str, Any] = {"run_id": "run", "records_bytes": 0}


class Planted:
    """An object whose unpickling makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints" / "step-000000001.parts"
    made.mkdir(parents=True)
    with plain_errors():
        save(dict(TENSORS), storage_writer=FileSystemWriter(made), no_dist=True)
    places = {key: {PLACEHOLDER: key, "shape": list(t.shape), "dtype": t.dtype} for key, t in TENSORS.items()}
    torch.save({**TREE, "trainer": places}, made / "rest.pt")
    return made


def loaded(folder: Path) -> list[dict[str, Any]]:
    return [state for _, state in Checkpoints(folder.parent).read("run", 0, load_whole)]


def test_metadata_are_those_that_torch_reads(folder: Path) -> None:
    ours, theirs = CodeFreeReader(folder).read_metadata(), FileSystemReader(folder).read_metadata()
    assert ours.state_dict_metadata == theirs.state_dict_metadata
    assert ours.storage_data == theirs.storage_data
    (state,) = loaded(folder)
    for key, tensor in TENSORS.items():
        found: Tensor = state["trainer"][key]
        assert found.dtype == tensor.dtype and torch.equal(found, tensor)


def changed(change: Callable[[Any], object]) -> Callable[[Path, Path], None]:
    """Return a function that changes the metadata."""

    def rewrite(folder: Path, file: Path) -> None:
        metadata = pickle.loads((folder / ".metadata").read_bytes())
        change(metadata)
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))

    return rewrite


def load_planted_bytes(folder: Path, file: Path) -> None:
    """Let torch's planner unpickle a value that the metadata call bytes."""
    (folder / "__0_0.distcp").write_bytes(b"")
    torch.save(Planted(file), folder / "__0_0.distcp")
    length = (folder / "__0_0.distcp").stat().st_size

    def change(metadata: Any) -> None:
        metadata.state_dict_metadata["c"] = BytesStorageMetadata()
        for place in metadata.storage_data.values():
            place.offset, place.length = 0, length

    changed(change)(folder, file)


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "metadata": lambda folder, file: (folder / ".metadata").write_bytes(pickle.dumps(Planted(file))),
    "metadata-state": lambda folder, file: changed(lambda m: setattr(m, "planner_data", Planted(file)))(folder, file),
    "tensors": lambda folder, file: torch.save(Planted(file), folder / "__0_0.distcp"),
    "bytes": load_planted_bytes,
    "rest": lambda folder, file: torch.save(Planted(file), folder / "rest.pt"),
    "rest-pickle": lambda folder, file: (folder / "rest.pt").write_bytes(pickle.dumps(Planted(file))),
}


@pytest.mark.parametrize("name", PLANTS)
def test_code_in_a_checkpoint_is_never_called(
    folder: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    PLANTS[name](folder, tmp_path / "executed")
    found = loaded(folder)
    assert not (tmp_path / "executed").exists()
    if name != "metadata-state":  # which is inert, and not needed
        assert not found
        assert "step-000000001.parts is left out" in caplog.messages[-1]


def elsewhere(metadata: Any) -> None:
    for place in metadata.storage_data.values():
        place.relative_path = "../../outside"


@pytest.mark.parametrize(
    "damage",
    [
        changed(elsewhere),
        changed(lambda metadata: metadata.storage_data.clear()),
        changed(lambda metadata: metadata.state_dict_metadata.pop("c")),
        changed(lambda metadata: setattr(metadata, "storage_data", [1])),
        lambda folder, file: (folder / ".metadata").unlink(),
        lambda folder, file: (folder / ".metadata").write_bytes(b""),
        lambda folder, file: (folder / ".metadata").write_bytes(b"(" * 100_000),
        lambda folder, file: (folder / "__0_0.distcp").write_bytes(b"torn"),
        lambda folder, file: (folder / "rest.pt").write_bytes(b"[]"),
    ],
    ids=["elsewhere", "no-places", "no-tensor", "kind", "missing", "empty", "nested", "torn", "rest"],
)
def test_a_damaged_one_is_left_out(
    folder: Path, tmp_path: Path, damage: Callable[[Path, Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outside").write_bytes((folder / "__0_0.distcp").read_bytes())
    damage(folder, tmp_path)
    assert loaded(folder) == []
    assert "step-000000001.parts is left out" in caplog.messages[-1]
