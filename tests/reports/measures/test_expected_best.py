"""Performance against tuning budget, against every subset of the trials."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.reports.statistics.measures.expected_best import best_of, budget_curve, quantile

METRIC = st.one_of(st.none(), st.integers(-20, 20).map(lambda n: n / 4))
FEW = st.lists(METRIC, max_size=7)
DIRECTION = st.sampled_from(["max", "min"])


def better(direction: str):
    return max if direction == "max" else min


def bests(values: list[float | None], n: int, direction: str) -> list[float | None]:
    """Return the best of every subset of n trials; None: all of them failed."""
    found = []
    for subset in itertools.combinations(values, n):
        known = [value for value in subset if value is not None]
        found.append(better(direction)(known) if known else None)
    return found


def test_three_trials_by_hand() -> None:
    curve = budget_curve("lion", [0.3, 0.9, 0.6], "max", evaluated_samples=64.0)
    assert curve.trials == (1, 2, 3)
    # one trial: the mean; two: {.3 .9} {.9 .6} {.3 .6} -> (.9 + .9 + .6) / 3; three: the best
    assert curve.expected == pytest.approx((0.6, 0.8, 0.9))
    assert (curve.low, curve.high) == ((0.3, 0.6, 0.9), (0.9, 0.9, 0.9))
    assert (curve.contender, curve.evaluated_samples) == ("lion", 64.0)


def test_a_failed_trial_is_worse_than_any() -> None:
    curve = budget_curve("lion", [2.0, None, 1.0], "min")
    assert curve.expected == (None, pytest.approx(4 / 3), 1.0)  # {2 -} {2 1} {- 1} -> (2 + 1 + 1) / 3
    assert curve.low == (1.0, 1.0, 1.0)
    assert curve.high == (None, 2.0, 1.0)


def test_the_other_metric_of_the_trial_that_is_chosen() -> None:
    """By validation the order is 0.3, 0.6, 0.9; test is 0.5, 0.1 and 0.4 there."""
    curve = budget_curve("a", [0.3, 0.9, 0.6], "max", headline=[0.5, 0.4, 0.1])
    assert curve.headline == pytest.approx(((0.5 + 0.4 + 0.1) / 3, (0.4 + 0.4 + 0.1) / 3, 0.4))
    least = budget_curve("a", [0.3, 0.9, 0.6], "min", headline=[0.5, 0.4, 0.1])
    assert least.headline == pytest.approx((1 / 3, (0.5 + 0.5 + 0.1) / 3, 0.5))
    failed = budget_curve("a", [0.3, None, 0.6], "max", headline=[0.5, None, 0.1])
    assert failed.headline == (None, pytest.approx((0.1 + 0.1 + 0.5) / 3), 0.1)
    tied = budget_curve("a", [0.3, 0.3], "max", headline=[0.0, 1.0])
    assert tied.headline == (0.5, 0.5)
    assert budget_curve("a", [0.3, 0.6], "max", headline=[0.5, None]).headline == ()


@pytest.mark.parametrize("failure", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", ["max", "min"])
def test_nonfinite_metrics_have_failed(failure: float, direction: str) -> None:
    assert budget_curve("a", [1.0, failure, 3.0], direction) == budget_curve("a", [1.0, None, 3.0], direction)


def test_no_trials_and_only_failures() -> None:
    assert budget_curve("a", [], "max").trials == ()
    nothing = budget_curve("a", [None, None], "max")
    assert nothing.expected == nothing.low == nothing.high == (None, None)


@given(FEW, DIRECTION)
def test_the_expectation_is_the_mean_over_all_subsets(values: list[float | None], direction: str) -> None:
    curve = budget_curve("a", values, direction)
    for n, expected in zip(curve.trials, curve.expected, strict=True):
        found = bests(values, n, direction)
        if None in found:
            assert expected is None
        else:
            assert expected == pytest.approx(statistics.fmean(found), abs=1e-9)


@given(FEW, DIRECTION, st.sampled_from([0.5, 0.8, 0.95]))
def test_the_band_holds_its_share_of_the_orders(values: list[float | None], direction: str, level: float) -> None:
    curve = budget_curve("a", values, direction, level)
    sign = 1 if direction == "max" else -1
    for n, low, high in zip(curve.trials, curve.low, curve.high, strict=True):
        found = sorted(-math.inf if best is None else sign * best for best in bests(values, n, direction))
        worst, best = (low, high) if sign > 0 else (high, low)
        at_worst, at_best = (-math.inf if end is None else sign * end for end in (worst, best))
        assert sum(at_worst <= value <= at_best for value in found) >= level * len(found) - 1e-9
        tail = (1 - level) / 2 * len(found) + 1e-9
        assert sum(value < at_worst for value in found) <= tail  # and no more than the tail beyond either end
        assert sum(value > at_best for value in found) <= tail


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_more_trials_never_expect_less(values: list[float]) -> None:
    curve = budget_curve("a", values, "max")
    slack = 1e-9 * (1 + max(map(abs, values)))
    for few, more in itertools.pairwise(curve.expected):
        assert more >= few - slack
    assert curve.expected[-1] == pytest.approx(max(values), abs=slack)
    assert curve.expected[0] == pytest.approx(statistics.fmean(values), abs=slack)


@given(st.integers(1, 200), st.data())
def test_the_shares_sum_to_one(total: int, data: st.DataObject) -> None:
    assert math.fsum(best_of(data.draw(st.integers(1, total)), total)) == pytest.approx(1)


def test_a_quantile_is_the_first_to_reach_it() -> None:
    assert [quantile([0.2, 0.3, 0.5], q) for q in (0.1, 0.2, 0.5, 0.51, 1.0)] == [0, 0, 1, 2, 2]
