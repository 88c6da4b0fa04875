"""NorMuon and cautious Muon beside their authors' code, whose iterations in bfloat16 run in float64 here."""

from __future__ import annotations

import pytest
import torch
from authors_code import authors, distance

pytestmark = pytest.mark.authors
SHAPES = ((3, 5), (6, 4), (5, 5))


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.double)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_normuon_is_its_authors(decay: float) -> None:
    theirs = authors("zichongli5/NorMuon", "d45c9a4280d758e2cf0b2b8333765d040e953937", "normuon.py")
    apart = distance(
        ["optimizer=normuon", f"optimizer.weight_decay={decay}"],
        lambda parameters: theirs.SingleDeviceNorMuon(parameters, weight_decay=decay),
        shapes=SHAPES,
    )
    assert apart < 1e-6


def test_cautious_momentum_is_its_authors() -> None:
    theirs = authors("kyleliang919/C-Optim", "2c0517c4db2e50b56d389ba4803eab1f4b3b8ae3", "c_muon.py")
    apart = distance(
        ["optimizer=muon", "optimizer.cautious_momentum=true"],
        lambda parameters: theirs.SingleDeviceMuon(parameters),
        shapes=SHAPES,
    )
    assert apart < 1e-6
