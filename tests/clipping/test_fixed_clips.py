"""Clips with a fixed limit, on gradients that are easy to check by hand."""

from __future__ import annotations

import pytest
import torch

from optbench.clipping import GlobalNorm, NoClip, PerLayerNorm, Value
from optbench.contracts import Parameter, Problem


def parameters() -> list[torch.Tensor]:
    made = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    made[0].grad, made[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([-4.0])  # the last has none
    return made


def problem(tensors: list[torch.Tensor]) -> Problem:
    return Problem(tuple(Parameter(str(i), tensor, "matrix") for i, tensor in enumerate(tensors)))


def test_global_norm_scales_everything_together() -> None:
    given = parameters()
    seen = GlobalNorm(problem(given), max_norm=1.0)(given)
    assert (seen.norm.item(), seen.clipped.item()) == (5.0, True)
    assert seen.scale.item() == pytest.approx(0.2)
    torch.testing.assert_close(given[0].grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(given[1].grad, torch.tensor([-0.8]))


def test_global_norm_equals_torchs() -> None:
    given, twin = parameters(), parameters()
    GlobalNorm(problem(given), max_norm=0.3)(given)
    torch.nn.utils.clip_grad_norm_(twin, 0.3)
    assert all(a.grad is b.grad is None or torch.equal(a.grad, b.grad) for a, b in zip(given, twin, strict=True))


def test_global_norm_leaves_small_gradients() -> None:
    given = parameters()
    seen = GlobalNorm(problem(given), max_norm=6.0)(given)
    assert (seen.clipped.item(), seen.scale.item()) == (False, 1.0)
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))


def test_per_layer_norm_scales_each_tensor_by_itself() -> None:
    given = parameters()
    seen = PerLayerNorm(problem(given), max_norm=3.5)(given)
    assert (seen.norm.item(), seen.clipped.item()) == (5.0, True)
    assert seen.scale.item() == pytest.approx((3.0**2 + 3.5**2) ** 0.5 / 5)
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))
    assert torch.equal(given[1].grad, torch.tensor([-3.5]))


def test_value_limits_each_element() -> None:
    given = parameters()
    seen = Value(problem(given), max_value=3.5)(given)
    assert (seen.norm.item(), seen.clipped.item()) == (5.0, True)
    assert seen.scale.item() == pytest.approx((3.0**2 + 3.5**2) ** 0.5 / 5)
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))
    assert torch.equal(given[1].grad, torch.tensor([-3.5]))


def test_value_sees_a_clipped_element_too_small_for_the_norm() -> None:
    given = parameters()
    given[0].grad, given[1].grad = torch.full((2,), 1.0), torch.tensor([1.0 + 1e-6])
    assert Value(problem(given), max_value=1.0)(given).clipped.item() is True


def test_tensors_of_several_dtypes() -> None:
    given = [torch.zeros(3, dtype=dtype, requires_grad=True) for dtype in (torch.float32, torch.bfloat16)]
    for kind, limit in ((GlobalNorm, "max_norm"), (PerLayerNorm, "max_norm"), (Value, "max_value")):
        for tensor in given:
            tensor.grad = torch.full_like(tensor, 2.0)
        seen = kind(problem(given), **{limit: 1.0})(given)
        assert seen.norm.item() == pytest.approx(24**0.5)
        assert seen.clipped.item() is True
        assert [tensor.grad.dtype for tensor in given] == [torch.float32, torch.bfloat16]


def test_none_measures_nothing() -> None:
    given = parameters()
    seen = NoClip(problem(given))(given)
    assert (seen.norm, seen.clipped, seen.scale) == (None, None, None)
    assert torch.equal(given[0].grad, torch.tensor([3.0, 0.0]))
