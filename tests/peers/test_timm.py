"""Every name of timm's registry as `optimizer=timm/NAME`."""

from __future__ import annotations

import inspect

import pytest
import timm.optim
import torch
from torch import nn

from optbench import config
from optbench.config import imports
from optbench.errors import ConfigError, MissingError
from optbench.models.roles import problem_of
from optbench.optimizers.core.build import build

NAMES = timm.optim.list_optimizers()
WARNS_WITHOUT = {"kron": "opt_einsum"}  # prefix: the package without which timm warns, and a warning fails a test
NEEDS_GPU = ("bnb", "fused")  # prefixes of optimizers that need bitsandbytes or apex, and a GPU


def built(name: str, *settings: str) -> torch.optim.Optimizer:
    choice = config.load([f"optimizer=timm/{name}", *settings]).optimizer
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4))
    return build(imports.load(choice.target), choice.settings, choice.implementation, problem_of(layers), [])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_built_or_refused_with_a_reason(name: str) -> None:
    if name.startswith(NEEDS_GPU) and not torch.cuda.is_available():
        with pytest.raises(MissingError, match="CUDA required"):
            built(name)
        return
    if timm.optim.get_optimizer_info(name).second_order:
        with pytest.raises(ConfigError, match="keeps no graph"):
            built(name)
        return
    for prefix, package in WARNS_WITHOUT.items():
        if name.startswith(prefix):
            pytest.importorskip(package)
    optimizer = built(name, "optimizer.lr=0.001")
    assert isinstance(optimizer, timm.optim.get_optimizer_class(name, bind_defaults=False))
    decayed, spared = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert spared["weight_decay"] == 0.0
    before = [p.clone() for p in decayed["params"]]
    with torch.compiler.set_stance("force_eager"):  # Kron compiles its step, for half a minute
        for _ in range(2):  # some move nothing in their first step
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = torch.ones_like(p)
            optimizer.step()
    assert not any(map(torch.equal, before, decayed["params"]))


def test_the_settings_are_those_of_class_registry_and_factory() -> None:
    settings = config.load(["optimizer=timm/nesterovw"]).optimizer.settings
    assert settings["nesterov"] is True  # the registry's
    assert settings["momentum"] == 0.9  # the factory's
    assert settings["weight_decay"] == 0.0
    accepted = set(list(inspect.signature(timm.optim.SGDW).parameters)[1:])
    assert set(settings) == accepted | {"impl", "no_decay"}, "every argument is pinned"
    assert config.load(["optimizer=timm/adafactorbv"]).optimizer.settings["momentum_dtype"] == "bfloat16"


def test_settings_reach_the_optimizer_and_the_identity() -> None:
    optimizer = built("lion", "optimizer.lr=0.003", "optimizer.betas=[0.8,0.9]", "optimizer.no_decay=[]")
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"]) == (0.003, (0.8, 0.9))
    one, other = (config.load(["optimizer=timm/lion", f"optimizer.lr={lr}"]) for lr in (0.1, 0.2))
    assert one.run_id.startswith("mlp-digits-timm_lion-s0-") or "-timm_lion-s0-" in one.run_id
    assert one.run_id != other.run_id
    assert one.run_id == config.load(["optimizer=timm/lion", "optimizer.lr=0.1"]).run_id
    with pytest.raises(ConfigError, match=r"Did you mean optimizer\.betas"):
        config.load(["optimizer=timm/lion", "optimizer.beta=1"])


def test_lookahead_is_a_prefix_of_any_name() -> None:
    optimizer = built("lookahead_adamw", "optimizer.lookahead_k=3")
    assert isinstance(optimizer, timm.optim.Lookahead)
    assert {group["lookahead_k"] for group in optimizer.param_groups} == {3}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm/lio", r"Did you mean timm/lion\? timm\.optim\.list_optimizers\(\) lists \d+"),
        ("timm/lookahead_adamww", r"Did you mean timm/lookahead_adamw\?"),
        ("timm/xyzzy", "has no optimizer 'xyzzy'"),
        ("timm/", "no optimizer 'timm/'"),
        ("heavyball/AdamW", "no optimizer 'heavyball/AdamW'"),
        ("nolibrary/adam", "no optimizer 'nolibrary/adam'"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config.load([f"optimizer={name}"])


def test_an_optimizer_without_a_default_lr_needs_one() -> None:
    with pytest.raises(ConfigError, match="needs a learning rate"):
        built("adafactor")
    with pytest.raises(ConfigError, match="required optimization parameter lr"):
        built("sgdp")
