"""MARS beside its authors' code, whose first step has a last gradient of zero: under the clip it is the same step."""

from __future__ import annotations

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


@pytest.mark.parametrize("optimize_1d", [False, True])
def test_mars_is_its_authors(optimize_1d: bool) -> None:
    theirs = authors("AGI-Arena/MARS", "4831e28eba863a4e69d7e9474ff8e73bc1b410fe", "MARS/optimizers/mars.py")
    apart = distance(
        ["optimizer=mars", f"optimizer.optimize_1d={optimize_1d}", "optimizer.weight_decay=0.1"],
        lambda parameters: theirs.MARS(parameters, lr=3e-3, weight_decay=0.1, optimize_1d=optimize_1d),
        shapes=((9,), (3, 5), (6, 4), (4, 2, 3, 3)),
        factors=lambda t: min(1.0, t / 10),
    )
    assert apart < 1e-6
