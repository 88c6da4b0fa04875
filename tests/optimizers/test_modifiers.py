"""Lookahead and cautious updates around any optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import QUICK, Twice

from optbench import config
from optbench.errors import ConfigError
from optbench.optimizers.cautious import Cautious
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.ema import EMA
from optbench.optimizers.lookahead import Lookahead
from optbench.optimizers.schedulefree import ScheduleFreeAdamW


def sgd(theta: torch.Tensor, lr: float = 1.0, **more: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([theta], lr=lr, **more)


def descend(optimizer: Any, theta: torch.Tensor, steps: int, slope: float = 1.0) -> None:
    for _ in range(steps):
        theta.grad = torch.full_like(theta, slope)
        optimizer.step()


def test_lookahead_steps_back_after_every_kth_step() -> None:
    theta = torch.zeros(3, requires_grad=True)
    optimizer = Lookahead(sgd(theta), k=5, alpha=0.5)
    descend(optimizer, theta, 4)
    assert theta.tolist() == [-4.0] * 3
    descend(optimizer, theta, 1)
    assert theta.tolist() == [-2.5] * 3
    descend(optimizer, theta, 5)
    assert theta.tolist() == [-5.0] * 3


def test_lookahead_evaluates_slow_weights_and_restores_the_fast_ones() -> None:
    theta = torch.zeros(3, requires_grad=True)
    optimizer = Lookahead(sgd(theta), k=5, alpha=0.5)
    descend(optimizer, theta, 7)
    optimizer.eval()
    assert theta.tolist() == [-2.5] * 3
    optimizer.train()
    assert theta.tolist() == [-4.5] * 3


AVERAGING: dict[str, Callable[[torch.Tensor], Any]] = {
    "lookahead": lambda theta: Lookahead(sgd(theta), k=5, alpha=0.5),
    "ema": lambda theta: EMA(sgd(theta), decay=0.9, warmup=False),
    "schedulefree": lambda theta: ScheduleFreeAdamW(
        [theta], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, warmup_steps=0
    ),
}


@pytest.mark.parametrize("name", AVERAGING)
def test_weights_are_exchanged_once_however_often_a_framework_asks(name: str) -> None:
    theta = torch.zeros(3, requires_grad=True)
    optimizer = AVERAGING[name](theta)
    descend(optimizer, theta, 7)
    trained = theta.tolist()
    optimizer.train()  # before every step, in Hugging Face's Trainer
    assert theta.tolist() == trained
    optimizer.eval()
    averaged = theta.tolist()
    assert averaged != trained
    optimizer.eval()  # two evaluations after another
    assert theta.tolist() == averaged
    optimizer.train()
    assert theta.tolist() == pytest.approx(trained, rel=1e-6)


def test_lookaheads_state_dict_holds_slow_weights_and_counter() -> None:
    first, second = (torch.zeros(3, requires_grad=True) for _ in range(2))
    optimizer = Lookahead(sgd(first, momentum=0.9), k=5, alpha=0.5)
    descend(optimizer, first, 7)
    resumed = Lookahead(sgd(second, momentum=0.9), k=5, alpha=0.5)
    with torch.no_grad():
        second.copy_(first)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    descend(optimizer, first, 9)
    descend(resumed, second, 9)
    assert torch.equal(first, second)


def test_lookahead_includes_a_group_added_later() -> None:
    first, second = torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimizer = Lookahead(sgd(first), k=2, alpha=0.5)
    optimizer.add_param_group({"params": [second], "lr": 2.0})
    for _ in range(2):
        first.grad, second.grad = torch.ones(2), torch.ones(3)
        optimizer.step()
    assert first.tolist() == [-1.0] * 2
    assert second.tolist() == [-2.0] * 3


def test_lookahead_refuses_an_optimizer_with_evaluation_weights() -> None:
    theta = torch.zeros(3, requires_grad=True)
    with pytest.raises(ConfigError, match="already has evaluation weights"):
        Lookahead(Lookahead(sgd(theta), k=2, alpha=0.5), k=2, alpha=0.5)


def test_state_bytes_are_counted_through_wrappers() -> None:
    theta = torch.zeros(100, requires_grad=True)
    optimizer = Lookahead(Cautious(sgd(theta, momentum=0.9), floor=1e-3), k=5, alpha=0.5)
    descend(optimizer, theta, 1)
    assert state_bytes(optimizer) == {"float32": 2 * 400}


def test_cautious_keeps_and_rescales_the_part_that_agrees_with_the_gradient() -> None:
    theta = torch.tensor([1.0, 1.0, 1.0, 1.0], requires_grad=True)
    optimizer = Cautious(sgd(theta, lr=1.0, momentum=0.5), floor=1e-3)
    theta.grad = torch.tensor([4.0, 4.0, 4.0, 4.0])
    optimizer.step()  # all agree: u = 4
    assert theta.tolist() == [-3.0] * 4
    theta.grad = torch.tensor([1.0, 1.0, -1.0, -1.0])  # u = 3, 3, 1, 1: half of it disagrees
    optimizer.step()
    assert theta.tolist() == [-9.0, -9.0, -3.0, -3.0]


def test_cautious_does_not_mask_decoupled_decay() -> None:
    theta = torch.tensor([1.0], requires_grad=True)
    inner = torch.optim.AdamW([theta], lr=0.1, weight_decay=0.5)
    optimizer = Cautious(inner, floor=1e-3, decay="decoupled")
    theta.grad = torch.tensor([2.0])
    optimizer.step()
    assert theta.item() == pytest.approx(0.95 - 0.1)
    assert inner.param_groups[0]["weight_decay"] == 0.5


def test_a_closure_is_passed_on_once() -> None:
    theta = torch.tensor([1.0], requires_grad=True)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(1)
        theta.grad = torch.ones(1)
        return torch.tensor(7.0)

    optimizer = Lookahead(Cautious(sgd(theta), floor=1e-3), k=5, alpha=0.5)
    assert optimizer.step(closure).item() == 7.0
    assert len(calls) == 1


@pytest.mark.parametrize("settings", [["lookahead=true"], ["cautious=true"], ["lookahead.k=3", "cautious=true"]])
def test_runs_resume_bit_for_bit(settings: list[str], twice: Twice) -> None:
    twice(config.load([*QUICK, "optimizer=lion", *settings, "steps=30"]), 13)


def test_modifiers_are_part_of_the_run_id_only_when_on() -> None:
    plain = config.load(["optimizer=lion"])
    assert plain.modifiers == ()
    assert "lookahead" not in plain.as_dict()
    assert config.load(["optimizer=lion", "lookahead.alpha=0.8"]).run_id == plain.run_id
    assert config.load(["optimizer=lion", "lookahead=false"]).run_id == plain.run_id
    changed = config.load(["optimizer=lion", "lookahead=true"])
    assert changed.run_id != plain.run_id
    assert changed.run_id == config.load(["optimizer=lion", "lookahead.k=5"]).run_id
    assert [m.name for m in config.load(["lookahead=true", "cautious=true"]).modifiers] == ["cautious", "lookahead"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lookahead=yes", "expected a number, true or false"),
        ("lookahead.k=0", r"\[1, inf\)"),
        ("lookahead.alpha=2", r"\[0, 1\]"),
        ("lookahead.kk=2", "no key"),
        ("cautious.floor=0", r"\(0, 1\]"),
    ],
)
def test_bad_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load([override])
