"""D-Adaptation for Adam beside its authors' code, with a schedule that reaches 0."""

from __future__ import annotations

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


def test_dadapt_adam_is_its_authors() -> None:
    theirs = authors(
        "facebookresearch/dadaptation", "c984980213a989ff7cac1e3d68c19a2257bcd571", "dadaptation/dadapt_adam.py"
    )
    apart = distance(
        ["optimizer=dadapt_adam", "optimizer.weight_decay=0.1", "optimizer.d0=1e-3", "optimizer.growth_rate=1.02"],
        lambda parameters: theirs.DAdaptAdam(parameters, weight_decay=0.1, d0=1e-3, growth_rate=1.02, decouple=True),
        factors=lambda t: max(0.0, 1 - t / 90),
    )
    print(apart)
    assert apart < 1e-6
