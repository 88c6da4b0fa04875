"""ZClip and AdaGC against their equations in plain numbers."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch

from optbench.clipping import AdaGC, ZClip
from optbench.contracts import Parameter, Problem

SETTINGS = {"alpha": 0.97, "z_threshold": 2.5, "warmup_steps": 25, "eps": 1e-6}


def single(size: int = 4) -> tuple[torch.Tensor, Problem]:
    tensor = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    return tensor, Problem((Parameter("w", tensor, "matrix"),))


def zclip_norms(norms: list[float], alpha: float, threshold: float, warmup: int, eps: float) -> list[float]:
    """Return the norms after clipping."""
    mean = variance = 0.0
    found = []
    for step, norm in enumerate(norms):
        if step >= warmup:
            z = (norm - mean) / (math.sqrt(variance) + eps)
            norm = mean + threshold**2 / z * math.sqrt(variance) if z > threshold else norm
            mean = alpha * mean + (1 - alpha) * norm
            variance = alpha * variance + (1 - alpha) * (norm - mean) ** 2
        elif step == warmup - 1:
            mean, variance = statistics.fmean(norms[:warmup]), statistics.pvariance(norms[:warmup])
        found.append(norm)
    return found


def test_zclip_follows_its_equations() -> None:
    chance = random.Random(0)
    norms = [chance.uniform(0.8, 1.2) * (30 if step in (40, 41, 90) else 1) for step in range(150)]
    expected = zclip_norms(norms, 0.97, 2.5, 25, 1e-6)
    tensor, problem = single()
    clip = ZClip(problem, **SETTINGS)
    clipped = []
    for norm, wanted in zip(norms, expected, strict=True):
        tensor.grad = torch.full((4,), norm / 2, dtype=torch.float64)
        seen = clip([tensor])
        assert tensor.grad.norm().item() == pytest.approx(wanted, rel=1e-9)
        clipped.append(bool(seen.clipped))
    assert clipped == [a != b for a, b in zip(norms, expected, strict=True)]
    assert {40, 41, 90} <= {step for step, was in enumerate(clipped) if was}
    assert max(expected) < 2


def test_zclip_does_not_clip_its_warm_up() -> None:
    tensor, problem = single(1)
    clip = ZClip(problem, **SETTINGS)
    for step in range(25):
        tensor.grad = torch.full((1,), 100.0 if step == 24 else 1.0, dtype=torch.float64)
        assert clip([tensor]).clipped.item() is False
    assert clip.mean.item() == pytest.approx((24 + 100) / 25)
    assert clip.count.item() == 25


def pair() -> tuple[list[torch.Tensor], Problem]:
    tensors = [torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    return tensors, Problem(tuple(Parameter(str(i), tensor, "matrix") for i, tensor in enumerate(tensors)))


def give(tensors: list[torch.Tensor], norms: tuple[float, ...]) -> None:
    for tensor, norm in zip(tensors, norms, strict=True):
        tensor.grad = torch.tensor([norm, 0.0], dtype=torch.float64)


def test_adagc_follows_its_equations() -> None:
    chance = random.Random(1)
    tensors, problem = pair()
    clip = AdaGC(problem, max_norm=1.0, ratio=1.05, beta=0.98, warmup_steps=5)
    gammas: list[float] = [math.inf, math.inf]
    clipped = 0
    for step in range(60):
        norms = tuple(size * chance.uniform(0.5, 1.5) * (20 if step % 17 == 9 else 1) for size in (0.9, 0.01))
        joint = math.hypot(*norms)
        scales = [min(1.0, 1.0 / joint if step < 5 else 1.05 * g / n) for g, n in zip(gammas, norms, strict=True)]
        after = [scale * norm for scale, norm in zip(scales, norms, strict=True)]
        for i in range(2):
            gammas[i] = min(gammas[i], after[i]) if step < 5 else 0.98 * gammas[i] + 0.02 * after[i]
        give(tensors, norms)
        seen = clip(tensors[::-1] if step % 2 else tensors)  # state belongs to the tensor, not to its position
        clipped += bool(seen.clipped)
        assert [tensor.grad[0].item() for tensor in tensors] == pytest.approx(after, rel=1e-5)
        assert seen.norm.item() == pytest.approx(joint)
        assert seen.scale.item() == pytest.approx(math.hypot(*after) / joint, rel=1e-5)
    assert 0 < clipped < 60
    assert clip.gamma.tolist() == pytest.approx(gammas, rel=1e-5)


def test_adagc_survives_zeros_in_the_warm_up() -> None:
    tensors, problem = pair()
    clip = AdaGC(problem, max_norm=1.0, ratio=1.05, beta=0.98, warmup_steps=3)
    for norms in ((0.0, 0.3), (0.2, 0.3), (0.2, 0.3), (0.2, 0.3)):
        give(tensors, norms)
        assert clip(tensors).scale.item() == 1.0
    assert tensors[0].grad[0].item() == 0.2


def test_adagc_starts_gamma_of_a_tensor_first_seen_after_the_warm_up() -> None:
    tensors, problem = pair()
    clip = AdaGC(problem, max_norm=1.0, ratio=1.05, beta=0.98, warmup_steps=2)
    for _ in range(3):
        give(tensors, (0.5, 0.5))
        tensors[1].grad = None
        clip(tensors)
    give(tensors, (0.5, 0.25))
    assert clip(tensors).clipped.item() is False
    assert clip.gamma.tolist() == [0.5, 0.25]
    give(tensors, (0.5, 0.5))
    clip(tensors)
    assert tensors[1].grad[0].item() == pytest.approx(1.05 * 0.25)
