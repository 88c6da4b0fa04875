"""StableAdamW beside its first author's gist, as kyegomez/LongNet holds it.

The gist decays with lr itself, the paper with the shortened step size; so the decay is off here."""

from __future__ import annotations

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


def test_stable_adamw_is_its_authors() -> None:
    theirs = authors("kyegomez/LongNet", "a94904ac8805193ed05db1dff305a22c331d836d", "long_net/utils.py")

    def build(parameters: list) -> object:
        return theirs.StableAdamWUnfused([{"params": parameters}], lr=2e-3, weight_decay=0.0, eps=1e-6)

    apart = distance(
        ["optimizer=stable_adamw", "optimizer.lr=2e-3", "optimizer.weight_decay=0"],
        build,
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6
