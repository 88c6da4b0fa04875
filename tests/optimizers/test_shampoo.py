"""Shampoo's blocks, and the length of its first steps."""

from __future__ import annotations

import pytest
import torch

from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.shampoo import Shampoo


def built(theta: torch.Tensor, grafting: str = "adam", start: int | None = None, cap: int = 1024) -> Shampoo:
    return Shampoo(
        [theta], lr=0.1, betas=(0.9, 0.999), eps=1e-12, weight_decay=0.0, interval=10, grafting=grafting,
        start_preconditioning_step=start, max_preconditioner_dim=cap,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ((3000, 64), [(1024, 64), (1024, 64), (952, 64)]),
        ((12000, 64), [*[(1024, 64)] * 11, (736, 64)]),
        ((1030, 1025), [(1024, 1024), (1024, 1), (6, 1024), (6, 1)]),
        ((8, 3, 2, 2), [(8, 12)]),
        ((7,), []),
    ],
)
def test_blocks_by_shape(shape: tuple[int, ...], blocks: list[tuple[int, int]]) -> None:
    theta = torch.zeros(shape, requires_grad=True, device="meta")
    optimizer = built(theta)
    state = optimizer.new_state(theta, optimizer.param_groups[0])
    names = [str(number) for number in range(len(blocks))]
    assert [(len(state["left" + n]), len(state["right" + n])) for n in names] == blocks
    squares = sum(rows**2 + columns**2 for rows, columns in blocks)
    assert sum(tensor.numel() for tensor in state.values()) == 2 * theta.numel() + 2 * squares


def test_a_large_embedding_takes_its_steps_in_blocks() -> None:
    theta = torch.randn(1200, 16, requires_grad=True)
    optimizer = built(theta, start=2, cap=256)
    for _ in range(2):
        before = theta.detach().clone()
        theta.grad = torch.randn_like(theta)
        optimizer.step()
        assert theta.isfinite().all()
        assert not torch.equal(theta, before)
    squares = 4 * 256**2 + 176**2 + 5 * 16**2
    assert state_bytes(optimizer) == {"float32": 8 * (theta.numel() + squares)}


@pytest.mark.parametrize("grafting", ["adam", "none"])
def test_the_first_preconditioned_step_is_as_long_as_adams(grafting: str) -> None:
    """The root of a corrected factor undoes the gradient's size; uncorrected, the step was 31.6 times too long."""
    theta = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    theta.grad = torch.eye(4, dtype=torch.float64)
    built(theta, grafting, start=1).step()
    torch.testing.assert_close(theta.detach(), -0.1 * torch.eye(4, dtype=torch.float64), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("grafting", "length"), [("adam", 0.1), ("none", 1e-4)])
def test_steps_before_the_start_are_those_of_adam_or_of_momentum(grafting: str, length: float) -> None:
    theta = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    theta.grad = torch.full_like(theta, 1e-3)
    built(theta, grafting).step()
    torch.testing.assert_close(theta.detach(), torch.full_like(theta, -length), rtol=1e-4, atol=0.0)
