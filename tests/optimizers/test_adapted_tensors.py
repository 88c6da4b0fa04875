"""LAMB and LARS with and without trust ratios for parameters that do not decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build

STEPS = 8
PLAIN: dict[str, Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]] = {
    "lamb": lambda params: torch.optim.AdamW(params, lr=0.01, eps=1e-6, weight_decay=0.0),
    "lars": lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9),
}


def moved(name: str, *overrides: str) -> dict[str, torch.Tensor]:
    """Return a matrix and a norm's scale after some steps."""
    choice = config.load([f"optimizer={name}", "optimizer.lr=0.01", *overrides]).optimizer
    tensors = {role: torch.ones(shape).requires_grad_() for role, shape in (("matrix", (3, 4)), ("norm", (4,)))}
    problem = Problem(tuple(Parameter(role, tensor, role) for role, tensor in tensors.items()))
    stepped(tensors, build(imports.load(choice.target), choice.settings, choice.implementation, problem, []))
    return tensors


def stepped(tensors: dict[str, torch.Tensor], optimizer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        for tensor in tensors.values():
            tensor.grad = torch.randn(tensor.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_parameters_without_decay_have_no_ratio(name: str, engine: str) -> None:
    every = moved(name, "optimizer.adapt=null")
    some = moved(name, "optimizer.adapt=decayed", f"optimizer.engine={engine}")
    plain = {role: torch.ones_like(tensor).requires_grad_() for role, tensor in every.items()}
    stepped(plain, PLAIN[name](plain.values()))
    torch.testing.assert_close(some["norm"], plain["norm"])
    torch.testing.assert_close(some["matrix"], every["matrix"])
    assert not torch.allclose(some["norm"], every["norm"], atol=1e-3)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_weight_decay_of_zero_takes_no_ratio_from_decayed_roles(name: str) -> None:
    every, some = (
        moved(name, f"optimizer.adapt={adapt}", "optimizer.weight_decay=0", "optimizer.no_decay=[]")
        for adapt in ("null", "decayed")
    )
    for role, tensor in every.items():
        torch.testing.assert_close(some[role], tensor, rtol=0, atol=0)
