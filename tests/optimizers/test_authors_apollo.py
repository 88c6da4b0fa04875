"""APOLLO and APOLLO-Mini beside their authors' code, over three renewals of the projections."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from authors_code import authors_package, distance
from torch import Tensor

pytestmark = pytest.mark.authors
COMMIT = "76b34725abcbd45aa47d8fdf831c8b5ba6d34dde"
SHAPES = ((7,), (3, 5), (6, 4), (5, 5), (8, 3))
INTERVAL = 60  # of the file's about.exact


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("adamw8bit", "q_apollo"):  # they need another package
        monkeypatch.setitem(sys.modules, f"apollo_torch.{name}", MagicMock())
    return authors_package("zhuhanqing/APOLLO", COMMIT, "apollo_torch", tmp_path)


def groups(parameters: list[Tensor], **settings: Any) -> list[dict[str, Any]]:
    matrices, rest = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    fixed = {"proj": "random", "proj_type": "std", "update_proj_gap": INTERVAL}
    return [{"params": matrices, **fixed, **settings}, {"params": rest}]


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(("scale_type", "scale"), [("channel", 1.0), ("channel", 3.0), ("tensor", 128.0)])
def test_apollo_is_its_authors(theirs: ModuleType, scale_type: str, scale: float, rank: int, front: bool) -> None:
    settings = {"rank": rank, "scale_type": scale_type, "scale": scale}
    apart = distance(
        ["optimizer=apollo", "optimizer.weight_decay=0.1", *(f"optimizer.{key}={settings[key]}" for key in settings)],
        lambda parameters: theirs.APOLLOAdamW(
            groups(parameters, **settings), lr=0.01, weight_decay=0.1, scale_front=front
        ),
        SHAPES,
        steps=200,
    )
    assert apart < 1e-6


def test_apollo_without_a_limit_is_its_authors(theirs: ModuleType) -> None:
    settings = {"rank": 2, "scale_type": "channel", "scale": 1.0}
    apart = distance(
        ["optimizer=apollo", "optimizer.rank=2", "optimizer.norm_growth=null"],
        lambda parameters: theirs.APOLLOAdamW(groups(parameters, **settings), lr=0.01, disable_nl=True),
        SHAPES,
    )
    assert apart < 1e-6
