"""The exponential moving average of the weights, around any optimizer."""

from __future__ import annotations

import copy
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK, Twice

from optbench import config
from optbench.checks import behaviour, faithful
from optbench.checks.papers import ema as paper
from optbench.checks.papers import momentum
from optbench.checks.result import PASS
from optbench.checks.subject import make_subject
from optbench.errors import ConfigError
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.ema import EMA
from optbench.sessions.session import execute


def sgd(theta: torch.Tensor, lr: float = 1.0, **more: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([theta], lr=lr, **more)


def descend(optimizer: Any, theta: torch.Tensor, steps: int, slope: float = 1.0) -> None:
    for _ in range(steps):
        theta.grad = torch.full_like(theta, slope)
        optimizer.step()


def eval_values(optimizer: Any, theta: torch.Tensor) -> torch.Tensor:
    optimizer.eval()
    found = theta.detach().clone()
    optimizer.train()
    return found


def test_the_average_of_three_steps_by_hand() -> None:
    # theta: 8, 7, 6, 5; abar_0 = 8, then (8 + 7) / 2, (7.5 + 6) / 2, (6.75 + 5) / 2
    theta = torch.full((3,), 8.0, requires_grad=True)
    optimizer = EMA(sgd(theta), decay=0.5, warmup=False)
    for trained, expected in ((7.0, 7.5), (6.0, 6.75), (5.0, 5.875)):
        descend(optimizer, theta, 1)
        assert eval_values(optimizer, theta).tolist() == [expected] * 3
        assert theta.tolist() == [trained] * 3


def test_the_warm_up_by_hand() -> None:
    # d_1 = 2/11, d_2 = 3/12, d_3 = 4/13, as long as they stay below the decay of 0.3: then 0.3
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = EMA(sgd(theta), decay=0.3, warmup=True)
    mean = Fraction(0)
    for step, decay in enumerate((Fraction(2, 11), Fraction(1, 4), Fraction(3, 10), Fraction(3, 10)), 1):
        descend(optimizer, theta, 1)
        mean = decay * mean + (1 - decay) * -step
        assert eval_values(optimizer, theta).item() == pytest.approx(float(mean), rel=1e-14)


def test_it_equals_the_papers_average_of_the_same_trajectory() -> None:
    random = np.random.default_rng(0)
    gradients = [random.standard_normal((3, 4)) for _ in range(60)]
    theta = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    optimizer = EMA(sgd(theta, lr=0.1, momentum=0.9), decay=0.9, warmup=True)
    start = np.ones((3, 4))
    steps = momentum.paper(start, iter(gradients), lr=repeat(0.1), momentum=0.9, weight_decay=0.0)
    for gradient, expected in zip(gradients, paper.averages(start, steps, decay=0.9, warmup=True), strict=True):
        theta.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(eval_values(optimizer, theta).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("settings", [["optimizer=adamw"], ["optimizer=lion", "cautious=true"], ["optimizer=sam"]])
def test_ema_does_not_change_training(settings: list[str]) -> None:
    subject = make_subject(config.load([*settings, "ema=true"]))
    for check in (faithful.modifiers, behaviour.state_dict, behaviour.low_precision):
        state, detail = check(subject)
        assert state == PASS, detail


def test_the_average_of_constant_weights_is_exact() -> None:
    theta = torch.randn(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = EMA(sgd(theta), decay=0.9999, warmup=True)
    before = theta.detach().clone()
    descend(optimizer, theta, 50, slope=0.0)
    assert torch.equal(eval_values(optimizer, theta), before)


def test_bf16_weights_have_an_fp32_average() -> None:
    """In bf16 a relative step of 1e-3 would round to zero."""
    theta = torch.ones(4, dtype=torch.bfloat16, requires_grad=True)
    optimizer = EMA(sgd(theta), decay=0.999, warmup=False)
    descend(optimizer, theta, 1, slope=-1.0)  # to 2
    descend(optimizer, theta, 999, slope=0.0)
    assert optimizer.average[0].dtype == torch.float32
    torch.testing.assert_close(optimizer.average[0], torch.full((4,), 2 - 0.999**1000), rtol=1e-3, atol=0)
    assert eval_values(optimizer, theta).dtype == torch.bfloat16


def test_the_state_is_one_copy_of_the_weights() -> None:
    theta = torch.zeros(100, requires_grad=True)
    optimizer = EMA(sgd(theta, momentum=0.9), decay=0.9, warmup=True)
    descend(optimizer, theta, 3)
    eval_values(optimizer, theta)
    assert state_bytes(optimizer) == {"float32": 2 * 400}


def test_the_state_dict_holds_average_and_counter() -> None:
    first, second = (torch.zeros(3, requires_grad=True) for _ in range(2))
    optimizer = EMA(sgd(first, momentum=0.9), decay=0.95, warmup=True)
    descend(optimizer, first, 7)
    resumed = EMA(sgd(second, momentum=0.9), decay=0.95, warmup=True)
    with torch.no_grad():
        second.copy_(first)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, theta in ((optimizer, first), (resumed, second)):
        descend(one, theta, 9)
    assert torch.equal(eval_values(optimizer, first), eval_values(resumed, second))
    assert resumed.current_decay() == 17 / 26


def test_a_group_added_later_is_averaged() -> None:
    first, second = torch.zeros(2, requires_grad=True), torch.full((3,), 4.0, requires_grad=True)
    optimizer = EMA(sgd(first), decay=0.5, warmup=False)
    optimizer.add_param_group({"params": [second], "lr": 2.0})
    first.grad, second.grad = torch.ones(2), torch.ones(3)
    optimizer.step()
    optimizer.eval()
    assert (first.tolist(), second.tolist()) == ([-0.5] * 2, [3.0] * 3)


@pytest.mark.parametrize("settings", [["optimizer=schedulefree"], ["lookahead=true"]])
def test_an_optimizer_with_evaluation_weights_is_refused(settings: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ema cannot wrap an optimizer that already has evaluation weights"):
        execute(config.load([*QUICK, *settings, "ema=true"]), tmp_path)


def test_runs_train_the_same_weights_and_evaluate_others(tmp_path: Path) -> None:
    rows = [execute(config.load([*QUICK, "steps=60", *more]), tmp_path).result for more in ([], ["ema.decay=0.95"])]
    assert rows[0]["weights_sha256"] == rows[1]["weights_sha256"]
    assert rows[0]["final"]["val_loss"] != rows[1]["final"]["val_loss"]


def test_batch_statistics_are_reestimated_for_the_average(tmp_path: Path) -> None:
    """With decay 0 the average equals the weights, so only the statistics differ, slightly."""
    small = ["model=resnet", "model.width=8", "data=digits", "tracker=none", "threads=1", "steps=40"]
    plain, averaged = (execute(config.load([*small, *more]), tmp_path).result for more in ([], ["ema.decay=0"]))
    assert plain["weights_sha256"] == averaged["weights_sha256"]
    assert averaged["final"]["val_loss"] != plain["final"]["val_loss"]
    assert averaged["final"]["val_metric"] == pytest.approx(plain["final"]["val_metric"], abs=0.2)


def test_runs_resume_bit_for_bit(twice: Twice) -> None:
    twice(config.load([*QUICK, "optimizer=lion", "ema.decay=0.95", "steps=30"]), 13)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ema=yes", "expected a number, true or false"),
        ("ema=1", r"\[0, 1\)"),
        ("ema.decay=1", r"\[0, 1\)"),
        ("ema.warmup=3", "true or false"),
    ],
)
def test_bad_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load([override])
