"""PSGD Kron: whitening, and gradients that stay zero."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from optbench.optimizers.psgd_kron import PSGDKron


def whitened_covariance(shape: tuple[int, ...], roots: list[Tensor], seed: int) -> Tensor:
    """Return the covariance of vec(P) on gradients root_1 N root_2 (root_1 N for vectors), N Gaussian."""
    torch.manual_seed(seed)
    theta = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimizer = PSGDKron([theta], lr=1.0, momentum=0.0, weight_decay=0.0, precond_lr=0.1)
    products, last = [], theta.detach().clone()
    for step in range(1500):
        gradient = roots[0] @ torch.randn(shape, dtype=torch.float64)
        theta.grad = gradient @ roots[1] if len(roots) > 1 else gradient
        optimizer.step()
        if step >= 500:
            products.append((last - theta.detach()).flatten())
        last = theta.detach().clone()
    return torch.stack(products).T.cov()


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_psgd_whitens_gradients(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    roots = []
    for side in shape:
        basis = torch.linalg.qr(torch.randn(side, side, generator=random, dtype=torch.float64))[0]
        spectrum = torch.logspace(0.5, -1.5, side, dtype=torch.float64)
        roots.append(basis @ spectrum.diag() @ basis.T if len(shape) > 1 else spectrum.diag())
    values = torch.linalg.eigvalsh(whitened_covariance(shape, roots, 1))
    assert values[0] > 0.3
    assert values[-1] < 2


def test_psgd_survives_gradients_that_stay_zero() -> None:
    thetas = [torch.ones(3, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
    optimizer = PSGDKron(thetas, lr=0.1, momentum=0.9, weight_decay=0.0, precond_lr=0.5)
    for _ in range(200):
        for theta in thetas:
            theta.grad = torch.zeros_like(theta)
        optimizer.step()
    assert all((theta == 1).all() for theta in thetas)
    for theta in thetas:
        theta.grad = torch.ones_like(theta)
    optimizer.step()
    assert all(theta.isfinite().all() for theta in thetas)
    assert (thetas[0] < 1).all()
    assert not (thetas[1] == 1).any()


def test_psgd_resumes_bit_for_bit_between_two_updates() -> None:
    """Its schedule and its balancing are those of the steps so far, not of those since the resume."""

    def new() -> PSGDKron:
        thetas = [torch.ones(3, requires_grad=True), torch.ones(4, 3, requires_grad=True)]
        settings: dict[str, Any] = {"update_flat": 5, "update_decay": 0.1, "update_min": 0.2, "balance": 0.5}
        return PSGDKron(thetas, lr=0.1, momentum=0.9, weight_decay=0.0, precond_lr=0.5, **settings)

    def advance(optimizer: PSGDKron, steps: range) -> list[bool]:
        decisions = []
        for step in steps:
            torch.manual_seed(step)
            for theta in optimizer.param_groups[0]["params"]:
                theta.grad = torch.randn_like(theta)
            optimizer.step()
            decisions += [optimizer.updating, optimizer.balancing]
        return decisions

    straight, resumed = new(), new()
    advance(straight, range(28))
    with torch.no_grad():
        for mine, other in zip(*(o.param_groups[0]["params"] for o in (resumed, straight)), strict=True):
            mine.copy_(other)
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    decided = advance(straight, range(28, 60))
    assert decided == advance(resumed, range(28, 60))
    assert len(set(decided[::2])) == len(set(decided[1::2])) == 2
    pairs = zip(*(o.param_groups[0]["params"] for o in (resumed, straight)), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)


@pytest.mark.parametrize(
    ("shape", "mode", "factors"),
    [
        ((3000, 64), None, [(3000, 3000), (64, 64)]),
        ((12000, 64), None, [(12000,), (64, 64)]),
        ((6, 4), "one_diag", [(6,), (4, 4)]),
        ((4, 4), "one_diag", [(4, 4), (4,)]),
        ((4, 4), "smart_one_diag", [(4, 4), (4, 4)]),
        ((6, 4), "smart_one_diag", [(6,), (4, 4)]),
        ((6, 4), "all_diag", [(6,), (4,)]),
        ((8, 3, 2, 2), None, [(48, 48), (2, 2)]),
        ((7,), None, [(7,)]),
        ((), None, [(1,)]),
    ],
)
def test_factors_by_shape(shape: tuple[int, ...], mode: str | None, factors: list[tuple[int, ...]]) -> None:
    theta = torch.zeros(shape, requires_grad=True, device="meta")
    optimizer = PSGDKron([theta], lr=0.1, momentum=0.9, weight_decay=0.0, precond_lr=0.1, memory_save_mode=mode)
    state = optimizer.new_state(theta, optimizer.param_groups[0])
    assert [tuple(q.shape) for name, q in state.items() if name != "m"] == factors
