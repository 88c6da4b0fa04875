"""Buckets: parameters of equal shape are updated together, and to rounding as each of them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from conftest import QUICK
from every_optimizer import every_optimizer
from torch import Tensor

from optbench import config
from optbench.checks.host_waits import HostWaits
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core import buckets as buckets_module
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import (
    BUCKET_AT_MOST,
    Call,
    buckets,
    rows_like,
    run_buckets,
    stack,
    stacked_matrices,
)
from optbench.optimizers.core.build import build
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import bucketed, elementwise, is_bucketed

SHAPES = [*[(4, 6)] * 3, (6, 4), *[(5, 5)] * 2, *[(4, 3, 2, 2)] * 3, *[(7,)] * 3, ()]
ROLES = ("bias", "bias", "matrix", "matrix", "convolution")


def problem(dtype: torch.dtype) -> Problem:
    torch.manual_seed(4)
    tensors = [torch.randn(shape, dtype=dtype) for shape in SHAPES]
    tensors[-6] = tensors[-6].to(memory_format=torch.channels_last)
    pairs = enumerate(tensors)
    return Problem(tuple(Parameter(str(n), tensor.requires_grad_(), ROLES[tensor.ndim]) for n, tensor in pairs))


def built(name: str, given: Problem, **changed: object) -> RuleOptimizer:
    """Build an optimizer at its settings for a check, with `changed` ones."""
    choice = config.load([*QUICK, f"optimizer={name}", "optimizer.impl=optbench"]).optimizer
    exact = {key: value for key, value in choice.about.get("exact", {}).items() if key in choice.settings}
    known = {key: value for key, value in changed.items() if key in choice.settings}
    settings = {**choice.settings, **exact, **known}
    return build(imports.load(choice.target), settings, choice.implementation, given, [])  # type: ignore[return-value]


def packaged() -> list[str]:
    """Return the packaged optimizers of ours that have a bucketed rule for matrices."""
    names = []
    for choice in (loaded.optimizer for loaded in every_optimizer()):
        if choice.settings["impl"] == "optbench" and not choice.about.get("needs"):
            optimizer = built(choice.name, problem(torch.float32))
            if isinstance(optimizer, RuleOptimizer) and len(optimizer._not_bucketed()) < len(SHAPES):
                names.append(choice.name)
    return names


def trained(name: str, dtype: torch.dtype = torch.float64, steps: int = 4) -> list[Tensor]:
    given = problem(dtype)
    tensors = [parameter.tensor for parameter in given.parameters]
    optimizer = built(name, given, interval=2, weight_decay=0.1)
    for step in range(steps):
        torch.manual_seed(step)
        for tensor in tensors:
            tensor.grad = torch.randn_like(tensor)
        optimizer.step()
    return [tensor.detach() for tensor in tensors]


@pytest.mark.parametrize("name", packaged())
def test_a_bucket_equals_its_parameters_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = trained(name)
    monkeypatch.setitem(BUCKET_AT_MOST, "cpu", 0)
    alone, start = trained(name), trained(name, steps=0)
    for one, other, before in zip(together, alone, start, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        assert not torch.equal(one, before)


@pytest.mark.parametrize("name", packaged())
def test_rules_are_called_once_for_each_shape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[Call]] = []

    def recorded(calls: list[Call]) -> Iterator[list[Call]]:
        for bucket in buckets(calls):
            found.append(bucket)
            yield bucket

    monkeypatch.setattr(buckets_module, "buckets", recorded)
    trained(name, steps=1)
    matrices = [bucket for bucket in found if bucket[0].tensors[0].ndim > 1]
    assert sorted(map(len, matrices)) == [1, 2, 3, 3]
    assert sorted(map(len, found)) in ([1, 2, 3, 3], [1, 1, 2, 3, 3, 3])  # some rules bucket vectors too


def test_muon_is_among_them() -> None:
    assert "muon" in set(packaged())


def noted(*arguments: object) -> None:
    """Stand for a rule."""


def call(shape: tuple[int, ...], rate: float = 0.1, dtype: torch.dtype = torch.float32) -> Call:
    return Call(noted, [torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)], (rate,))


def test_a_bucket_shares_rule_numbers_shape_and_dtype() -> None:
    calls = [call((2, 3)), call((3, 2)), call((2, 3), 0.2), call((2, 3)), call((2, 3), 0.1, torch.float64)]
    assert [len(bucket) for bucket in buckets(calls)] == [2, 1, 1, 1]
    first = next(buckets(calls))
    assert first[0] is calls[0]
    assert first[1] is calls[3]


def test_a_bucket_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUCKET_AT_MOST, "cpu", 13)
    assert [len(bucket) for bucket in buckets([call((2, 3))] * 5)] == [2, 2, 1]
    assert [len(bucket) for bucket in buckets([call((5, 3))] * 2)] == [1, 1]


def test_a_bucketed_rule_gets_each_parameters_own_values() -> None:
    got: list[tuple[object, ...]] = []

    def rule(*arguments: object) -> None:
        got.append(arguments)

    thetas = [torch.zeros(2), torch.zeros(2), torch.zeros(3)]
    run_buckets(Call(rule, [theta, theta], (0.5,), (seed,)) for seed, theta in enumerate(thetas, 7))
    assert [arguments[2:] for arguments in got] == [([7, 8], 0.5), ([9], 0.5)]


@pytest.mark.parametrize("count", [1, 3])
def test_stacks(count: int) -> None:
    tensors = [torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last) for _ in range(count)]
    expected = torch.stack([tensor.contiguous() for tensor in tensors])
    assert torch.equal(stack(tensors), expected)
    matrices = stacked_matrices(tensors, torch.bfloat16)
    assert torch.equal(matrices, expected.flatten(2).bfloat16())
    rows = rows_like(matrices, tensors)
    assert [row.dtype for row in rows] == [torch.float32] * count
    assert all(map(torch.equal, rows, [tensor.bfloat16().float() for tensor in tensors]))


@pytest.mark.parametrize("number", [0.3, 1.0])
def test_numbers_may_be_tensors(number: float) -> None:
    a, b = ([torch.randn(3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)] for _ in range(2))
    wanted = {
        "lerp": [x + number * (y - x) for x, y in zip(a, b, strict=True)],
        "sub": [x - number * y for x, y in zip(a, b, strict=True)],
        "mul": [x * number for x in a],
    }
    for given in (number, torch.tensor(number, dtype=torch.float64)):
        changed = {name: [x.clone() for x in a] for name in wanted}
        with HostWaits() as waits:
            foreach.lerp_(changed["lerp"], b, given)
            foreach.sub_(changed["sub"], b, given)
            foreach.mul_(changed["mul"], given)
            interpolated = foreach.lerp(a, b, given)
        assert waits.calls == []
        for found, expected in [(interpolated, wanted["lerp"]), *((changed[name], wanted[name]) for name in wanted)]:
            for x, y in zip(found, expected, strict=True):
                torch.testing.assert_close(x, y, rtol=1e-14, atol=1e-14)


def counting(seen: list[int]) -> Callable[..., None]:
    @elementwise
    def rule(theta: Tensor, g: Tensor, rate: float) -> None:
        seen.append(theta.numel())
        theta.sub_(g * rate)

    return rule


@bucketed
def descend(thetas: list[Tensor], gradients: list[Tensor], rate: float) -> None:
    foreach.sub_(thetas, gradients, rate)


def test_elementwise_rules_beside_a_bucket_are_called_as_seldom_as_they_can() -> None:
    seen: list[int] = []
    rest = counting(seen)

    class Mixed(RuleOptimizer):
        def rule_of(self, theta: Tensor, group: object, t: int) -> Callable[..., None]:
            return descend if theta.ndim == 2 else rest

        def hyperparameters(self, group: object, t: int) -> tuple[float]:
            return (0.5,)

    tensors = [torch.ones(shape, requires_grad=True) for shape in ((2, 3), (2, 3), (4,), (), (2, 2, 2))]
    for tensor in tensors:
        tensor.grad = torch.ones_like(tensor)
    optimizer = Mixed(tensors, {}, "eager")
    optimizer.step()
    assert seen == [13]
    assert all(torch.equal(tensor, torch.full_like(tensor, 0.5)) for tensor in tensors)
    assert is_bucketed(descend)
    assert not is_bucketed(rest)
    seen.clear()
    alone = [torch.ones(n, requires_grad=True) for n in (4, 9)]
    for tensor in alone:
        tensor.grad = torch.ones_like(tensor)
    Mixed(alone, {}, "eager").step()
    assert seen == [4, 9]  # without matrices, an eager rule runs as it stands


def test_only_what_is_not_bucketed_decides_whether_to_compile() -> None:
    class Large(RuleOptimizer):
        rule = staticmethod(descend)

    assert Large([torch.zeros(2000, 1000)], {}, "auto").engine == "eager"
