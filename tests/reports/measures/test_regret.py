"""Regret at defaults and after few trials, by hand."""

from __future__ import annotations

import math

import pytest

from optbench.reports.statistics.measures.regret import Tried, after, mean_default, regrets, scale_of

LEVEL = 0.95


def test_three_points_and_the_defaults_by_hand() -> None:
    """The best of 0.3, 0.6, 0.9 is 0.9 in two of three pairs."""
    found = regrets(Tried((0.3, 0.9, 0.6), 0.7, True), "max", LEVEL)
    assert found is not None and found.best == 0.9 and found.default.value == pytest.approx(0.2)
    assert [one.value for one in found.after] == pytest.approx([0.3, 0.1, 0.0])
    assert (found.after[0].low, found.after[0].high) == pytest.approx((0.0, 0.6))
    assert after(found, 4).value is None


def test_the_defaults_may_be_the_best() -> None:
    found = regrets(Tried((3.0, 2.0), 1.0, True), "min", LEVEL, scale=4.0)
    assert found is not None and found.best == 1.0 and found.default.value == 0.0
    assert [one.value for one in found.after] == pytest.approx([1.5 / 4, 1.0 / 4])


def test_failures() -> None:
    found = regrets(Tried((None, 0.5, 0.7), None, True), "max", LEVEL)
    assert found is not None and found.default.value is None
    assert found.after[0].value is None and found.after[1].value == pytest.approx((0.2 + 0 + 0) / 3)
    assert regrets(Tried((None, None)), "max", LEVEL) is None


def test_decades_are_logarithms() -> None:
    found = regrets(Tried((100.0, 1.0), 10.0, True), "min", LEVEL, decades=True, scale=math.log(1000))
    assert found is not None and found.default.value == pytest.approx(1 / 3)
    assert found.after[0].value == pytest.approx(1 / 3) and found.after[1].value == 0.0


def test_a_share_is_of_the_way_from_the_trivial_answer_to_the_best_of_all() -> None:
    tried = {"a": Tried((0.3, 0.6)), "b": Tried((0.2, None), 0.9, True)}
    assert scale_of(tried, 0.1, "max") == pytest.approx(0.8)
    assert scale_of(tried, 1.0, "max") is None and scale_of(tried, None, "max") is None
    assert scale_of({"a": Tried((2.0, 1.0))}, 4.0, "min") == 3.0
    assert scale_of({"a": Tried((2.0, 1.0))}, 4.0, "min", decades=True) == pytest.approx(math.log(4))


def test_the_mean_over_workloads_needs_all() -> None:
    assert mean_default([0.1, 0.3]) == pytest.approx(0.2)
    assert mean_default([0.1, None]) is None and mean_default([]) is None
