"""The cost of reaching the target, with seeds that did not."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.to_target import Cost, complete, first_passing, passing, reaches

COSTS = st.lists(st.one_of(st.none(), st.integers(1, 50)), max_size=9)


def costs(steps: list[int | None]) -> list[Cost | None]:
    return [None if n is None else Cost(n, 8 * n, n / 10, n / 5, 100 * n) for n in steps]


def test_at_the_target_is_reached_and_nan_is_not() -> None:
    assert reaches(0.9, 0.9, "max") and reaches(0.95, 0.9, "max") and not reaches(0.89, 0.9, "max")
    assert reaches(0.9, 0.9, "min") and reaches(0.85, 0.9, "min") and not reaches(0.91, 0.9, "min")
    for direction in ("max", "min"):
        assert not reaches(None, 0.9, direction) and not reaches(math.nan, 0.9, direction)


@given(st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(-2, 2)), max_size=20), st.floats(-2, 2))
def test_the_first_passing_has_none_before_it(values: list[float | None], target: float) -> None:
    for direction, beyond in (("max", lambda v: v >= target), ("min", lambda v: v <= target)):
        passed = [i for i, v in enumerate(values) if v is not None and not math.isnan(v) and beyond(v)]
        assert first_passing(values, target, direction) == (min(passed) if passed else None)


def test_a_passing_by_hand() -> None:
    found = passing("lion", costs([30, None, 10]))
    assert (found.kind, found.reached, found.of, found.budget) == ("passing", 2, 3, None)
    assert (found.steps.value, found.samples.value, found.train_seconds.value) == (30, 240, 3.0)
    assert (found.wall_seconds.value, found.flops.value) == (6.0, 3000)
    assert passing("lion", costs([30, None, None])).steps.value is None  # the median has not reached it
    assert passing("lion", []).steps.value is None


def test_an_unknown_cost_of_one_seed_has_no_median() -> None:
    found = passing("lion", [Cost(10, train_seconds=1.0), Cost(20), Cost(30, train_seconds=3.0)])
    assert (found.steps.value, found.train_seconds.value) == (20, None)


@settings(deadline=None)
@given(COSTS)
def test_the_median_counts_censored_seeds_as_last(steps: list[int | None]) -> None:
    found = passing("a", costs(steps)).steps
    median = statistics.median([math.inf if n is None else n for n in steps]) if steps else math.inf
    assert found.value == (median if math.isfinite(median) else None)
    if found.low is not None and found.value is not None:
        assert found.low <= found.value


def test_the_ladder_by_hand() -> None:
    ladder = {1.0: costs([40, 40, 40]), 0.5: costs([20, None, 20]), 0.25: costs([None, 10, None])}
    found = complete("lion", ladder)
    assert (found.kind, found.budget, found.reached, found.of, found.steps.value) == ("complete", 0.5, 2, 3, 20)


def test_half_of_the_seeds_are_not_enough_for_a_budget_nor_for_a_median() -> None:
    found = complete("lion", {1.0: costs([40, None])})
    assert (found.budget, found.reached, found.steps.value) == (None, 1, None)


def test_a_ladder_that_never_ends_at_the_target() -> None:
    found = complete("lion", {0.5: costs([None, None, None]), 1.0: costs([None, 40, None])})
    assert (found.budget, found.reached, found.of, found.steps.value) == (None, 1, 3, None)
    assert (complete("lion", {}).of, complete("lion", {}).budget) == (0, None)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([0.125, 0.25, 0.5, 1.0]), COSTS))
def test_the_budget_is_the_least_that_does(ladder: dict[float, list[int | None]]) -> None:
    does = [budget for budget, steps in ladder.items() if steps and sum(n is not None for n in steps) > len(steps) / 2]
    found = complete("a", {budget: costs(steps) for budget, steps in ladder.items()})
    assert found.budget == (min(does) if does else None)
    if does:
        assert found.steps.value is not None
        assert found.of == len(ladder[min(does)])


@pytest.mark.parametrize("word", ["steps", "samples", "train_seconds", "wall_seconds", "flops"])
def test_every_quantity_has_its_interval_with_six_seeds(word: str) -> None:
    found = getattr(passing("a", costs([10, 20, 30, 40, 50, 60])), word)
    assert found.low < found.value < found.high and found.n == 6
