"""APOLLO: its memory, its projections over a resume, the limit on the growth of its steps, and its settings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from optbench import config
from optbench.checks.faithful import faithful
from optbench.checks.subject import make_subject
from optbench.contracts import Parameter, Problem
from optbench.optimizers.apollo import APOLLO, next_seed, projections, seed_of
from optbench.optimizers.core.state_bytes import state_bytes

SETTINGS: dict[str, Any] = {
    "lr": 0.1,
    "betas": (0.9, 0.99),
    "eps": 1e-6,
    "weight_decay": 0.0,
    "rank": None,
    "rank_fraction": 0.25,
    "projection_interval": 4,
    "scale_type": "channel",
    "scale": 1.0,
    "norm_growth": 1.01,
    "matrices": ["matrix", "convolution"],
    "no_decay": [],
}
MINI = {"rank": 1, "scale_type": "tensor", "scale": 128.0}


def optimizer_of(thetas: Sequence[Tensor], **changed: Any) -> APOLLO:
    roles = {1: "bias", 2: "matrix", 4: "convolution"}
    problem = Problem(tuple(Parameter(f"theta{n}", theta, roles[theta.ndim]) for n, theta in enumerate(thetas)))
    return APOLLO(problem, **{**SETTINGS, **changed})


def train(optimizer: APOLLO, thetas: Sequence[Tensor], steps: range) -> None:
    for step in steps:
        random = torch.Generator().manual_seed(step)
        for theta in thetas:
            theta.grad = torch.randn(theta.shape, generator=random)
        optimizer.step()


@pytest.mark.parametrize("settings", [
    ("rank=2", "scale=3.0"),
    ("rank=1", "scale_type=tensor", "scale=128.0", "norm_growth=null"),
    ("rank_fraction=1.0", "norm_growth=1.001"),
])  # fmt: skip
def test_settings_are_the_papers(settings: tuple[str, ...]) -> None:
    found = faithful(make_subject(config.load(["optimizer=apollo", *(f"optimizer.{one}" for one in settings)])))
    assert found.state == "pass", found.detail


@pytest.mark.parametrize(
    ("shape", "settings", "floats"),
    [
        ((16, 8), {}, 2 * 2 * 16),
        ((8, 16), {}, 2 * 2 * 16),
        ((8, 16), MINI, 2 * 1 * 16),
        ((8, 16), {"rank": 256}, 2 * 8 * 16),
        ((8, 3, 2, 2), {}, 2 * 2 * 12),
        ((5, 1), {}, 2 * 1 * 5),
    ],
)
def test_memory_is_that_of_the_theory(shape: tuple[int, ...], settings: dict[str, Any], floats: int) -> None:
    thetas = [torch.ones(shape, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = optimizer_of(thetas, **settings)
    train(optimizer, thetas, range(6))
    assert state_bytes(optimizer) == {"float32": 4 * (floats + 1 + 2 * 3)}


def test_a_resumed_run_draws_the_projections_that_it_would_have() -> None:
    thetas = [torch.ones(6, 4, requires_grad=True), torch.ones(6, 4, requires_grad=True)]
    straight = optimizer_of(thetas)
    train(straight, thetas, range(6))  # the second projection is in use
    buffer = io.BytesIO()
    torch.save([straight.state_dict(), [theta.detach() for theta in thetas]], buffer)
    buffer.seek(0)
    state, values = torch.load(buffer, weights_only=True)
    copies = [value.clone().requires_grad_() for value in values]
    resumed = optimizer_of(copies)
    resumed.load_state_dict(state)
    train(straight, thetas, range(6, 15))
    train(resumed, copies, range(6, 15))
    assert all(map(torch.equal, thetas, copies))
    other = [value.clone().requires_grad_() for value in values]
    changed = optimizer_of(other, projection_interval=100)
    changed.load_state_dict({**state, "param_groups": changed.state_dict()["param_groups"]})
    train(changed, other, range(6, 15))
    assert not torch.equal(thetas[0], other[0])


def test_every_matrix_has_its_own_projections() -> None:
    random = torch.Generator().manual_seed(0)
    thetas = [torch.zeros(8, 8, requires_grad=True) for _ in range(2)] + [torch.zeros(3, requires_grad=True)]
    optimizer = optimizer_of(thetas)
    gradient = torch.randn(8, 8, generator=random)
    for theta in thetas:
        theta.grad = gradient.clone() if theta.ndim > 1 else torch.ones(3)
    optimizer.step()
    moments = [optimizer.state[theta]["m"] for theta in thetas[:2]]
    assert not torch.equal(*moments)
    for number, m in enumerate(moments, 1):
        expected = 0.1 * gradient @ projections([number], 8, 2, True, gradient)[0]
        torch.testing.assert_close(m, expected, rtol=1e-5, atol=1e-7)
    group = optimizer.param_groups[0]
    seeds = [optimizer.own_values(theta, group, t) for theta in thetas[:2] for t in (1, 4, 5, 9)]
    assert seeds == [(n,) for s in (1, 2) for n in (s, s, next_seed(s), next_seed(next_seed(s)))]


def test_thousands_of_renewals_are_no_recursion() -> None:
    assert seed_of(1, 3000) == next_seed(seed_of(1, 2999))


@pytest.mark.parametrize("tall", [True, False])
def test_projections_keep_lengths_on_average(tall: bool) -> None:
    g = torch.randn(1, 20, dtype=torch.float64)
    lengths = (g @ projections(range(1, 2001), 20, 5, tall, g)).square().sum(-1)
    assert abs(lengths.mean() / g.square().sum() - 1) < 0.05
    assert 0.5 < lengths.var() / (g.square().sum() ** 2 * 2 / 5) < 2  # of a chi-square with five degrees of freedom


@pytest.mark.parametrize("growth", [1.01, 1.2, None])
def test_the_norm_of_a_step_grows_by_no_more_than_its_limit(growth: float | None) -> None:
    """Adam's steps on a constant gradient grow by a factor of 1.38 from the first to the second, at these betas."""
    theta = torch.zeros(6, 4, requires_grad=True)
    optimizer = optimizer_of([theta], norm_growth=growth, betas=(0.9, 0.9))
    norms = []
    for t in (1, 2, 3):
        before = theta.detach().clone()
        theta.grad = torch.ones(6, 4)
        optimizer.step()
        norms.append(float((theta.detach() - before).norm()) * (1 - 0.9**t) ** 0.5)
    assert norms[1] / norms[0] == pytest.approx(growth or 1.9**0.5, rel=1e-4)


def test_a_zero_gradient_does_not_stop_a_matrix() -> None:
    ends = []
    for rests in (0, 1):
        theta = torch.zeros(6, 4, requires_grad=True)
        optimizer = optimizer_of([theta], betas=(0.0, 0.0))
        for gradient in [0.0] * rests + [1.0]:
            theta.grad = torch.full((6, 4), gradient)
            optimizer.step()
        ends.append(theta.detach().norm())
    assert ends[0] > 0.1
    assert ends[1] / ends[0] == pytest.approx(1)
