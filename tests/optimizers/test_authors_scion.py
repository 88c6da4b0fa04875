"""Scion beside its authors' code, in every norm. Theirs rounds its iteration to bfloat16, switched to float64 here."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from authors_code import authors, distance
from torch import Tensor

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build

pytestmark = pytest.mark.authors

COMMIT = "f58a393e010395a5913176be5673d8839caa6285"
SHAPES = ((7,), (3, 5), (6, 4), (5, 5), (4, 3, 5), (4, 3, 2, 2))
MATRICES = ((3, 5), (6, 4), (5, 5))


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.double)
    return authors("LIONS-EPFL/scion", COMMIT, "scion.py")


@pytest.mark.parametrize("constrained", [True, False])
def test_scion_is_its_authors(theirs: ModuleType, constrained: bool) -> None:
    def build_theirs(parameters: list[Tensor]) -> Any:
        return theirs.Scion(parameters, lr=0.01, momentum=0.1, norm="Auto", scale=50.0, unconstrained=not constrained)

    overrides = ["optimizer=scion", "optimizer.lr=0.01", f"optimizer.constrained={str(constrained).lower()}"]
    assert distance(overrides, build_theirs, shapes=SHAPES) < 1e-6


THEIR_NORMS = {"spectral": "Spectral", "sign": "Sign", "column": "ColNorm", "row": "RowNorm"}
KEYWORDS: dict[str, dict[str, dict[str, bool]]] = {
    "hidden": {norm: {"normalized": True} for norm in THEIR_NORMS},
    "head": {norm: {"normalized": True} for norm in THEIR_NORMS},
    "first": {"spectral": {"max": True}},
    "embedding": {
        "spectral": {"normalized": False},
        "sign": {"normalized": False},
        "column": {"transpose": True},
        "row": {"transpose": True, "normalized": False},
    },
}
"""Their keywords by kind and norm, as in their README and in examples/shallow-nanogpt/model.py."""


@pytest.mark.parametrize(("kind", "norm"), [(kind, norm) for kind, norms in KEYWORDS.items() for norm in norms])
def test_every_norm_is_its_authors(theirs: ModuleType, kind: str, norm: str) -> None:
    torch.manual_seed(0)
    starts = [torch.randn(shape, dtype=torch.float64) for shape in MATRICES]
    ours, others = ([start.clone().requires_grad_() for start in starts] for _ in range(2))
    radius = "radius" if kind in ("hidden", "first") else f"{kind}_radius"
    settings = ["lr=0.01", f"{kind}_norm={norm}", f"{radius}=3.0", "ns_dtype=float64"]
    choice = config.load(["optimizer=scion", *(f"optimizer.{setting}" for setting in settings)]).optimizer
    role = "matrix" if kind == "hidden" else kind
    problem = Problem(tuple(Parameter(str(n), tensor, role) for n, tensor in enumerate(ours)))
    keywords = KEYWORDS[kind][norm]
    pair = (
        build(imports.load(choice.target), choice.settings, choice.implementation, problem, []),
        theirs.Scion(others, lr=0.01, momentum=0.1, norm=THEIR_NORMS[norm], norm_kwargs=keywords, scale=3.0),
    )
    for _ in range(100):
        for mine, other in zip(ours, others, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in pair:
            optimizer.step()
        for mine, other, start in zip(ours, others, starts, strict=True):
            moved = (other.detach() - start).abs().max()
            assert (mine.detach() - other.detach()).abs().max() < 1e-6 * moved
