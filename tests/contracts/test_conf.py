"""Contracts of every file under conf/: a new optimizer, model, schedule or clip gets these tests by existing."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config, locate
from optbench.models.roles import problem_of
from optbench.optimizers.build import build
from optbench.validity import conform, flatten

CONF = config.packaged_folder()


def names(group: str) -> list[str]:
    return config.options([CONF], group)


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in config.GROUPS for n in names(g)])
def test_a_file_states_its_facts_and_comments_every_key(group: str, name: str) -> None:
    file = CONF / group / f"{name}.yaml"
    tree = config.read_yaml(file)
    about = tree.pop("about")
    lines = file.read_text().splitlines()
    assert lines[0].startswith("# "), "the first line says what it is"
    for key in flatten(tree):
        (line, *_) = [line for line in lines if line.strip().startswith(key.split(".")[-1] + ":")]
        if "target" not in key:
            assert "#" in line, f"{key} has no comment"
    for key, spec in about.get("valid", {}).items():
        conform(flatten(tree)[key], spec, flatten(tree)[key])  # raises where the default itself is not valid
    assert config.load([f"{group}={name}"]).group(group).name == name


@pytest.mark.parametrize("name", names("workload"))
def test_a_workload_names_a_model_and_data(name: str) -> None:
    model, _, data = name.partition("-")
    assert model in names("model")
    assert data in names("data")
    file = CONF / "workload" / f"{name}.yaml"
    assert file.read_text().startswith("# @package _global_\n")
    assert config.read_yaml(file).items() <= config.load([f"model={model}", f"data={data}"]).__dict__.items()


@pytest.mark.parametrize("name", names("optimizer"))
def test_an_optimizer_has_paper_box_state_and_every_hyperparameter(name: str) -> None:
    choice = config.load([f"optimizer={name}"]).optimizer
    assert {"algorithm", "paper", "implementations", "state", "needs", "search", "valid"} <= set(choice.about)
    for implementation in choice.about["implementations"].values():
        target = locate.load(implementation["target"])
        accepted = set(inspect.signature(target).parameters) - {"self", "params"}
        given = set(choice.settings) - {"impl", "no_decay"} | set(implementation.get("fixed", {}))
        assert given == accepted, "every argument is pinned, none inherited from the library"
    for key in choice.about["search"]:
        assert key in choice.settings


@pytest.mark.parametrize("name", names("optimizer"))
class TestOptimizer:
    """What every optimizer does on a small problem."""

    def made(self, name: str) -> tuple[torch.nn.Module, Any]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 1))
        choice = config.load([f"optimizer={name}"]).optimizer
        optimizer = build(locate.load(choice.target), choice.settings, choice.implementation, problem_of(model), [])
        return model, optimizer

    def advance(self, model: torch.nn.Module, optimizer: Any, steps: int, first: int = 0) -> list[float]:
        losses = []
        for step in range(first, first + steps):
            inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            loss = (model(inputs)[:, 0] - inputs.sum(1)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def test_it_descends(self, name: str) -> None:
        model, optimizer = self.made(name)
        for group in optimizer.param_groups:
            group["lr"] = 0.02  # fits this problem whatever the rule
        losses = self.advance(model, optimizer, 200)
        assert sum(losses[-20:]) < 0.7 * sum(losses[:20])

    def test_its_state_dict_goes_on_bit_for_bit(self, name: str) -> None:
        model, optimizer = self.made(name)
        self.advance(model, optimizer, 5)
        other, resumed = self.made(name)
        other.load_state_dict(model.state_dict())
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert self.advance(model, optimizer, 5, 5) == self.advance(other, resumed, 5, 5)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))

    def test_it_leaves_gradients_and_frozen_parameters_alone(self, name: str) -> None:
        model, optimizer = self.made(name)
        model[0].weight.grad = None  # no gradient: not touched
        for parameter in list(model.parameters())[1:]:
            parameter.grad = torch.full_like(parameter, 0.5)
        before = model[0].weight.clone()
        optimizer.step()
        assert torch.equal(model[0].weight, before)
        assert all((p.grad == 0.5).all() for p in list(model.parameters())[1:])


@pytest.mark.parametrize("name", names("model"))
def test_a_model_names_data_that_is_embedded_and_trains_at_once(name: str, tmp_path: Path) -> None:
    from optbench.run import execute

    loaded = config.load([f"model={name}", "steps=3", "batch_size=8", "tracker=none"])
    assert loaded.data.about["embedded"]
    ended = execute(loaded, tmp_path)
    assert ended.result["status"] == "completed"
    assert set(ended.result["final"].values()) - {None}
    assert (ended.result["throughput"]["flops_per_step"] or 0) > 0
