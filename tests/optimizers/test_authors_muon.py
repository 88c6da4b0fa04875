"""Muon beside its authors' code. The reference rounds its iteration to bfloat16, which is switched to float64 here."""

from __future__ import annotations

import pytest
import torch
from authors_code import authors, distance

pytestmark = pytest.mark.authors


def test_muon_is_its_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = authors("KellerJordan/Muon", "857d1adc159e098212f828d927460782d3da59e9", "muon.py")
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.double)
    apart = distance(
        ["optimizer=muon"],
        lambda parameters: theirs.SingleDeviceMuon(parameters, lr=0.02, weight_decay=0.0, momentum=0.95),
        shapes=((3, 5), (6, 4), (5, 5)),
    )
    assert apart < 1e-6
