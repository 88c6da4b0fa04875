"""AdEMAMix beside its authors' code, with and without warm-ups."""

from __future__ import annotations

from typing import Any

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


@pytest.mark.parametrize("beta1", [0.9, 0.0])
@pytest.mark.parametrize(("alpha_warmup", "beta3_warmup"), [(None, None), (70, None), (70, 50), (1000, 1000)])
def test_ademamix_is_its_authors(beta1: float, alpha_warmup: int | None, beta3_warmup: int | None) -> None:
    theirs = authors("apple/ml-ademamix", "c3d73c09f1287e5c33b95189bb0aa7de0a5a7667", "pytorch/ademamix.py")
    same: dict[str, Any] = {"alpha": 5.0, "alpha_warmup": alpha_warmup, "beta3_warmup": beta3_warmup}
    words = [f"optimizer.{key}={'null' if value is None else value}" for key, value in same.items()]
    betas = (beta1, 0.999, 0.9999)
    apart = distance(
        ["optimizer=ademamix", f"optimizer.betas={list(betas)}", "optimizer.weight_decay=0.1", *words],
        lambda parameters: theirs.AdEMAMix(parameters, lr=1e-3, betas=betas, weight_decay=0.1, **same),
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6
