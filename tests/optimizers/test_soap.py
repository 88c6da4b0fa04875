"""SOAP's forms, the cap of its factors, and the decay rate of its factors."""

from __future__ import annotations

import pytest
import torch

from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.soap import SOAP

SETTINGS = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0, "interval": 2}


@pytest.mark.parametrize(
    ("shape", "form", "sides"),
    [
        ((3000, 64), "per_dimension", [3000, 64]),
        ((12000, 64), "per_dimension", [64]),
        ((12000, 64), "flattened", [64]),
        ((8, 3, 2, 1), "per_dimension", [8, 3, 2]),
        ((8, 3, 2, 1), "flattened", [8, 6]),
        ((7,), "per_dimension", []),
    ],
)
def test_sides_with_a_factor(shape: tuple[int, ...], form: str, sides: list[int]) -> None:
    theta = torch.zeros(shape, requires_grad=True, device="meta")
    optimizer = SOAP([theta], **SETTINGS, form=form)  # type: ignore[arg-type]
    state = optimizer.new_state(theta, optimizer.param_groups[0])
    assert [len(tensor) for name, tensor in state.items() if name.startswith("factor")] == sides
    assert sum(tensor.numel() for tensor in state.values()) == 2 * theta.numel() + 2 * sum(n * n for n in sides)


def test_a_large_embedding_keeps_small_squares() -> None:
    theta = torch.randn(12000, 64, requires_grad=True)
    optimizer = SOAP([theta], **SETTINGS)  # type: ignore[arg-type]
    before = theta.detach().clone()
    for _ in range(4):
        theta.grad = torch.randn_like(theta)
        optimizer.step()
    assert state_bytes(optimizer) == {"float32": 8 * (theta.numel() + 64 * 64)}
    assert theta.isfinite().all()
    assert not torch.equal(theta, before)


def test_sides_above_the_cap_alone_give_adamw_after_the_first_step() -> None:
    torch.manual_seed(0)
    theta = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    row = theta.detach().flatten().requires_grad_()
    pair = [SOAP([t], **SETTINGS, max_precondition_dim=4) for t in (theta, row)]  # type: ignore[arg-type]
    for _ in range(5):
        theta.grad = torch.randn_like(theta)
        row.grad = theta.grad.flatten()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(theta.flatten(), row)


def test_the_factors_decay_as_the_second_moment_unless_told() -> None:
    theta = torch.zeros(2, 2, requires_grad=True)
    betas = [SOAP([theta], **SETTINGS, shampoo_beta=beta).param_groups[0]["shampoo_beta"] for beta in (None, 0.5)]  # type: ignore[arg-type]
    assert betas == [0.99, 0.5]
