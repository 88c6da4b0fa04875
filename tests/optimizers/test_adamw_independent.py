"""AdamW whose decay follows only the schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench import config
from optbench.optimizers.adam import AdamW
from optbench.optimizers.adamw_independent import AdamWIndependent
from optbench.sessions.assemble import assemble

NUMBERS: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-8, "engine": "eager"}
SCHEDULE = (0.5, 1.0, 0.25, 0.0)


def trained(lr: float, optimizer: type[AdamW], weight_decay: float, zero: bool = False) -> torch.Tensor:
    """Return the weights after a few steps of a schedule, with zero gradients if `zero`."""
    torch.manual_seed(0)
    theta = torch.randn(5, dtype=torch.float64, requires_grad=True)
    made = optimizer([theta], lr=lr, weight_decay=weight_decay, **NUMBERS)
    for share in SCHEDULE:
        theta.grad = torch.zeros_like(theta) if zero else torch.randn(5, dtype=torch.float64)
        made.param_groups[0]["lr"] = lr * share
        made.step()
    return theta.detach()


@pytest.mark.parametrize("lr", [1e-4, 0.1])
def test_with_zero_gradients_the_weights_decay_by_the_schedule_at_any_lr(lr: float) -> None:
    torch.manual_seed(0)
    start = torch.randn(5, dtype=torch.float64)
    left = 1.0
    for share in SCHEDULE:
        left *= 1 - 0.1 * share
    torch.testing.assert_close(trained(lr, AdamWIndependent, 0.1, zero=True), start * left)


@pytest.mark.parametrize("lr", [1e-3, 0.1])
def test_it_equals_the_library_form_with_decay_divided_by_the_peak_lr(lr: float) -> None:
    torch.testing.assert_close(trained(lr, AdamWIndependent, 0.1), trained(lr, AdamW, 0.1 / lr))


def test_a_checkpoint_in_the_middle_of_a_schedule_keeps_the_peak_lr() -> None:
    theta = torch.ones(3, requires_grad=True)
    made = AdamWIndependent([theta], lr=0.1, weight_decay=0.5, **NUMBERS)
    made.param_groups[0]["lr"] = 0.05
    saved = made.state_dict()
    other = AdamWIndependent([theta], lr=0.2, weight_decay=0.5, **NUMBERS)
    other.load_state_dict(saved)
    assert other.param_groups[0]["peak_lr"] == 0.1 and other.param_groups[0]["lr"] == 0.05
    theta.grad = torch.zeros(3)
    other.step()
    torch.testing.assert_close(theta.detach(), torch.full((3,), 0.75))


def test_an_lr_of_zero_moves_nothing() -> None:
    theta = torch.ones(3, requires_grad=True)
    made = AdamWIndependent([theta], lr=0.0, weight_decay=0.5, **NUMBERS)
    theta.grad = torch.ones(3)
    made.step()
    assert torch.equal(theta.detach(), torch.ones(3))


def test_scaling_the_lr_with_the_batch_size_does_not_change_the_decay() -> None:
    words = ["optimizer=adamw_independent", "model=mlp", "batch_size=256", "scale_lr=linear", "scale_from=64"]
    (player,) = assemble(config.load([*words, "device=cpu"])).trainer.players.values()
    assert [group["peak_lr"] for group in player.optimizer.param_groups] == pytest.approx([4e-3, 4e-3])
