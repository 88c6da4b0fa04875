"""Mean ranks over workloads, and without one of them."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.ranks import leave_one_out, mean_ranks, middle, on_every_workload

NAMES = ("adamw", "lion", "sgd")
SPAN = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda pair: (min(pair), max(pair)))
RANKS = st.dictionaries(
    st.sampled_from("vwxyz"), st.dictionaries(st.sampled_from(NAMES), SPAN, min_size=1), min_size=1, max_size=5
)
WORKED = {
    "vit": {"adamw": (1, 1), "lion": (2, 3), "sgd": (2, 3)},
    "mlp": {"adamw": (2, 2), "lion": (1, 1), "sgd": (3, 3)},
    "gan": {"adamw": (1, 2), "lion": (1, 2), "sgd": (3, 3)},
}


def test_mean_ranks_by_hand() -> None:
    found = mean_ranks(WORKED)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {"adamw": 1.5, "lion": 5 / 3, "sgd": 8.5 / 3}
    )
    assert found["sgd"].high == 3.0 and found["sgd"].n == 3  # no rank is beyond the last
    # sgd: 2.5, 3, 3 have a standard error of 1/6; t of two degrees of freedom is 4.302653
    assert found["sgd"].low == pytest.approx(8.5 / 3 - 4.302653 / 6)


def test_without_significant_differences_the_rank_interval_is_wide() -> None:
    ties = dict.fromkeys(NAMES, (1, 3))
    for one in mean_ranks({"vit": ties, "mlp": ties}).values():
        assert (one.value, one.low, one.high) == (2.0, 1.0, 3.0)


def test_one_workload_has_no_interval() -> None:
    found = mean_ranks({"vit": WORKED["vit"]})["lion"]
    assert (found.value, found.low, found.high) == (2.5, None, None)
    assert mean_ranks({}) == {} and leave_one_out({}) == []


def test_a_contender_without_a_workload_has_no_mean_rank() -> None:
    ranks = {**WORKED, "bert": {"adamw": (1, 1), "lion": (2, 2)}}
    assert on_every_workload(ranks) == list(mean_ranks(ranks)) == ["adamw", "lion"]


def test_without_a_workload_the_order_may_turn() -> None:
    found = {one.without: one for one in leave_one_out(WORKED)}
    assert list(found) == ["vit", "mlp", "gan"]
    assert found["vit"].order == ("lion", "adamw", "sgd")
    assert found["vit"].values == (1.25, 1.75, 3.0)
    assert found["gan"].order == ("adamw", "lion", "sgd")  # 1.5, 1.75, 2.75
    assert leave_one_out({"vit": WORKED["vit"]}) == []


@settings(deadline=None)
@given(RANKS)
def test_intervals_hold_the_mean_and_the_ranges(ranks: dict[str, dict[str, tuple[int, int]]]) -> None:
    most = max(len(found) for found in ranks.values())
    for name, one in mean_ranks(ranks).items():
        spans = [found[name] for found in ranks.values()]
        assert one.value == pytest.approx(statistics.fmean((low + high) / 2 for low, high in spans))
        if one.low is None:
            assert len(spans) == 1
        elif max(high for _, high in spans) <= most:
            assert 1 <= one.low <= statistics.fmean(low for low, _ in spans) + 1e-9
            assert statistics.fmean(high for _, high in spans) - 1e-9 <= one.high <= most


@given(RANKS)
def test_leaving_out_is_the_mean_of_the_rest(ranks: dict[str, dict[str, tuple[int, int]]]) -> None:
    for one in leave_one_out(ranks):
        rest = {name: found for name, found in ranks.items() if name != one.without}
        assert sorted(one.order) == on_every_workload(ranks)
        assert list(one.values) == sorted(one.values)
        for name, value in zip(one.order, one.values, strict=True):
            assert value == pytest.approx(statistics.fmean(middle(found[name]) for found in rest.values()))
