"""Seeds' curves as one band, by hand and point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.bands import band


def lists(curves: list[tuple[list[float], list[float]]]) -> list[list[float]]:
    return [array.tolist() for array in band(curves)]


@st.composite
def curve(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    steps = sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=10)))
    value = st.one_of(st.floats(-100, 100), st.floats(-100, 100), st.sampled_from([math.nan, math.inf]))
    return steps, draw(st.lists(value, min_size=len(steps), max_size=len(steps)))


def test_two_seeds_on_the_same_steps() -> None:
    assert lists([([10, 20], [1.0, 4.0]), ([10, 20], [3.0, 2.0])]) == [[10, 20], [2, 3], [1, 2], [3, 4]]


def test_other_steps_are_interpolated() -> None:
    steps, mean, least, greatest = lists([([0, 10, 20], [0.0, 1.0, 2.0]), ([0, 20], [4.0, 0.0])])
    assert steps == [0, 10, 20]
    assert (mean, least, greatest) == ([2.0, 1.5, 1.0], [0.0, 1.0, 0.0], [4.0, 2.0, 2.0])


def test_the_band_ends_with_the_first_seed_that_ends() -> None:
    assert lists([([0, 10, 20, 30], [1.0] * 4), ([10, 20], [3.0, 3.0])])[0] == [10, 20]


def test_a_value_that_is_not_finite_ends_its_curve() -> None:
    assert lists([([0, 10, 20], [1.0, math.nan, 1.0]), ([0, 10, 20], [3.0] * 3)]) == [[0], [2], [1], [3]]


def test_a_seed_without_values_is_left_out() -> None:
    assert lists([([0, 10], [math.nan, 1.0]), ([0, 10], [3.0, 4.0])]) == [[0, 10], [3, 4], [3, 4], [3, 4]]
    assert lists([([0], [math.inf])]) == [[], [], [], []]


def test_no_curves_have_no_band() -> None:
    with pytest.raises(ValueError, match="a band needs a curve"):
        band([])


def test_seeds_that_share_no_step() -> None:
    assert lists([([0, 1], [1.0, 1.0]), ([5, 6], [2.0, 2.0])]) == [[], [], [], []]


@settings(deadline=None)
@given(st.lists(curve(), min_size=1, max_size=5))
def test_the_band_equals_a_loop_over_steps(curves: list[tuple[list[int], list[float]]]) -> None:
    def cut(steps: list[int], values: list[float]) -> dict[int, float]:
        found = {}
        for step, value in zip(steps, values, strict=True):
            if not math.isfinite(value):
                break
            found[step] = value
        return found

    def at(found: dict[int, float], step: float) -> float:
        left, right = max(s for s in found if s <= step), min(s for s in found if s >= step)
        return found[left] + (found[right] - found[left]) * ((step - left) / max(1, right - left))

    calm = [found for found in (cut(*one) for one in curves) if found]
    steps, mean, least, greatest = band(curves)
    for i, step in enumerate(steps):
        assert all(min(found) <= step <= max(found) for found in calm)  # never beyond an end
        here = [at(found, step) for found in calm]
        assert (least[i], greatest[i]) == pytest.approx((min(here), max(here)), abs=1e-9)
        assert mean[i] == pytest.approx(np.mean(here), abs=1e-9)
    if calm:
        longest = max(calm, key=len)
        inside = [s for s in longest if all(min(found) <= s <= max(found) for found in calm)]
        assert steps.tolist() == inside
