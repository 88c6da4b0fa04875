"""The Pareto front against a comparison of all pairs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.reports.statistics.measures.pareto import pareto

VALUE = st.one_of(st.none(), st.integers(0, 3).map(float))
POINTS = st.lists(st.tuples(VALUE, VALUE, VALUE), max_size=8)


def front(points: list[tuple[float | None, ...]], direction: str = "max") -> list[int]:
    named = [(str(i), *point) for i, point in enumerate(points)]
    found = pareto(named, direction)
    assert [(p.contender, p.quality, p.train_seconds, p.state_bytes) for p in found] == named
    return [i for i, point in enumerate(found) if point.front]


def test_four_contenders_by_hand() -> None:
    points = [(0.9, 10.0, 80.0), (0.8, 5.0, 80.0), (0.8, 10.0, 40.0), (0.8, 10.0, 80.0)]
    assert front(points) == [0, 1, 2]
    assert front(points, "min") == [1, 2]  # of losses, .9 is the worst and no cheaper


def test_equal_points_are_both_on_the_front() -> None:
    assert front([(0.9, 1.0, 1.0), (0.9, 1.0, 1.0)]) == [0, 1]


def test_points_with_unknown_values_are_not_on_the_front_and_dominate_none() -> None:
    assert front([(0.9, None, 1.0), (0.8, 2.0, 2.0)]) == [1]
    assert front([(math.nan, 1.0, 1.0), (0.8, 2.0, 2.0)]) == [1]


def test_without_times_the_other_costs_decide() -> None:
    assert front([(0.9, None, 4.0), (0.8, None, 4.0), (0.7, None, 2.0)]) == [0, 2]
    assert front([(0.9, None, None), (0.8, None, None)]) == [0]


@pytest.mark.parametrize("point", [(None, None, None), (None, 1.0, 1.0)])
def test_without_a_quality_there_is_no_front(point: tuple[float | None, ...]) -> None:
    assert front([point, point]) == []
    assert front([]) == []


@given(POINTS, st.sampled_from(["max", "min"]))
def test_the_front_equals_a_check_of_all_pairs(points: list[tuple[float | None, ...]], direction: str) -> None:
    used = [0, *(i for i in (1, 2) if any(point[i] is not None for point in points))]
    signs = (-1 if direction == "max" else 1, 1, 1)

    def beaten(point: tuple[float | None, ...], by: tuple[float | None, ...]) -> bool:
        if any(by[i] is None for i in used):
            return False
        worse = [signs[i] * (point[i] - by[i]) for i in used]
        return min(worse) >= 0 and max(worse) > 0

    expected = [
        i
        for i, point in enumerate(points)
        if all(point[k] is not None for k in used) and not any(beaten(point, other) for other in points)
    ]
    assert front(points, direction) == expected


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=8))
def test_some_point_is_on_the_front(points: list[tuple[float, float, float]]) -> None:
    assert front(points)
