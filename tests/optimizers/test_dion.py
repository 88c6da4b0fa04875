"""Dion: its rank and state, the directions that it converges to, and matrices whose gradients begin at zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from optbench import config
from optbench.checks.faithful import faithful
from optbench.checks.subject import make_subject
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.dion import Dion

SETTINGS: dict[str, Any] = {
    "lr": 0.1,
    "momentum": 0.95,
    "rank_fraction": 0.5,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "matrices": ["matrix", "convolution"],
    "no_decay": [],
    "adam_lr": 0.01,
    "adam_betas": (0.9, 0.99),
    "adam_eps": 1e-8,
}


def optimizer_of(*thetas: Tensor, **changed: Any) -> Dion:
    roles = {1: "bias", 2: "matrix", 4: "convolution"}
    problem = Problem(tuple(Parameter(f"theta{n}", theta, roles[theta.ndim]) for n, theta in enumerate(thetas)))
    return Dion(problem, **{**SETTINGS, **changed})


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("fraction", [0.25, 1.0])
def test_other_ranks_are_the_papers(fraction: float) -> None:
    found = faithful(make_subject(config.load(["optimizer=dion", f"optimizer.rank_fraction={fraction}"])))
    assert found.state == "pass", found.detail


@pytest.mark.parametrize(
    ("shape", "fraction", "q"),
    [
        ((6, 4), 0.5, (4, 2)),
        ((4, 6), 0.5, (4, 2)),
        ((5, 5), 0.25, (5, 2)),
        ((6, 4), 0.01, (4, 1)),
        ((8, 3, 2, 2), 1.0, (8, 8)),
        ((1, 9), 0.5, (1, 1)),
    ],
)
def test_the_rank_is_a_share_of_the_smaller_side(shape: tuple[int, ...], fraction: float, q: tuple[int, int]) -> None:
    theta, bias = torch.ones(shape, requires_grad=True), torch.ones(3, requires_grad=True)
    optimizer = optimizer_of(theta, bias, rank_fraction=fraction)
    for tensor in (theta, bias):
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    assert optimizer.state[theta]["q"].shape == q
    assert state_bytes(optimizer) == {"float32": 4 * (theta.numel() + q[0] * q[1] + 2 * 3)}


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_a_constant_gradient_of_its_rank_is_orthonormalised(shape: tuple[int, int]) -> None:
    """The power iterations of the steps converge to its singular vectors."""
    torch.manual_seed(1)
    u, _, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    theta = zeros(*shape)
    optimizer = optimizer_of(theta)
    for _ in range(60):
        before = theta.detach().clone()
        theta.grad = u[:, :2] @ torch.tensor([3.0, 1.0], dtype=torch.float64).diag() @ v[:2]
        optimizer.step()
    expected = -0.1 * (shape[0] / shape[1]) ** 0.5 * u[:, :2] @ v[:2]
    torch.testing.assert_close(theta.detach() - before, expected, rtol=0, atol=1e-8)


def test_what_an_update_misses_comes_later() -> None:
    """At rank 1, error feedback brings the second direction of a constant gradient in its turn."""
    theta = zeros(2, 2)
    optimizer = optimizer_of(theta, momentum=0.0)
    for _ in range(300):
        theta.grad = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        optimizer.step()
    moved = -theta.detach()
    assert moved[0, 0] > moved[1, 1] > 5
    assert moved.diag().sum() > 0.1 * 300 * 0.9


def test_a_matrix_whose_gradients_begin_at_zero_rests_and_then_moves_as_from_the_start() -> None:
    ends = []
    for rests in (0, 3):
        torch.manual_seed(0)
        theta = zeros(4, 3)
        optimizer = optimizer_of(theta)
        for _ in range(rests):
            theta.grad = torch.zeros_like(theta)
            optimizer.step()
            assert not theta.any()
        theta.grad = torch.ones_like(theta).cumsum(0)
        optimizer.step()
        ends.append(theta.detach().clone())
    assert torch.equal(*ends)
    assert ends[0].any()


def test_the_first_q_follows_from_the_runs_seed() -> None:
    def first_q(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        thetas = [zeros(4, 3), zeros(4, 3)]
        torch.randn(seed + 5)  # what else was drawn does not matter
        optimizer = optimizer_of(*thetas)
        return [optimizer.new_state(theta, optimizer.param_groups[0])["q"] for theta in thetas]

    assert torch.equal(*first_q(0))
    assert torch.equal(first_q(1)[0], first_q(1)[1])
    assert not torch.equal(first_q(0)[0], first_q(1)[0])
