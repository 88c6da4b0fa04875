"""Gradient clipping."""

from __future__ import annotations

import torch

from optbench.clipping import GlobalNorm, NoClip, Value


def parameters() -> list[torch.Tensor]:
    made = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    made[0].grad, made[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([-4.0])  # the last has none
    return made


def test_global_norm_scales_everything_together() -> None:
    given = parameters()
    seen = GlobalNorm(max_norm=1.0)(given)
    assert seen.norm.item() == 5.0
    assert seen.clipped.item() is True
    torch.testing.assert_close(given[0].grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(given[1].grad, torch.tensor([-0.8]))


def test_global_norm_leaves_small_gradients() -> None:
    given = parameters()
    seen = GlobalNorm(max_norm=6.0)(given)
    assert seen.clipped.item() is False
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))


def test_value_limits_each_element() -> None:
    given = parameters()
    seen = Value(max_value=3.5)(given)
    assert seen.norm.item() == 5.0
    assert seen.clipped.item() is True
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))
    assert torch.equal(given[1].grad, torch.tensor([-3.5]))


def test_none_measures_nothing() -> None:
    seen = NoClip()(parameters())
    assert seen.norm is None
    assert seen.clipped is None
