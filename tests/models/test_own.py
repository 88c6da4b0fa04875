"""Models of the user's own: what their signatures say, what the data fills in, and the roles of their parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError
from optbench.models.own import arguments, describe
from optbench.models.own_roles import assign_roles
from optbench.models.roles import trainable
from optbench.optimizers.core.build import build
from optbench.optimizers.core.groups import parameter_groups
from optbench.sessions.assemble import assemble
from optbench.sessions.execute import FinishedRun

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes, width=32, dropout: float = 0, hidden=(8, 8), act=nn.ReLU, kind: "str" = "a"):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), act(), nn.Dropout(dropout))
        self.fc = nn.Linear(width, classes)
    def forward(self, x):
        return self.fc(self.body(x))

class Lazy(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU()), nn.LazyLinear(classes)
    def forward(self, x):
        return self.fc(self.body(x))

def required(width, channels=64, **others): ...
"""
QUICK = ("data=digits", "tracker=none", "threads=1", "steps=4")


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py"


def test_a_signature_is_the_file_of_a_choice(net: str) -> None:
    node = describe(f"{net}:Net")
    about, roles = node.pop("about"), node.pop("roles")
    assert node == {
        "inputs": None, "classes": None, "width": 32, "dropout": 0, "hidden": [8, 8], "kind": "a"
    }  # fmt: skip
    assert (about["name"], about["target"], set(roles.values())) == ("Net", f"{net}:Net", {None})
    assert describe(f"{net}:required").items() >= {"width": "???", "channels": None}.items()
    loaded = config.load([f"model={net}:Net", "model.dropout=0.5", "model.hidden=[1,2,3]", *QUICK]).model.settings
    assert (loaded["dropout"], loaded["hidden"]) == (0.5, [1, 2, 3])
    with pytest.raises(ConfigError, match=r"model.width=wide: expected a whole number"):
        config.load([f"model={net}:Net", "model.width=wide", *QUICK])
    with pytest.raises(ConfigError, match=r"no key 'model.widht'\nDid you mean model.width"):
        config.load([f"model={net}:Net", "model.widht=3", *QUICK])


@pytest.mark.parametrize(
    ("name", "data", "value"),
    [
        ("classes", {"classes": 7}, 7),
        ("outputs", {"outputs": 3}, 3),
        ("outputs", {"classes": 7}, 7),
        ("inputs", {"sample_shape": (3, 4, 4)}, 48),
        ("sample_shape", {"sample_shape": (3, 4, 5)}, (3, 4, 5)),
        ("channels", {"sample_shape": (3, 4, 5)}, 3),
        ("image_size", {"sample_shape": (3, 4, 4)}, 4),
        ("image_size", {"sample_shape": (3, 4, 5)}, "4x5 pixels"),
        ("image_size", {"sample_shape": (5,)}, "takes 'image_size', which data=mine does not have"),
        ("channels", {"sample_shape": (5,)}, "takes 'channels', which data=mine does not have"),
        ("vocabulary_size", {"vocabulary": SimpleNamespace(size=11)}, 11),
        ("vocabulary_size", {"classes": 7}, "takes 'vocabulary_size', which data=mine does not have"),
        ("sequence_length", {"sequence_length": 16}, 16),
        ("task_name", {}, "supervised"),
    ],
)
def test_parameters_are_filled_in_from_the_data_by_name(
    tmp_path: Path, name: str, data: dict[str, Any], value: object
) -> None:
    (tmp_path / "one.py").write_text(f"def net({name}): ...\ndef own({name}=5): ...\n")
    made: Any = SimpleNamespace(**data)
    if isinstance(value, str) and name != "task_name":
        with pytest.raises(ConfigError, match=value):
            arguments(f"{tmp_path}/one.py:net", made, "mine", "supervised", {})
        return
    assert arguments(f"{tmp_path}/one.py:net", made, "mine", "supervised", {}) == {name: value}
    assert arguments(f"{tmp_path}/one.py:own", SimpleNamespace(), "mine", "t", {}) in ({}, {name: "t"})  # type: ignore[arg-type]
    if name != "task_name":
        assert arguments(f"{tmp_path}/one.py:net", made, "mine", "supervised", {name: 9}) == {name: 9}


