"""Every optimizer on small problems with known solutions, and the problem that separates Adam from AMSGrad."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError
from optbench.optimizers.core.build import build

CONF = config.packaged_folder()
NAMES = config.options([CONF], "optimizer")
KEEP_NORMS = {"hyperball"}
"""Optimizers whose matrices stay on a sphere, where the least loss is not zero."""


def choice_of(name: str, **values: Any) -> config.Choice:
    texts = [f"optimizer.{key}={value}" for key, value in values.items()]
    return config.load([f"optimizer={name}", *texts]).optimizer


class Oracle:
    """Exact curvature of a loss given as a function."""

    def __init__(self, loss: Callable[[Tensor], Tensor]) -> None:
        self.loss = loss

    def sampled_gradients(self, thetas: Any) -> tuple[list[Tensor], int]:
        (theta,) = thetas
        return [torch.autograd.grad(self.loss(theta), theta)[0]], 1

    def hessian_products(self, thetas: Any, vectors: Any) -> list[Tensor]:
        (theta,), (vector,) = thetas, vectors
        (first,) = torch.autograd.grad(self.loss(theta), theta, create_graph=True)
        return [torch.autograd.grad((first * vector).sum(), theta)[0]]


def losses(choice: config.Choice, start: Tensor, loss: Callable[[Tensor], Tensor], steps: int) -> Iterator[float]:
    """Yield the loss before every step."""
    torch.manual_seed(0)
    theta = start.clone().requires_grad_()
    problem = Problem((Parameter("theta", theta, "matrix" if theta.ndim > 1 else "bias"),), {}, Oracle(loss))
    needs = list(choice.about["needs"])
    optimizer = build(imports.load(choice.target), choice.settings, choice.implementation, problem, needs)

    def closure() -> Tensor:
        theta.grad = None
        value = loss(theta)
        value.backward()
        return value.detach()

    for _ in range(steps):
        yield closure().item()
        optimizer.step(*([closure] if "closure" in needs else []))


def lr_grid(name: str) -> Iterator[config.Choice]:
    """Yield the optimizer at four learning rates of its search space, without decay; the likeliest first."""
    plain = choice_of(name)
    no_decay = {"weight_decay": 0.0} if "weight_decay" in plain.settings else {}
    low, high = lr_range(plain)
    for power in (2, 1, 3, 0):
        yield choice_of(name, lr=f"{low * (high / low) ** (power / 3):.3e}", **no_decay)


def lr_range(choice: config.Choice) -> tuple[float, float]:
    text = choice.about["search"].get("lr", "log [0.1, 10.0]")
    low, high = (float(end) for end in text.removeprefix("log ").strip("[]").split(","))
    return low, high


def quadratic(theta: Tensor) -> Tensor:
    scales = torch.linspace(0.1, 1.0, theta.numel(), dtype=theta.dtype).view_as(theta)
    return 0.5 * (scales * theta.square()).sum()


def rosenbrock(theta: Tensor) -> Tensor:
    x, y = theta[0, 0], theta[0, 1]
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


@pytest.mark.parametrize("name", NAMES)
def test_some_lr_of_the_search_space_solves_a_quadratic(name: str) -> None:
    if "modules" in choice_of(name).about["needs"]:
        pytest.skip("it trains layers, and this problem has none")
    start = torch.ones(4, 6, dtype=torch.float64)
    first = quadratic(start).item()
    least = 0.5 * 0.1 * start.square().sum().item() if name in KEEP_NORMS else 0.0
    ends = (list(losses(choice, start, quadratic, 400))[-1] for choice in lr_grid(name))
    assert any(end - least < 0.05 * (first - least) for end in ends)


FLATTER = {"schedulefree_sgd": 0.01}
"""Factors of Rosenbrock's function, whose curvature reaches 1,000, for steps in proportion to the gradient."""


@pytest.mark.parametrize("name", NAMES)
def test_some_lr_of_the_search_space_descends_rosenbrock(name: str) -> None:
    if "modules" in choice_of(name).about["needs"]:
        pytest.skip("it trains layers, and this problem has none")
    start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    first = rosenbrock(start).item()
    factor = FLATTER.get(name, 1.0)
    tries = (min(losses(choice, start, lambda x: factor * rosenbrock(x), 200)) for choice in lr_grid(name))
    assert any(least < 0.25 * factor * first for least in tries)


