"""Hyperball: matrices keep their norms, and each role has its rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build

ROLES = {"matrix": (5, 8), "convolution": (4, 3, 2, 2), "head": (3, 5), "embedding": (6, 5), "norm": (5,), "bias": (3,)}


def make(base: str) -> tuple[dict[str, torch.Tensor], Any]:
    torch.manual_seed(0)
    tensors = {role: torch.randn(shape).requires_grad_() for role, shape in ROLES.items()}
    overrides = [f"optimizer.base={base}", "optimizer.matrices=[matrix,convolution,head]"]
    choice = config.load(["optimizer=hyperball", *overrides]).optimizer
    problem = Problem(tuple(Parameter(role, tensor, role) for role, tensor in tensors.items()))
    return tensors, build(imports.load(choice.target), choice.settings, choice.implementation, problem, [])


@pytest.mark.parametrize("base", ["adam", "muon"])
def test_matrices_keep_their_norms_and_turn_by_the_learning_rate(base: str) -> None:
    tensors, optimizer = make(base)
    starts = {role: tensor.detach().clone() for role, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.grad = torch.randn_like(tensor)
    optimizer.step()
    for role, start in starts.items():
        now = tensors[role].detach()
        assert not torch.equal(now, start)
        if role in ("matrix", "convolution", "head"):
            assert abs(now.norm() / start.norm() - 1) < 1e-6
            assert (now - start).norm() / start.norm() < 0.0205  # lr before the norm is restored


@pytest.mark.parametrize(("base", "rules"), [("adam", ["m", "m", "m"]), ("muon", ["b", "b", "m"])])
def test_the_head_takes_adams_step_with_either_base(base: str, rules: list[str]) -> None:
    tensors, optimizer = make(base)
    for tensor in tensors.values():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    assert [list(optimizer.state[tensors[role]])[1] for role in ("matrix", "convolution", "head")] == rules


def test_a_zero_matrix_stays_zero() -> None:
    tensors, optimizer = make("muon")
    with torch.no_grad():
        tensors["matrix"].zero_()
    tensors["matrix"].grad = torch.ones_like(tensors["matrix"])
    optimizer.step()
    assert not tensors["matrix"].any()
