"""The communicator: local samples, random numbers of a rank, errors of communication."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optbench import config
from optbench.config import imports
from optbench.data import batch_reader
from optbench.distributed import RankInfo, TorchCommunicator
from optbench.distributed.communicator import buckets
from optbench.distributed.failures import is_communication_error
from optbench.training.seeding import seeds_of


def member(rank: int, count: int) -> TorchCommunicator:
    """Return a communicator that is not connected to other ranks."""
    comm = TorchCommunicator.__new__(TorchCommunicator)
    rank_info = RankInfo(rank, count, rank)
    comm.rank, comm.world_size, comm.device, comm.seed = rank_info.rank, rank_info.world_size, torch.device("cpu"), 0
    return comm


@pytest.mark.parametrize(("size", "count"), [(8, 2), (7, 2), (3, 3), (10, 4)])
def test_local_batches_are_consecutive_and_differ_by_one_at_most(size: int, count: int) -> None:
    batch = {"x": torch.arange(size), "y": torch.arange(2 * size).view(size, 2)}
    shares = [member(rank, count).local_batch(batch) for rank in range(count)]
    for name, whole in batch.items():
        assert torch.equal(torch.cat([share[name] for share in shares]), whole)
    sizes = [len(share["x"]) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_rank_rng_differs_by_rank_and_turn_and_restores_the_common_state() -> None:
    def drawn(rank: int, step: int, turn: int) -> float:
        comm = member(rank, 2)
        comm.begin_step(step)
        for _ in range(turn):
            comm.begin_turn()
        with comm.rank_rng():
            return float(torch.rand(()))

    torch.manual_seed(1)
    common = torch.rand(2)
    torch.manual_seed(1)
    places = [(rank, step, turn) for rank in range(2) for step in range(3) for turn in range(3)]
    found = [drawn(*place) for place in places]
    assert torch.equal(torch.rand(2), common)
    assert len(set(found)) == len(places)
    assert found == [drawn(*place) for place in places]


def test_buckets_hold_consecutive_tensors_of_one_dtype() -> None:
    tensors = [torch.zeros(3), torch.zeros(2), torch.zeros(1, dtype=torch.float64), torch.zeros(9 * 2**20)]
    assert [len(bucket) for bucket in buckets(tensors)] == [2, 1, 1]
    assert list(buckets([])) == []


@pytest.mark.parametrize("augment", [(), ("data.augment.mixup=0.8", "data.augment.cutmix=1.0")], ids=["plain", "mixed"])
def test_a_rank_decodes_only_what_it_needs(
    tmp_path: Path, augment: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(8):
                Image.fromarray(draws.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{number}.png")
    words = ["model=mlp", "data=imagefolder", f"data.path={tmp_path / 'set'}", "data.image_size=16"]
    words += ["data.in_memory_bytes=0", "data.workers=0", *augment]
    read: list[int] = []
    decode = batch_reader.decode
    monkeypatch.setattr(
        batch_reader, "decode", lambda part, index, crop: read.append(index) or decode(part, index, crop)
    )

    def batches(own: Any) -> list[Any]:
        chosen = config.load(words).data
        data = imports.load(chosen.target)(**chosen.settings).load(tmp_path, torch.device("cpu"), seeds_of(0))
        data.local_slice = own
        read.clear()
        return list(islice(data.train_batches(8), 3))

    whole = batches(None)
    assert len(read) == 3 * 8
    for rank in range(2):
        comm = member(rank, 2)
        for mine, full in zip(batches(comm.local_slice), whole, strict=True):
            for name, tensor in comm.local_batch(full).items():
                assert torch.equal(comm.local_batch(mine)[name], tensor)
        assert 3 * 4 <= len(read) < 3 * 8 if augment else len(read) == 3 * 4


def test_communication_errors_are_recognised() -> None:
    lost = RuntimeError("[/x/third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:1")
    assert is_communication_error(lost)
    assert is_communication_error(torch.distributed.DistNetworkError("reset"))
    assert not is_communication_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    own = RuntimeError("a run's own")
    member(0, 2).raise_if_lost(own)
    member(0, 2).raise_if_lost(ValueError("Connection closed by peer"))
