"""Tests of every file in conf/clip: a new clip is tested automatically."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from optbench import config
from optbench.config import imports
from optbench.models.roles import mark, problem_of

NAMES = config.options([config.packaged_folder()], "clip")


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 2))
    module.register_parameter("gain", nn.Parameter(torch.tensor(1.5)))
    mark(module[3], "head")
    return module.to(dtype)


def clip_of(name: str, module: nn.Module, *settings: str) -> Any:
    choice = config.load([f"clip={name}", *settings]).clip
    return imports.load(choice.target)(problem_of(module), **choice.settings)


def fill(module: nn.Module, seed: int, size: float = 1.0) -> list[Tensor]:
    """Set the gradients of a step; return copies."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = size * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    return [parameter.grad.clone() for parameter in module.parameters()]


def joint(gradients: list[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten().double() for gradient in gradients]).norm()


class NothingRead(TorchDispatchMode):
    """Fails if Python reads a tensor's value, which would wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
            raise AssertionError(f"{func} reads a value")
        return func(*args, **(kwargs or {}))


def test_the_guard_detects_reads() -> None:
    for read in (Tensor.item, bool, float):
        with pytest.raises(AssertionError, match="reads a value"), NothingRead():
            read(torch.ones(()))


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_reports_device_tensors_without_reading_values(name: str) -> None:
    module = network()
    clip = clip_of(name, module)
    for step in range(3):
        fill(module, step)
        with NothingRead():
            seen = clip(list(module.parameters()))
        assert all(value is None or (isinstance(value, Tensor) and value.shape == ()) for value in vars(seen).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=["fp32", "fp64", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_clip_reports_norm_scale_and_clipped(name: str, dtype: torch.dtype) -> None:
    module = network(dtype)
    clip = clip_of(name, module, *(["clip.warmup_steps=2"] if name in ("adaptive", "adagc") else []))
    fractions = []
    for step in range(6):
        before = fill(module, step, size=40.0 if step == 4 else 0.01)
        seen = clip(list(module.parameters()))
        after = [parameter.grad for parameter in module.parameters()]
        changed = any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        fractions.append(changed)
        assert all(gradient.dtype == dtype for gradient in after)
        if seen.norm is None:
            assert not changed
            continue
        close = {"rtol": 1e-2 if dtype == torch.bfloat16 else 1e-5, "atol": 0.0, "check_dtype": False}
        torch.testing.assert_close(seen.norm, joint(before), **close)
        torch.testing.assert_close(seen.scale, joint(after) / joint(before), **close)
        assert bool(seen.clipped) == changed
    assert fractions[4] == (name != "none")


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_zero_gradients(name: str) -> None:
    module = network()
    clip = clip_of(name, module)
    assert clip(list(module.parameters())).norm is None  # none at all
    for step in range(3):
        fill(module, step, size=1e-3)
        module[2].weight.grad, module[0].weight.grad = None, torch.zeros_like(module[0].weight)
        before = joint([p.grad.clone() for p in module.parameters() if p.grad is not None])
        seen = clip(list(module.parameters()))
        assert module[2].weight.grad is None
        assert module[0].weight.grad.count_nonzero() == 0
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        assert seen.norm is None or seen.norm.item() == pytest.approx(before.item())
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    seen = clip(list(module.parameters()))
    assert all(parameter.grad.count_nonzero() == 0 for parameter in module.parameters())
    assert seen.norm is None or (seen.norm.item(), seen.clipped.item(), seen.scale.item()) == (0.0, False, 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_a_non_finite_gradient_stays_visible_and_changes_no_statistic(name: str, bad: float) -> None:
    module = network()
    clip, untroubled = clip_of(name, module), clip_of(name, module)
    for step in range(3):
        fill(module, step)
        clip(list(module.parameters()))
        fill(module, step)
        untroubled(list(module.parameters()))
    fill(module, 3)
    module[0].weight.grad[0, 0, 0, 0] = bad
    before = {key: value.clone() for key, value in clip.state_dict().items()}
    seen = clip(list(module.parameters()))
    if name != "value":  # it sets an infinite element to max_value
        assert not module[0].weight.grad[0, 0, 0, 0].isfinite()
    assert seen.norm is None or not seen.norm.isfinite()
    assert all(torch.equal(before[key], value) for key, value in clip.state_dict().items())
    after = fill(module, 4)
    clip(list(module.parameters()))
    troubled = [parameter.grad.clone() for parameter in module.parameters()]
    for parameter, gradient in zip(module.parameters(), after, strict=True):
        parameter.grad = gradient
    untroubled(list(module.parameters()))
    assert all(torch.equal(a, p.grad) for a, p in zip(troubled, module.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_continues_bit_for_bit(name: str) -> None:
    module = network()
    overrides = ["clip.warmup_steps=4"] if name in ("adaptive", "adagc") else []
    one, other = clip_of(name, module, *overrides), clip_of(name, module, *overrides)
    for step in range(12):
        if step in (2, 7):  # within the warm-up and after it
            other = clip_of(name, module, *overrides)
            other.load_state_dict(copy.deepcopy(one.state_dict()))
        kept = []
        for clip in (one, other):
            fill(module, step, size=9.0 if step % 5 == 4 else 1.0)
            seen = clip(list(module.parameters()), advance=step != 8)
            kept.append([parameter.grad.clone() for parameter in module.parameters()] + [seen.norm, seen.scale])
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(*kept, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_later_evaluation_of_a_step_changes_no_statistic(name: str) -> None:
    module = network()
    clip = clip_of(name, module)
    fill(module, 0)
    clip(list(module.parameters()))
    before = copy.deepcopy(clip.state_dict())
    fill(module, 1)
    clip(list(module.parameters()), advance=False)
    assert all(torch.equal(before[key], value) for key, value in clip.state_dict().items())
