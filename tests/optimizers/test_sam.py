"""SAM: two evaluations per step, and the weights restored between them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from optbench.optimizers.sam import SAM

SAM_SETTINGS = {"lr": 0.1, "rho": 0.5, "momentum": 0.9, "nesterov": False, "weight_decay": 0.01}


def sam_and_closure(**settings: Any) -> tuple[SAM, list[Tensor], list[list[Tensor]], Any]:
    """Build SAM on two tensors, for the loss 1.5 |theta|^2; return the points of the closure's calls too."""
    torch.manual_seed(0)
    thetas = [torch.randn(4, requires_grad=True), torch.randn(2, 3, requires_grad=True)]
    seen: list[list[Tensor]] = []

    def closure() -> Tensor:
        seen.append([theta.detach().clone() for theta in thetas])
        loss = sum(1.5 * theta.square().sum() for theta in thetas)
        for theta in thetas:
            theta.grad = 3 * theta.detach()
        return loss

    groups = [{"params": thetas[:1]}, {"params": thetas[1:], "weight_decay": 0.0}]
    return SAM(groups, **{**SAM_SETTINGS, **settings}), thetas, seen, closure


def test_sam_evaluates_at_distance_rho_and_steps_by_the_second_gradient() -> None:
    optimizer, thetas, seen, closure = sam_and_closure()
    loss = optimizer.step(closure)
    assert len(seen) == 2
    away = torch.cat([(there - here).flatten() for here, there in zip(*seen, strict=True)])
    torch.testing.assert_close(away.norm(), torch.tensor(0.5))  # one norm over both groups
    assert loss == sum(1.5 * theta.square().sum() for theta in seen[0])
    for theta, here, there, decay in zip(thetas, *seen, (0.01, 0.0), strict=True):
        torch.testing.assert_close(theta.detach(), here - 0.1 * (3 * there + decay * here))


def test_sam_restores_the_weights_bit_for_bit_even_after_an_error() -> None:
    optimizer, thetas, seen, closure = sam_and_closure(lr=0.0)
    optimizer.step(closure)
    assert all(map(torch.equal, thetas, seen[0]))
    assert not any(map(torch.equal, seen[0], seen[1]))

    def failing() -> Tensor:
        if len(seen) == 3:
            raise RuntimeError("e.g. out of memory")
        return closure()

    with pytest.raises(RuntimeError):
        optimizer.step(failing)
    assert all(map(torch.equal, thetas, seen[0]))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sam_with_rho_zero_equals_torchs_sgd(nesterov: bool) -> None:
    optimizer, thetas, _, closure = sam_and_closure(rho=0.0, nesterov=nesterov)
    copies = [theta.detach().clone().requires_grad_() for theta in thetas]
    groups = [{"params": copies[:1], "weight_decay": 0.01}, {"params": copies[1:]}]
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=nesterov)
    for _ in range(5):
        optimizer.step(closure)
        for theta in copies:
            theta.grad = 3 * theta.detach()
        sgd.step()
    for theta, other in zip(thetas, copies, strict=True):
        torch.testing.assert_close(theta, other)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_non_finite_gradient_makes_the_weights_of_sam_non_finite(bad: float) -> None:
    optimizer, thetas, seen, closure = sam_and_closure()

    def poisoned() -> Tensor:
        loss = closure()
        if len(seen) == 1:
            thetas[0].grad[1] = bad
        return loss

    optimizer.step(poisoned)
    assert not all(theta.isfinite().all() for theta in thetas)