def test_a_yaml_file_builds_the_same_model_as_its_path(net: str, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(f"width: 16\nabout: {{target: '{net}:Net'}}\n")
    loaded = config.load(["model=mine", "model.roles.head=[body.1]", *QUICK], tmp_path / "conf")
    found = {p.name: p.role for p in trainable(assemble(loaded).task.players["model"])}
    assert found == {"body.1.weight": "head", "body.1.bias": "bias", "fc.weight": "matrix", "fc.bias": "bias"}


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_get_their_shapes_from_the_data_and_train(net: str, tmp_path: Path, twice: Any) -> None:
    calm, _ = twice(config.load([f"model={net}:Lazy", "optimizer=muon", *QUICK]), 2)
    assert calm.result["status"] == "completed"


class Parts(nn.Module):
    """A module of each kind that a role must be told for."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.places = nn.Parameter(torch.zeros(1, 5, 8))
        self.first = nn.Parameter(torch.zeros(1, 1, 8))
        self.mixing = nn.Parameter(torch.zeros(8, 8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.recurrent = nn.LSTM(8, 4)
        self.bilinear = nn.Bilinear(4, 4, 3)
        self.patches = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 8, 2))
        self.norm = nn.GroupNorm(2, 8)
        self.out = nn.Linear(8, 11)
        if tied:
            self.out.weight = self.tokens.weight


ROLES = {
    "tokens.weight": "embedding", "places": "embedding", "first": "bias", "mixing": "matrix",
    "attention.in_proj_weight": "matrix", "attention.in_proj_bias": "bias", "attention.out_proj.weight": "matrix",
    "recurrent.weight_hh_l0": "matrix", "recurrent.bias_hh_l0": "bias", "bilinear.weight": "matrix",
    "norm.weight": "norm", "norm.bias": "norm", "out.weight": "head", "out.bias": "bias",
}  # fmt: skip


@pytest.mark.parametrize(
    ("tied", "outputs", "told", "changed", "notice"),
    [
        (False, {11}, {}, {}, ""),
        (True, {11}, {}, {"out.weight": None}, ""),
        (False, {7}, {}, {"out.weight": "matrix"}, r"no layer gives 7 numbers .*model.roles.head=\[out\]"),
        (False, {7}, {"head": []}, {"out.weight": "matrix"}, ""),
        (False, {8}, {}, {"out.weight": "matrix", "attention.out_proj.weight": "head"}, ""),
        (False, set(), {}, {"out.weight": "matrix"}, ""),
        (False, {11}, {"embedding": ["mixing"], "norm": ["first"]}, {"mixing": "embedding", "first": "norm"}, ""),
        (False, {11}, {"head": ["atten*"]}, {n: "head" for n in ROLES if "attention" in n and "bias" not in n}
         | {"out.weight": "matrix"}, ""),
    ],
)  # fmt: skip
def test_roles_come_from_types_shapes_and_the_user(
    tied: bool, outputs: set[int], told: dict[str, list[str]], changed: dict[str, str | None], notice: str
) -> None:
    model = Parts(tied)
    said = assign_roles(model, told, outputs, reads_text=True)
    found = {p.name: p.role for p in trainable(model)}
    expected = {name: role for name, role in (ROLES | changed).items() if role}
    assert {name: found.get(name) for name in expected} == expected
    assert ("out.weight" in found) is not tied
    import re

    assert re.search(notice, said) and bool(said) == bool(notice)


@pytest.mark.parametrize(
    ("layers", "reads_text", "told", "expected"),
    [
        ([nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)], False, {}, ["first", "convolution", "head"]),
        ([nn.ConvTranspose2d(1, 4, 3), nn.Linear(4, 3)], False, {}, ["first", "head"]),
        ([nn.BatchNorm1d(4), nn.Linear(4, 5), nn.Conv1d(5, 4, 3), nn.Linear(4, 3)], False, {},
         ["norm", "matrix", "convolution", "head"]),
        ([nn.Conv1d(1, 4, 3), nn.Linear(4, 3)], True, {"embedding": []}, ["convolution", "head"]),
        ([nn.Conv2d(1, 4, 3), nn.Linear(4, 3)], False, {"first": []}, ["convolution", "head"]),
        ([nn.Conv2d(1, 4, 3), nn.Linear(4, 3)], False, {"convolution": ["0"]}, ["convolution", "head"]),
        ([nn.Linear(9, 4), nn.Linear(4, 4), nn.Linear(4, 3)], False, {"first": ["0"]}, ["first", "matrix", "head"]),
        ([nn.Conv2d(1, 3, 3)], False, {}, ["head"]),
    ],
)  # fmt: skip
def test_a_convolution_is_first_if_it_is_the_first_layer(
    layers: list[nn.Module], reads_text: bool, told: dict[str, list[str]], expected: list[str]
) -> None:
    model = copy.deepcopy(nn.Sequential(*layers))
    assert assign_roles(model, told, {3}, reads_text) == ""
    assert [p.role for p in trainable(model) if p.name.endswith("weight")] == expected


def test_a_first_layer_counts_as_what_it_is_to_all_but_muon() -> None:
    kernel, patches = (Parameter("first", torch.zeros(shape), "first") for shape in ((4, 1, 3, 3), (4, 9)))
    assert kernel.has_role(["convolution"]) and kernel.has_role(["first"]) and not kernel.has_role(["matrix"])
    assert patches.has_role(["matrix"]) and not patches.has_role(["convolution", "bias"])
    for roles, spared in ((["first"], [kernel]), (["convolution"], [kernel]), (["matrix"], []), (["bias"], [])):
        groups = parameter_groups(Problem((kernel,)), roles)
        assert [group["params"] for group in groups if "weight_decay" in group] == [[p.tensor] for p in spared]
    choice = config.load(["optimizer=muon"]).optimizer
    optimizer = build(
        imports.load(choice.target), choice.settings, choice.implementation, Problem((kernel, patches)), []
    )
    assert {group["rule"] for group in optimizer.param_groups} == {"rest"}


def test_an_ambiguous_head_and_a_missing_embedding_are_asked_for() -> None:
    layers = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    said = assign_roles(layers, {}, {3}, reads_text=True)
    assert "2 layers give 3 numbers (0, 1)" in said and "model.roles.head=[1]" in said
    assert "model.roles.embedding=[0.weight]" in said and {p.role for p in trainable(layers)} == {"matrix", "bias"}


def test_a_pattern_that_matches_nothing_suggests_a_name() -> None:
    with pytest.raises(ConfigError, match=r"model.roles.head=\[otu\].*\nDid you mean model.roles.head=\[out\]"):
        assign_roles(Parts(), {"head": ["otu"]}, {11}, False)


@pytest.mark.parametrize("how", ["path", "yaml"])
@pytest.mark.parametrize("edited", ["net.py", "helper.py"])
def test_an_edit_of_the_model_is_another_run(tmp_path: Path, how: str, edited: str) -> None:
    (tmp_path / "net.py").write_text("import helper\n" + NET)
    (tmp_path / "helper.py").write_text("width = 3\n")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(f"about: {{target: '{tmp_path}/net.py:Net'}}\n")
    chosen = ["model=mine" if how == "yaml" else f"model={tmp_path}/net.py:Net", *QUICK]
    ids = [config.load(chosen, tmp_path / "conf").run_id]
    ids += [config.load(chosen, tmp_path / "conf").run_id]
    (tmp_path / edited).write_text((tmp_path / edited).read_text() + "# an edit\n")
    ids += [config.load(chosen, tmp_path / "conf").run_id]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("optimizer", ["kfac", "muon", "soap", "sophia_h", "psgd_kron", "sam"])
def test_own_models_serve_optimizers_with_needs(
    net: str, optimizer: str, quick_run: Callable[..., FinishedRun]
) -> None:
    ended = quick_run(f"model={net}:Net", f"optimizer={optimizer}", "steps=2", "model.dropout=0.1")
    assert ended.result["status"] == "completed", ended.result["reason"]
