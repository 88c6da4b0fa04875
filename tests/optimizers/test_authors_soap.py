"""SOAP beside its authors' code. The reference decomposes in float32, which is switched to float64 here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from authors_code import authors, distance

pytestmark = pytest.mark.authors
SHAPES = ((7,), (4, 5), (5, 4), (5, 5), (4, 2, 2), (3, 4, 2, 2), (4, 1, 3, 2))  # null spaces have one dimension at most


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("cap", [10000, 4])
@pytest.mark.parametrize("interval", [1, 10])
def test_soap_is_its_authors(interval: int, cap: int) -> None:
    reference = authors("nikhilvyas/SOAP", "a1e553530fde97d0e6b307d7c82ac6d38b072340", "soap.py")
    settings = [f"interval={interval}", f"max_precondition_dim={cap}", "betas=[0.9,0.99]", "weight_decay=0.1"]
    apart = distance(
        ["optimizer=soap", "optimizer.no_decay=[]", *(f"optimizer.{setting}" for setting in settings)],
        lambda parameters: reference.SOAP(
            parameters,
            lr=3e-3,
            betas=(0.9, 0.99),
            weight_decay=0.1,
            precondition_frequency=interval,
            max_precond_dim=cap,
        ),
        SHAPES,
        steps=200,
    )
    assert apart < 1e-6
