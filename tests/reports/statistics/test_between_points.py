"""What a parabola leaves between the points of a grid."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.reports.contenders import Contender
from optbench.reports.read.columns import COLUMNS
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.evidence import between
from optbench.reports.statistics.points import between_points

NUMBER = st.floats(-5, 5)


@given(
    top=NUMBER, height=NUMBER, steepness=st.floats(0.1, 10), start=NUMBER, gaps=st.lists(st.floats(0.2, 2), min_size=3)
)
def test_of_a_parabola_it_is_exactly_what_is_missing(
    top: float, height: float, steepness: float, start: float, gaps: list[float]
) -> None:
    places = [start + sum(gaps[:i]) for i in range(len(gaps) + 1)]
    scores = [height - steepness * (place - top) ** 2 for place in places]
    found = between_points(places[::-1], scores[::-1])
    if scores.index(max(scores)) in (0, len(scores) - 1):
        assert found is None
    else:
        assert found == pytest.approx(height - max(scores), abs=1e-6)


def test_where_it_is_unknown() -> None:
    assert between_points([0.0, 1.0, 2.0], [3.0, 2.0, 1.0]) is None, "the best one is at an end"
    assert between_points([0.0, 1.0, 2.0], [None, 2.0, 1.0]) is None and between_points([], []) is None
    assert between_points([0.0, 1.0, 2.0, 3.0], [None, 1.0, 2.0, 1.0]) == 0.0
    assert between_points([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]) is None
    assert between_points([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 0.0]) == pytest.approx(0.125)
    assert between_points([0.0, 1.0, 1.0, 1.0, 2.0], [1.0, 1.5, 2.0, None, 1.0]) == 0.0, "a place that was tried thrice"
    assert between_points([0.0, 0.0], [1.0, 2.0]) is None


def test_the_evidence_of_a_pair_has_it() -> None:
    a, b = Arm("a", (1.0, 2.0), between=0.0123), Arm("b", (1.0, 2.0), between=0.5)
    assert between([a, b]) == ["between the points tried, a parabola leaves 0.012 to a and 0.5 to b"]
    assert between([a, replace(b, between=None)]) == ["between the points tried, a parabola leaves 0.012 to a"]
    assert between([replace(a, between=None)]) == []


def test_a_contender_takes_logarithms_of_its_rates() -> None:
    """Losses of 1.25, 1 and 1.25 a factor of ten apart, moved by half a decade: the parabola has its top between."""
    searched = ["optimizer.lr"]

    def run(trial: int, lr: float, val: float) -> dict[str, object]:
        config = f'{{"optimizer": {{"lr": {lr!r}}}}}'
        shared = {"config": config, "searched": searched, "status": "completed", "seed": 0, "group": 0}
        return dict.fromkeys(COLUMNS) | shared | {"trial": trial, "val": val, "stage": "tune"}

    losses = [(place + 0.25) ** 2 for place in (-1, 0, 1)]
    tuning = {i: [run(i, 10.0 ** (i - 3), loss)] for i, loss in enumerate(losses)}
    contender = Contender("a", tuning=tuning)  # type: ignore[arg-type]
    assert contender.searched == ("optimizer.lr",)
    assert contender.between_points(-1.0) == pytest.approx(0.25**2)
    assert math.isclose(contender.arm("val_metric", -1.0).between or 0.0, 0.25**2)
