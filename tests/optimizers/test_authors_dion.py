"""Dion beside its authors' code: the reference with each of its ways to a QR, and the simple form.

Their factors and hyperparameters are in float32, which is switched to float64 here; their first Q is ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from authors_code import authors_package, distance
from torch import Tensor

from optbench.optimizers.dion import gaussian

pytestmark = pytest.mark.authors
COMMIT = "0a059a4542e5aa74b40dcd1dce363836c7afcd48"
SHAPES = ((7,), (3, 5), (6, 4), (5, 5), (1, 4), (9, 1))


class DoubleTorch(ModuleType):
    """torch with float64 in place of float32, and the first Q of ours."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def randn(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        return gaussian(torch.empty(shape, device=device, dtype=dtype))


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    package = authors_package("microsoft/dion", COMMIT, "dion", tmp_path)
    for module in (package.dion_reference, package.dion_simple):
        monkeypatch.setattr(module, "torch", DoubleTorch("torch"))
        for name in ("dion_update", "adamw_update"):  # without torch.compile
            monkeypatch.setattr(module, name, getattr(module, name)._torchdynamo_orig_callable)
    torch.set_default_dtype(torch.float64)
    yield package
    torch.set_default_dtype(torch.float32)


def groups(parameters: list[Tensor]) -> list[dict[str, Any]]:
    matrices, rest = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    return [{"params": matrices}, {"params": rest, "algorithm": "adamw", "betas": None, "beta2": 0.999}]


@pytest.mark.parametrize("method", ["qr", "cqr", "rcqr"])
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_dion_is_its_authors_reference(theirs: ModuleType, method: str, fraction: float) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.1, "rank_fraction": fraction, "qr_method": method}
    apart = distance(
        ["optimizer=dion", f"optimizer.rank_fraction={fraction}", "optimizer.weight_decay=0.1"],
        lambda parameters: theirs.DionReference(groups(parameters), **settings),
        SHAPES,
        steps=60,
    )
    assert apart < 1e-6


def test_dion_is_its_authors_simple_form_of_tall_matrices(theirs: ModuleType) -> None:
    apart = distance(
        ["optimizer=dion", "optimizer.rank_fraction=0.5", "optimizer.weight_decay=0.1"],
        lambda parameters: theirs.DionSimple(groups(parameters), lr=0.02, weight_decay=0.1, rank=2),
        ((7,), (6, 4), (4, 4)),
    )
    assert apart < 1e-6
