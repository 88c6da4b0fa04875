"""Batch statistics over the samples of all ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import rows_of
from torch import nn

from optbench import config
from optbench.distributed.batch_norm import CpuSyncBatchNorm, sync_batch_norms
from optbench.errors import ConfigError
from optbench.sessions.session import execute

RESNET = ("model=resnet", "model.size=20", "model.width=8", "batch_size=33")
SHORT = ("steps=4", "eval_every=4", "record_every=1", "eval_train_samples=64", "tracker=none", "threads=1")


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_synchronised_statistics_on_two_ranks_equal_one_process(tmp_path: Path, strategy: str) -> None:
    words = [*RESNET, *SHORT, "batch_statistics=synchronised"]
    one = execute(config.load([*words, "devices=1"]), tmp_path / "one")
    two = execute(config.load([*words, "devices=2", f"strategy={strategy}"]), tmp_path / "two")
    assert two.run["batch_statistics"] == "synchronised"
    for a, b in zip(rows_of(one), rows_of(two), strict=True):
        for key in {"train_loss", "val_loss", "test_loss", "grad_norm"} & a.keys():
            assert b[key] == pytest.approx(a[key], rel=1e-4), key


class Alone:
    """An all_reduce with one rank."""

    def __call__(self, tensor: torch.Tensor) -> None:
        return None


@pytest.mark.parametrize("make", [lambda: (nn.BatchNorm1d(3), (7, 3)), lambda: (nn.BatchNorm2d(4), (5, 4, 3, 2))])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_cpu_sync_batch_norm_equals_torchs_on_one_rank(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], momentum: float | None
) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", Alone())  # there is no group to exchange with
    plain, shape = make()
    other, _ = make()
    plain.momentum = other.momentum = momentum
    ours = sync_batch_norms(nn.Sequential(other), torch.device("cpu"))
    assert isinstance(ours[0], CpuSyncBatchNorm)
    torch.manual_seed(0)
    for training in (True, True, False):
        for module in (plain, ours):
            module.train(training)
        x = torch.randn(shape).requires_grad_()
        y = x.detach().clone().requires_grad_()
        weights = torch.randn(shape)
        (plain(x) * weights).sum().backward()
        (ours(y) * weights).sum().backward()
        torch.testing.assert_close(y.grad, x.grad)
        torch.testing.assert_close(ours[0].weight.grad, plain.weight.grad)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(ours[0].named_buffers())[name], buffer)


def test_subclasses_of_batch_norm_are_refused() -> None:
    class Activated(nn.BatchNorm2d):
        pass

    with pytest.raises(ConfigError, match="0 is a Activated, which"):
        sync_batch_norms(nn.Sequential(Activated(2)), torch.device("cpu"))
