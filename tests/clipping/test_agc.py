"""Adaptive gradient clipping by units, against timm's."""

from __future__ import annotations

import pytest
import torch
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from optbench import config
from optbench.clipping import AGC
from optbench.errors import ConfigError
from optbench.models.roles import mark, problem_of


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, groups=1)
        self.grouped = nn.Conv1d(8, 8, 3, groups=4)
        self.norm = nn.GroupNorm(2, 8)
        self.embedding = nn.Embedding(11, 6)
        self.linear = nn.Linear(8, 6)
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.head = nn.Linear(6, 4)
        mark(self.head, "head")
        nn.init.zeros_(self.linear.weight[2])  # a unit below eps


def filled(dtype: torch.dtype, size: float) -> Net:
    torch.manual_seed(3)
    net = Net().to(dtype)
    net.convolution.to(memory_format=torch.channels_last)
    for parameter in net.parameters():
        parameter.grad = size * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize("size", [1e-5, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_equals_timm_without_the_head(dtype: torch.dtype, size: float) -> None:
    ours, theirs = filled(dtype, size), filled(dtype, size)
    seen = AGC(problem_of(ours), ratio=0.01, eps=1e-3, exclude=["head"])(list(ours.parameters()))
    adaptive_clip_grad([p for name, p in theirs.named_parameters() if not name.startswith("head")], 0.01, eps=1e-3)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    raw = filled(dtype, size)
    before, after = (torch.nn.utils.get_total_norm([p.grad for p in net.parameters()]) for net in (raw, ours))
    torch.testing.assert_close(seen.norm, before)
    torch.testing.assert_close(seen.scale, after / before)
    assert seen.clipped.item() is True  # at every size: the row of zeros


@pytest.mark.parametrize(
    ("exclude", "spared"),
    [
        ([], set()),
        (["head"], {"head.weight", "head.bias"}),
        (["convolution"], {"convolution.weight", "convolution.bias", "grouped.weight", "grouped.bias"}),
        (["norm", "embedding"], {"norm.weight", "norm.bias", "embedding.weight"}),
    ],
)
def test_excluded_roles_are_untouched(exclude: list[str], spared: set[str]) -> None:
    net, raw = filled(torch.float32, 1.0), filled(torch.float32, 1.0)
    AGC(problem_of(net), ratio=0.01, eps=1e-3, exclude=exclude)(list(net.parameters()))
    same = {name for name, p in net.named_parameters() if torch.equal(p.grad, raw.get_parameter(name).grad)}
    assert same == spared


def test_all_parameters_excluded() -> None:
    net = filled(torch.float32, 1.0)
    seen = AGC(problem_of(net), ratio=0.01, eps=1e-3, exclude=["head"])(list(net.head.parameters()))
    assert (seen.clipped.item(), seen.scale.item()) == (False, 1.0)


def test_a_nan_unit_does_not_affect_others() -> None:
    net, raw = filled(torch.float32, 1.0), filled(torch.float32, 1.0)
    clean = filled(torch.float32, 1.0)
    net.linear.weight.grad[1, 0] = raw.linear.weight.grad[1, 0] = torch.nan
    for other in (net, clean):
        AGC(problem_of(other), ratio=0.01, eps=1e-3, exclude=[])(list(other.parameters()))
    rows = [0, 2, 3, 4, 5]
    assert torch.equal(net.linear.weight.grad[rows], clean.linear.weight.grad[rows])
    torch.testing.assert_close(net.linear.weight.grad[1], raw.linear.weight.grad[1], equal_nan=True)


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="exclude"):
        config.load(["clip=agc", "clip.exclude=[haed]"])
