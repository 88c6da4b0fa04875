"""From points of the unit cube to values, and back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.config import Dimension
from optbench.config.dimensions import spec_of_dimension
from optbench.sweeps.study.space import Box, neighbour, position, rounded, value_at

LINEAR = Dimension("a", 0.0, 1.0)
LOG = Dimension("b", 1e-4, 1.0, log=True)
WHOLE = Dimension("c", 1, 4, integer=True)
LOG_WHOLE = Dimension("d", 1, 64, log=True, integer=True)
LISTED = Dimension("e", values=(0.1, 0.2, 0.7))


@pytest.mark.parametrize(
    ("dimension", "u", "value"),
    [
        (LINEAR, 0.0, 0.0),
        (LINEAR, 0.25, 0.25),
        (LINEAR, 0.123456789, 0.1235),  # four digits
        (LOG, 0.0, 1e-4),
        (LOG, 0.25, 1e-3),
        (LOG, 0.5, 1e-2),
        (LOG, 1.0, 1.0),
        (WHOLE, 0.0, 1),
        (WHOLE, 0.2499, 1),
        (WHOLE, 0.25, 2),
        (WHOLE, 0.9999, 4),
        (WHOLE, 1.0, 4),
        (LOG_WHOLE, 0.0, 1),  # round(exp(log 0.5)) is 0: kept within the bounds
        (LOG_WHOLE, 1.0, 64),
        (LISTED, 0.0, 0.1),
        (LISTED, 0.34, 0.2),
        (LISTED, 1.0, 0.7),
    ],
)
def test_values_by_hand(dimension: Dimension, u: float, value: float) -> None:
    found = value_at(dimension, u)
    assert found == value
    assert isinstance(found, int) == dimension.integer


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    log, integer = draw(st.booleans()), draw(st.booleans())
    if integer:
        low = draw(st.integers(1, 1000))
        return Dimension("k", low, low + draw(st.integers(1, 10_000)), log, True)
    low = draw(st.floats(1e-8, 1e3)) if log else draw(st.floats(-1e3, 1e3))
    return Dimension("k", low, low + (abs(low) + 1e-3) * draw(st.floats(0.01, 1e3)), log)


@given(dimensions(), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_values_lie_in_the_interval_in_the_order_of_their_coordinates(d: Dimension, u: float, v: float) -> None:
    low, high = sorted((u, v))
    a, b = value_at(d, low), value_at(d, high)
    margin = 0 if d.integer else 5e-4 * max(abs(d.low), abs(d.high))  # of four digits
    assert d.low - margin <= a <= b <= d.high + margin


@given(dimensions(), st.floats(0.001, 0.999))
def test_a_position_is_the_coordinate_again(d: Dimension, u: float) -> None:
    value = value_at(d, u)
    if d.integer:
        assert 0 <= position(d, value) <= 1
        return
    spacing = 10 ** (math.floor(math.log10(abs(value) or 1e-300)) - 3)  # of four digits
    width = math.log(d.high / d.low) * abs(value) if d.log else d.high - d.low
    assert position(d, value) == pytest.approx(u, abs=spacing / width + 1e-9)


@given(st.integers(1, 30), st.integers(1, 12))
def test_every_whole_number_has_the_same_share(low: int, count: int) -> None:
    d = Dimension("k", low, low + count, integer=True)
    found = [value_at(d, (i + 0.5) / (10 * (count + 1))) for i in range(10 * (count + 1))]
    assert {found.count(value) for value in range(low, low + count + 1)} == {10}


def test_a_box_takes_the_first_coordinates() -> None:
    box = Box((LINEAR, WHOLE))
    assert box.at([0.5, 0.5, 0.9]) == {"a": 0.5, "c": 3}
    assert len(box) == 2


# -- edges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ({"a": 0.5, "b": 1e-2, "c": 2, "e": 0.1}, []),  # a list has no edges
        ({"a": 0.09, "b": 1e-2, "c": 2, "e": 0.1}, [("a", "low")]),
        ({"a": 0.1, "b": 1e-2, "c": 2, "e": 0.1}, []),
        ({"a": 0.95, "b": 0.5, "c": 4, "e": 0.7}, [("a", "high"), ("b", "high"), ("c", "high")]),
        ({"a": 0.5, "b": 2e-4, "c": 1, "e": 0.7}, [("b", "low"), ("c", "low")]),  # of a logarithm: 0.075
        ({"a": 0.5, "b": 3e-4, "c": 3, "e": 0.7}, []),  # 0.119
    ],
)
def test_edges_are_the_outermost_share_on_the_scale_of_the_interval(
    values: dict[str, Any], edges: list[tuple[str, str]]
) -> None:
    assert Box((LINEAR, LOG, WHOLE, LISTED)).edges(values, 0.1) == edges


@pytest.mark.parametrize(
    ("dimension", "side", "low", "high"),
    [
        (LINEAR, "high", 1.0, 1.5),
        (LINEAR, "low", -0.5, 0.0),
        (LOG, "high", 1.0, 100.0),
        (LOG, "low", 1e-6, 1e-4),
        (LOG_WHOLE, "high", 64, 512),
        (Dimension("k", 2, 9, integer=True), "high", 9, 13),  # half of 7, whole
        (Dimension("k", 4, 9, log=True, integer=True), "low", 2, 4),  # 4 / 1.5 is 2.67
        (LOG_WHOLE, "low", 1, 64),  # there is nothing below 1
        (Dimension("k", 1, 2, integer=True), "high", 2, 3),
    ],
)
def test_the_neighbour_is_half_as_wide_on_its_own_scale(
    dimension: Dimension, side: str, low: float, high: float
) -> None:
    found = neighbour(dimension, side)
    assert (found.low, found.high) == (low, high)
    assert (found.log, found.integer) == (dimension.log, dimension.integer)


def test_beyond_moves_only_what_lies_on_an_edge_and_joined_covers_both() -> None:
    box = Box((LINEAR, LOG, LISTED))
    moved = box.beyond([("b", "low")])
    assert moved.dimensions == (LINEAR, Dimension("b", 1e-6, 1e-4, log=True), LISTED)
    assert box.joined(moved).dimensions == (LINEAR, Dimension("b", 1e-6, 1.0, log=True), LISTED)


def test_words_are_those_of_yaml() -> None:
    assert [spec_of_dimension(d) for d in (LINEAR, LOG, WHOLE, LOG_WHOLE, LISTED)] == [
        "[0, 1]",
        "log [0.0001, 1]",
        "int [1, 4]",
        "log int [1, 64]",
        "{0.1, 0.2, 0.7}",
    ]


@pytest.mark.parametrize(("value", "expected"), [(0.0123456, 0.01235), (12345.6, 12350.0), (0.0, 0.0), (-1.00004, -1)])
def test_four_digits(value: float, expected: float) -> None:
    assert rounded(value) == expected
