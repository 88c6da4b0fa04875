"""PSGD Kron beside its authors' code. The reference solves in float32, which is switched to float64 here."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
import torch
from authors_code import authors, distance
from torch import Tensor

from optbench.optimizers.psgd_kron import PSGDKron

pytestmark = pytest.mark.authors
COMMIT = "884427c32bc45e8293e20c26c85e4ccc4f68c9d1"
SHAPES = ((7,), (3, 5), (6, 4), (5, 5), (1, 6), (4, 3, 2), (4, 3, 2, 2), (20, 3, 1, 2))
QUICK = ["update_flat=20", "update_decay=0.02", "balance=0.01"]


class SameProbes:
    """Records the probes of ours, and gives them to the reference; it stands for `torch` in the reference's module."""

    def __init__(self) -> None:
        self.drawn: deque[Tensor] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def record(self, theta: Tensor) -> Tensor:
        self.drawn.append(torch.randn_like(theta))
        return self.drawn[-1]

    def randn_like(self, gradient: Tensor) -> Tensor:
        return self.drawn.popleft().reshape(gradient.shape)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([], {}),
        (["memory_save_mode=smart_one_diag"], {"memory_save_mode": "smart_one_diag"}),
        (["memory_save_mode=one_diag"], {"memory_save_mode": "one_diag"}),
        (["memory_save_mode=all_diag", "merge_dims=false"], {"memory_save_mode": "all_diag", "merge_dims": False}),
        (["merge_dims=false", "precond_init_scale=3.0"], {"merge_dims": False, "precond_init_scale": 3.0}),
        (["max_size_triangular=4", "min_ndim_triangular=1"], {"max_size_triangular": 4, "min_ndim_triangular": 1}),
        (["momentum_into_precond=false"], {"momentum_into_precond_update": False}),
    ],
    ids=lambda value: "+".join(value) or "defaults" if isinstance(value, list) else "",
)
def test_psgd_kron_is_its_authors(ours: list[str], theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    reference = authors("evanatyourservice/kron_torch", COMMIT, "kron_torch/kron.py")
    probes = SameProbes()
    monkeypatch.setattr(reference, "torch", probes)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    recording = property(lambda self: probes.record, lambda self, value: None)
    monkeypatch.setattr(PSGDKron, "probe", recording, raising=False)

    def build(parameters: list[Tensor]) -> Any:
        schedule = reference.precond_update_prob_schedule(flat_start=20, decay=0.02)
        return reference.Kron(
            parameters, lr=3e-3, preconditioner_update_probability=schedule, precond_dtype=torch.float64, **theirs
        )

    settings = [f"optimizer.{setting}" for setting in (*QUICK, "weight_decay=0", *ours)]
    assert distance(["optimizer=psgd_kron", *settings], build, SHAPES, steps=200) < 1e-6
    assert not probes.drawn
