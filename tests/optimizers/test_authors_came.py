"""CAME beside its authors' code."""

from __future__ import annotations

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


@pytest.mark.parametrize("threshold", [1.0, 0.1])
def test_came_is_its_authors(threshold: float) -> None:
    theirs = authors("yangluo7/CAME", "e77c5c022eaf71f1efb82a1433032cdcd5c52610", "came_pytorch/CAME.py")

    def build(parameters: list) -> object:
        same = {"betas": (0.9, 0.999, 0.9999), "clip_threshold": threshold, "weight_decay": 0.1}
        optimizer = theirs.CAME([{"params": parameters}], lr=2e-4, **same)
        for parameter in parameters:
            parameter.requires_grad_(False)  # the code has no torch.no_grad
        return optimizer

    apart = distance(
        ["optimizer=came", "optimizer.lr=2e-4", "optimizer.weight_decay=0.1", f"optimizer.clip_threshold={threshold}"],
        build,
        shapes=((), (7,), (3, 5), (2, 3, 4), (4, 2, 3, 3)),
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6