def reddi(name: str, steps: int, **values: Any) -> float:
    """Return the last x in the online counterexample of Reddi et al. 2018.

    The loss is 1010 x in every 101st step and -10 x in the others, x in [-1, 1], so -1 is best; lr 0.5 / sqrt(t),
    beta2 0.99."""
    choice = choice_of(name, betas="[0.9,0.99]", **values)
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = build(
        imports.load(choice.target), choice.settings, choice.implementation, Problem((Parameter("x", x, "bias"),)), []
    )
    rare, usual = torch.tensor(1010.0, dtype=torch.float64), torch.tensor(-10.0, dtype=torch.float64)
    for t in range(1, steps + 1):
        x.grad = (rare if t % 101 == 1 else usual).clone()
        for group in optimizer.param_groups:
            group["lr"] = 0.5 / math.sqrt(t)
        optimizer.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    return x.item()


def test_reddis_counterexample_separates_adam_from_amsgrad() -> None:
    assert reddi("adam", 10_000) > 0.8
    for variant in ("paper", "torch", "optax"):
        assert reddi("amsgrad", 10_000, variant=variant) < -0.6


def bounded() -> Iterator[tuple[str, str, str]]:
    """Yield every bounded hyperparameter with a value just outside its range, and the range."""
    for name in NAMES:
        choice = choice_of(name)
        for key, spec in choice.about["valid"].items():
            interval = spec.removeprefix("null | ").removeprefix("int ")
            if interval[0] not in "[(" or key == "impl":
                continue
            low, high = interval.strip("[]()").split(",")
            lists = isinstance(choice.settings[key], list)
            for end, closed, away in ((low, interval[0] == "[", -1.0), (high, interval[-1] == "]", 1.0)):
                if "inf" not in end:
                    value = float(end) + (away if closed else 0.0)
                    shown = f"{value:g}"
                    yield (
                        name,
                        f"{key}=[{','.join([shown] * len(choice.settings[key]))}]" if lists else f"{key}={shown}",
                        interval,
                    )


@pytest.mark.parametrize(("name", "override", "interval"), list(bounded()))
def test_bad_hyperparameters_are_refused_with_the_range(name: str, override: str, interval: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load([f"optimizer={name}", f"optimizer.{override}"])
    assert interval in str(refused.value)


@pytest.mark.parametrize("name", [n for n in NAMES if "eps" in choice_of(n).settings])
def test_eps_of_zero_is_refused_where_it_divides(name: str) -> None:
    if choice_of(name).about["valid"]["eps"].startswith("["):
        pytest.skip("its eps may be zero")
    with pytest.raises(ConfigError, match=r"\(0, inf\)"):
        config.load([f"optimizer={name}", "optimizer.eps=0"])


SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
OURS = [n for n in NAMES if not choice_of(n).about["needs"]]


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(shape=SHAPES, dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]), data=st.data())
def test_any_shape_dtype_and_valid_hyperparameter_keeps_shape_dtype_and_finiteness(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, data: st.DataObject
) -> None:
    plain = choice_of(name)
    values: dict[str, Any] = {"lr": f"{data.draw(st.floats(*lr_range(plain))):.6g}"}
    if "weight_decay" in plain.settings:
        values["weight_decay"] = f"{data.draw(st.floats(0, 1)):.6g}"
    choice = choice_of(name, **values)
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    theta = torch.randn(shape, generator=random).to(dtype).requires_grad_()
    role = ("bias", "bias", "matrix", "matrix", "convolution")[len(shape)]
    problem = Problem((Parameter("theta", theta, role),))
    optimizer = build(imports.load(choice.target), choice.settings, choice.implementation, problem, [])
    for _ in range(3):
        theta.grad = torch.randn(shape, generator=random).to(dtype)
        optimizer.step()
    assert theta.shape == shape
    assert theta.dtype == dtype
    assert theta.isfinite().all()
