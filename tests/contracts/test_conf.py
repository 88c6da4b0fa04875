"""Tests of every file under conf/: a new optimizer, model, schedule or clip is tested automatically."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config
from optbench.checks import matrix
from optbench.config import imports
from optbench.config.schema import conform
from optbench.config.trees import flatten, place_in_list
from optbench.contracts import Turn
from optbench.counter_rng import seed_torch
from optbench.models.roles import problem_of
from optbench.optimizers.core.build import arguments_of, build
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature

CONF = config.packaged_folder()


def names(group: str) -> list[str]:
    return config.options([CONF], group)


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in (*config.GROUPS, "task") for n in names(g)])
def test_a_file_has_a_title_facts_and_a_comment_for_every_key(group: str, name: str) -> None:
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
        conform(flatten(tree)[key], spec, flatten(tree)[key])  # raises if the default itself is invalid
    if group == "task":
        assert "model" in about or name == "supervised", "the task names a model that fits"
        overrides = [f"model={about['model']}", f"task={name}"] if "model" in about else [f"task={name}"]
        assert config.load(overrides).model.settings["task"]["target"] == about["target"]
    else:
        assert config.load([f"{group}={name}"]).choices[group].name == name


@pytest.mark.parametrize("name", names("data"))
def test_a_data_set_lists_the_keys_that_name_files(name: str) -> None:
    choice = config.load([f"data={name}"]).data
    assert set(choice.about["files"]) == {"path", "tokenizer"} & set(choice.settings)


@pytest.mark.parametrize("name", names("modifier"))
def test_a_modifier_has_all_facts_and_can_be_switched_on(name: str) -> None:
    file = CONF / "modifier" / f"{name}.yaml"
    tree = config.read_yaml(file)
    about = tree.pop("about")
    assert {"paper", "switch", "standard", "rank", "state", "valid"} <= set(about)
    assert tree[about["switch"]] is None
    assert config.load([]).modifiers == ()
    (modifier,) = config.load([f"{name}=true"]).modifiers
    assert modifier.name == name
    assert callable(imports.load(modifier.target))


@pytest.mark.parametrize("name", names("workload"))
def test_a_workload_names_a_model_and_data(name: str) -> None:
    model, _, data = name.partition("-")
    assert model in names("model")
    assert data in names("data")
    file = CONF / "workload" / f"{name}.yaml"
    assert file.read_text().startswith("# @package _global_\n")
    assert_set(file, [f"model={model}", f"data={data}"])


@pytest.mark.parametrize("name", names("recipe"))
def test_a_recipe_names_a_model_data_and_an_optimizer(name: str) -> None:
    model, data, optimizer = name.split("-")
    assert model in names("model")
    assert data in names("data")
    assert optimizer in names("optimizer")
    file = CONF / "recipe" / f"{name}.yaml"
    assert file.read_text().startswith("# "), "the first line says what it is"
    assert_set(file, [f"model={model}", f"data={data}", f"optimizer={optimizer}"])


def assert_set(file: Path, overrides: list[str]) -> None:
    """Check that the configuration has every key of a workload or recipe, with its value."""
    loaded = config.load(overrides)
    tree = config.flatten({**loaded.__dict__, **loaded.as_dict()})
    set_by_recipe = {} if file.parent.name == "recipe" else recipe_of(loaded)
    for key, value in config.flatten(config.read_yaml(file)).items():
        if key not in set_by_recipe and key != "samples":  # steps follow from samples
            assert tree[key] == value, key


def recipe_of(loaded: config.RunConfig) -> dict[str, Any]:
    """Return the values that the recipe of a configuration sets, by dotted key."""
    file = CONF / "recipe" / f"{loaded.model.name}-{loaded.data.name}-{loaded.optimizer.name}.yaml"
    return config.flatten(config.read_yaml(file)) if file.exists() else {}


IMPLEMENTATIONS = [(c.optimizer.name, c.optimizer.settings["impl"]) for c in matrix.matrix_configs(None, [])]


def defaults_and_ours() -> list[tuple[str, str]]:
    """Return every optimizer by its default implementation and by ours; conformance tests cover the others."""
    default = [(name, config.load([f"optimizer={name}"]).optimizer.settings["impl"]) for name in names("optimizer")]
    return sorted({*default, *((name, impl) for name, impl in IMPLEMENTATIONS if impl == "optbench")})


@functools.cache
def chosen(name: str, impl: str) -> config.Choice:
    """Return the optimizer by this implementation, with the settings that it requires."""
    return next(c.optimizer for c in matrix.matrix_configs(None, [], name) if c.optimizer.settings["impl"] == impl)


@pytest.mark.parametrize("name", names("optimizer"))
def test_an_optimizer_has_paper_search_space_and_state(name: str) -> None:
    choice = config.load([f"optimizer={name}"]).optimizer
    assert {"algorithm", "paper", "implementations", "state", "needs", "search", "valid"} <= set(choice.about)
    assert {place_in_list(key)[0] for key in choice.about["search"]} <= set(choice.settings)


def arguments_taken(target: Any) -> set[str]:
    """Return the names of a constructor's arguments but the first; `**settings` are those of its base class."""
    parameters = inspect.signature(target).parameters
    own = set(list(parameters)[1:] if "self" not in parameters else parameters)
    passed_on = {name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD}
    if not passed_on or not isinstance(target, type):
        return own
    return own - passed_on | arguments_taken(target.__base__)


