"""Parameter groups, state bytes and evaluation weights of any optimizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from optbench.contracts import Problem
from optbench.errors import ConfigError
from optbench.models.roles import problem_of
from optbench.optimizers.core.build import build, check_required
from optbench.optimizers.core.eval_weights import eval_weights, evaluation_mode
from optbench.optimizers.core.groups import parameter_groups
from optbench.optimizers.core.state_bytes import state_bytes


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_groups_follow_roles_and_cover_everything_once() -> None:
    problem = problem_of(network())
    decayed, spared = parameter_groups(problem, ["bias", "norm"])
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert spared["weight_decay"] == 0.0
    assert len(decayed["params"]) + len(spared["params"]) == len(problem.parameters)
    (single,) = parameter_groups(problem, None)
    assert len(single["params"]) == len(problem.parameters)
    with pytest.raises(ConfigError, match=r"Did you mean bias\?"):
        parameter_groups(problem, ["biass"])


SETTINGS = {"impl": "x", "lr": 0.1, "weight_decay": 0.5, "no_decay": ["bias", "norm"]}


def test_hyperparameters_reach_the_constructor_with_what_is_fixed() -> None:
    optimizer = build(
        torch.optim.SGD, SETTINGS, {"fixed": {"nesterov": True, "momentum": 0.9}}, problem_of(network()), []
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert all(group["nesterov"] for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("target", "settings", "needs", "expected"),
    [
        (torch.optim.SGD, {**SETTINGS, "wings": 2}, [], "refuses its arguments"),
        (torch.optim.SGD, SETTINGS, ["telepathy"], "'telepathy'"),
        (lambda params, lr, weight_decay: object(), SETTINGS, [], "no method 'step'"),
    ],
)
def test_an_optimizer_that_cannot_be_built_is_refused(
    target: Any, settings: dict[str, Any], needs: list[str], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        build(target, settings, {}, problem_of(network()), needs)


def test_a_factory_may_take_the_problem() -> None:
    def factory(problem: Problem, lr: float, weight_decay: float, no_decay: list[str]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [p.tensor], "lr": lr * (p.role != "norm")} for p in problem.parameters])

    optimizer = build(factory, {**SETTINGS, "no_decay": []}, {"takes": "problem"}, problem_of(network()), [])
    assert {group["lr"] for group in optimizer.param_groups} == {0.0, SETTINGS["lr"]}


class OuterOptimizer:
    """An optimizer with its state in an inner one, like lookahead wrappers."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self.base = base
        self.param_groups = base.param_groups
        self.slow = [p.detach().clone() for p in base.param_groups[0]["params"]]


def test_state_bytes_are_counted_through_wrappers_by_dtype() -> None:
    weight = torch.zeros(10, requires_grad=True)
    base = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.ones(10)
    base.step()
    assert state_bytes(base) == {"float32": 2 * 40 + 4}
    assert state_bytes(OuterOptimizer(base)) == {"float32": 3 * 40 + 4}
    half = torch.zeros(10, requires_grad=True, dtype=torch.bfloat16)
    lean = torch.optim.SGD([half], lr=0.1, momentum=0.9)
    half.grad = torch.ones_like(half)
    lean.step()
    assert state_bytes(lean) == {"bfloat16": 20}


class Averaging(torch.optim.SGD):
    """Scales its weights for evaluation and restores them inexactly, as schedule-free optimizers do."""

    def eval(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(1 / 3)

    def train(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(3)


def test_evaluation_weights_are_used_and_training_weights_are_restored_bit_for_bit() -> None:
    model = network()
    optimizer = Averaging(model.parameters(), lr=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    refreshed = []
    with eval_weights(optimizer, model, refreshed.append):
        torch.testing.assert_close(model[3].weight, before["3.weight"] / 3)
        model[1].running_mean.fill_(7)
    assert refreshed == [model]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_evaluation_mode_restores_the_mode_of_every_module() -> None:
    model = network()
    model[1].eval()
    with evaluation_mode([model]):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model] == [True, False, True, True]


def test_all_settings_that_an_implementation_lacks_are_named_at_once() -> None:
    implementation = {"requires": {"damping": 0.0, "merge_dims": False, "eps": 1e-8}}
    with pytest.raises(
        ConfigError, match=r"impl=peer supports only damping=0.0 \(not 0.1\), merge_dims=false"
    ) as caught:
        check_required({"impl": "peer", "damping": 0.1, "merge_dims": True, "eps": 1e-8}, implementation)
    assert caught.value.hint.startswith("Set optimizer.damping=0.0 optimizer.merge_dims=false, or")
