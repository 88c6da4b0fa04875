"""AdamH and MuonH beside their authors' code, levanter 1.2.dev1644 from PyPI, in JAX:

    pip install --no-deps --target $OPTBENCH_AUTHORS_CODE/levanter-1.2.dev1644 levanter==1.2.dev1644
    pip install jax optax chex

Its modules are read one by one, since the package needs many others; a pair of tensor classes stands for haliax."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from authors_code import CLONES, FOLDER, distance
from torch import Tensor

pytestmark = pytest.mark.authors


@dataclass
class Named:
    array: Any
    ndim = 2


@dataclass
class Layer:
    weight: Named


class Configs:
    @staticmethod
    def register_subclass(name: str) -> Any:
        return lambda subclass: subclass


@pytest.fixture
def optim(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The authors' modules adamh, muon and muonh."""
    jax = pytest.importorskip("jax")
    folder = Path(CLONES) / "levanter-1.2.dev1644/levanter/optim"
    if not CLONES or not folder.is_dir():
        pytest.skip(f"{FOLDER} has no levanter-1.2.dev1644")
    jax.config.update("jax_enable_x64", True)
    for name in ("haliax", "haliax.nn", "haliax.tree_util", "levanter", "levanter.optim", "levanter.utils.jax_utils"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    util = MagicMock(map_flattened_linear_layers=lambda f, tree: [f(Layer(Named(x))).weight.array for x in tree])
    monkeypatch.setitem(sys.modules, "levanter.optim.util", util)
    monkeypatch.setitem(sys.modules, "levanter.optim.config", MagicMock(OptimizerConfig=Configs))
    found = {}
    for name in ("adamh", "muon", "muonh"):
        spec = importlib.util.spec_from_file_location(f"levanter.optim.{name}", folder / f"{name}.py")
        assert spec is not None and spec.loader is not None
        found[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, f"levanter.optim.{name}", found[name])
        spec.loader.exec_module(found[name])
    return found


class Transformation(torch.optim.SGD):
    """An optax transformation that returns what is added to the parameters."""

    def __init__(self, parameters: list[Tensor], optax: Any) -> None:
        super().__init__(parameters, lr=0.0)
        self.thetas, self.optax = parameters, optax
        self.inner = optax.init([theta.detach().numpy() for theta in parameters])

    def step(self, closure: Any = None) -> None:
        gradients = [theta.grad.numpy() for theta in self.thetas if theta.grad is not None]
        before = [theta.detach().numpy() for theta in self.thetas]
        updates, self.inner = self.optax.update(gradients, self.inner, before)
        with torch.no_grad():
            for theta, update in zip(self.thetas, updates, strict=True):
                theta.add_(torch.tensor(np.array(update)))


@pytest.mark.parametrize("base", ["adam", "muon"])
def test_hyperball_is_its_authors(optim: dict[str, ModuleType], base: str) -> None:
    def theirs(parameters: list[Tensor]) -> Transformation:
        if base == "adam":
            return Transformation(parameters, optim["adamh"].scale_by_adamh(0.9, 0.98, 1e-8, 0.02))
        return Transformation(parameters, optim["muonh"].scale_with_muonh(0.95, True, 5, 1e-7, 0.02))

    assert distance(["optimizer=hyperball", f"optimizer.base={base}"], theirs, shapes=((3, 5), (6, 4), (5, 5))) < 1e-6
