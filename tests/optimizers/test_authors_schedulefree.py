"""Schedule-free SGD and RAdam beside their authors' code."""

from __future__ import annotations

from typing import Any

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors
COMMIT = "70785b53e778d0e872c0bbb75ff4ee54ee10c291"


def training(optimizer: Any) -> Any:
    optimizer.train()
    return optimizer


@pytest.mark.parametrize("warmup", [0, 30])
def test_schedulefree_sgd_is_its_authors(warmup: int) -> None:
    theirs = authors("facebookresearch/schedule_free", COMMIT, "schedulefree/sgd_schedulefree.py")
    same: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.01, "warmup_steps": warmup}
    apart = distance(
        ["optimizer=schedulefree_sgd", *(f"optimizer.{key}={value}" for key, value in same.items())],
        lambda parameters: training(theirs.SGDScheduleFree(parameters, lr=1.0, foreach=False, **same)),
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6


@pytest.mark.parametrize("beta2", [0.999, 0.9])
def test_schedulefree_radam_is_its_authors(beta2: float) -> None:
    theirs = authors("facebookresearch/schedule_free", COMMIT, "schedulefree/radam_schedulefree.py")
    same: dict[str, Any] = {"betas": (0.9, beta2), "weight_decay": 0.1, "foreach": False}
    apart = distance(
        ["optimizer=schedulefree_radam", f"optimizer.betas=[0.9,{beta2}]", "optimizer.weight_decay=0.1"],
        lambda parameters: training(theirs.RAdamScheduleFree(parameters, lr=2.5e-3, **same)),
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6