@pytest.mark.parametrize(("name", "impl"), IMPLEMENTATIONS)
def test_every_argument_is_pinned(name: str, impl: str) -> None:
    choice = chosen(name, impl)
    accepted = arguments_taken(imports.load(choice.target)) - {"self", "params", "problem"}
    given = set(arguments_of(choice.settings, choice.implementation))
    assert given == accepted, "every argument is pinned, none inherited from the library"


class SmallTraining:
    """A small regression with a normalisation layer, its optimizer, and the curvature that a run provides."""

    def __init__(self, name: str, impl: str, lr: float | None = None, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(0)
        layers = torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 1)
        self.model = torch.nn.Sequential(*layers).to(dtype)
        self.dtype = dtype
        choice = chosen(name, impl)
        settings = {**choice.settings, **({} if lr is None else {"lr": lr})}
        self.curvature = BatchCurvature(self.model, Clock(), contextlib.nullcontext(), None)
        problem = problem_of(self.model, self.curvature)
        needs = list(choice.about["needs"])
        self.optimizer = build(imports.load(choice.target), settings, choice.implementation, problem, needs)
        self.closed = "closure" in needs

    def loss(self, batch: Any) -> Any:
        return (self.model(batch["inputs"])[:, 0] - batch["labels"]).square().sum(), len(batch["labels"])

    def sampled_loss(self, batch: Any) -> Any:
        guess = self.model(batch["inputs"])[:, 0].detach()
        return self.loss({**batch, "labels": guess + torch.randn_like(guess) / math.sqrt(2)})

    def advance(self, steps: int, first: int = 0) -> list[float]:
        losses = []
        for step in range(first, first + steps):
            seed_torch(step)
            inputs = torch.randn(16, 4).to(self.dtype)
            batch = {"inputs": inputs, "labels": inputs.sum(1)}
            self.curvature.turn = Turn("model", batch, self.loss, self.sampled_loss)

            def closure(batch: Any = batch) -> torch.Tensor:
                self.optimizer.zero_grad()
                total, count = self.loss(batch)
                (total / count).backward()
                return total.detach() / count

            losses.append(float(closure()))
            self.optimizer.step(*([closure] if self.closed else []))
        return losses


def rates(name: str, impl: str) -> list[float]:
    """Return learning rates to try: the ends of the search range, the file's own and 0.02, in order."""
    choice = chosen(name, impl)
    box = choice.about["search"].get("lr", "log [1e-3, 0.1]").removeprefix("log ")
    return sorted({0.02, choice.settings["lr"], *(float(end) for end in box.strip("[]").split(","))})


@pytest.mark.parametrize(("name", "impl"), defaults_and_ours())
class TestOptimizer:
    """Every optimizer on a small problem."""

    def test_it_descends_at_some_lr_of_its_search_space(self, name: str, impl: str) -> None:
        def remaining(lr: float) -> float:
            losses = SmallTraining(name, impl, lr).advance(120)
            return sum(losses[-12:]) / sum(losses[:12])

        assert any(remaining(lr) < 0.7 for lr in reversed(rates(name, impl)))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
    def test_its_state_dict_resumes_bit_for_bit(self, name: str, impl: str, dtype: torch.dtype, tmp_path: Path) -> None:
        lr = rates(name, impl)[0]  # small enough to stay finite: NaN equals nothing
        training, resumed = (SmallTraining(name, impl, lr, dtype) for _ in range(2))
        training.advance(5)
        torch.save([training.model.state_dict(), training.optimizer.state_dict()], tmp_path / "checkpoint")
        model, optimizer = torch.load(tmp_path / "checkpoint", weights_only=True)
        resumed.model.load_state_dict(model)
        resumed.optimizer.load_state_dict(optimizer)
        assert training.advance(8, 5) == resumed.advance(8, 5)
        assert all(map(torch.equal, training.model.parameters(), resumed.model.parameters()))

    def test_it_changes_neither_gradients_nor_parameters_without_one(self, name: str, impl: str) -> None:
        training = SmallTraining(name, impl)
        if training.closed:
            pytest.skip("its gradients come from the closure")
        training.advance(1)
        weights = list(training.model.parameters())
        weights[0].grad = None  # no gradient: not touched
        for parameter in weights[1:]:
            parameter.grad = torch.full_like(parameter, 0.5)
        before = weights[0].clone()
        training.optimizer.step()
        assert torch.equal(weights[0], before)
        assert all((p.grad == 0.5).all() for p in weights[1:])

    def test_zero_gradients_and_low_precision_stay_finite(self, name: str, impl: str) -> None:
        for dtype in (torch.float32, torch.bfloat16):
            training = SmallTraining(name, impl, dtype=dtype)
            training.advance(3)
            for parameter in training.model.parameters():
                parameter.grad = torch.zeros_like(parameter)
            if not training.closed:
                training.optimizer.step()
            assert all(p.isfinite().all() and p.dtype == dtype for p in training.model.parameters())
