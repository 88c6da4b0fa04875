"""Memory and speed relative to the reference."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.resources import phases, resources

EMPTY: dict[str, Any] = {
    "state_bytes": None,
    "parameter_bytes": None,
    "peak_bytes": None,
    "samples_per_second": None,
    "step_ms_median": None,
    "seconds": None,
    "shared": False,
    "core_wait_share": None,
}


def run(**known: Any) -> dict[str, Any]:
    return EMPTY | known


FAST = [run(samples_per_second=400.0), run(samples_per_second=100.0)]
SLOW = [run(samples_per_second=50.0), run(samples_per_second=200.0)]


def test_a_row_by_hand() -> None:
    runs = [
        run(state_bytes=80, parameter_bytes=40, peak_bytes=900, step_ms_median=2.0, samples_per_second=100.0),
        run(state_bytes=84, parameter_bytes=40, peak_bytes=800, step_ms_median=4.0, samples_per_second=200.0),
    ]
    found = resources("adamw", runs, runs)
    assert (found.state_bytes, found.parameter_bytes, found.peak_bytes) == (84, 40, 900)
    assert (found.state_per_parameter, found.step_ms.value, found.samples_per_second.value) == (2.1, 3.0, 150.0)
    assert (found.relative_speed.value, found.relative_speed.low) == (1.0, None)  # the reference against itself
    assert not found.shared_device


def test_relative_speed_is_of_geometric_means() -> None:
    found = resources("lion", FAST, SLOW).relative_speed
    assert found.value == pytest.approx(math.sqrt(400 * 100) / math.sqrt(50 * 200))
    assert found.low < found.value < found.high


def test_one_run_on_a_side_has_no_interval() -> None:
    found = resources("lion", FAST[:1], SLOW).relative_speed
    assert found.value == pytest.approx(4.0) and found.low is None


@pytest.mark.parametrize(("runs", "reference"), [(FAST, []), ([], SLOW), (FAST, [run()]), ([run()], SLOW)])
def test_without_a_speed_on_both_sides_there_is_no_ratio(runs: list[Any], reference: list[Any]) -> None:
    assert resources("lion", runs, reference).relative_speed.value is None


def test_no_state_is_not_an_unknown_one() -> None:
    stateless = resources("sgd", [run(state_bytes=0, parameter_bytes=40)], [])
    assert (stateless.state_bytes, stateless.state_per_parameter) == (0, 0.0)
    unknown = resources("sgd", [run(parameter_bytes=40)], [])
    assert (unknown.state_bytes, unknown.state_per_parameter) == (None, None)
    assert resources("sgd", [run(state_bytes=4, parameter_bytes=0)], []).state_per_parameter is None


def test_times_that_may_not_be_compared_are_left_out_and_memory_is_not() -> None:
    timed = run(samples_per_second=9.0, step_ms_median=1.0, seconds={"forward": 1.0}, state_bytes=8, shared=True)
    found = resources("lion", [timed], [timed], times=False)
    assert (found.samples_per_second.value, found.step_ms.value, found.relative_speed.value) == (None, None, None)
    assert (found.seconds, found.state_bytes, found.shared_device) == ({}, 8, True)


def test_phases_are_means_over_runs() -> None:
    one, two = run(seconds={"data": 1.0, "forward": 3.0}), run(seconds={"forward": 5.0, "compile": 2.0})
    assert phases([one, two]) == {"data": 0.5, "forward": 4.0, "compile": 1.0}
    assert list(phases([one, two])) == ["data", "forward", "compile"]
    assert phases([run(), run(seconds={"data": None})]) == {"data": 0.0}


SPEEDS = st.lists(st.floats(0.1, 1e5), min_size=2, max_size=6)


@settings(deadline=None)
@given(SPEEDS, SPEEDS)
def test_swapping_sides_inverts_the_ratio(a: list[float], b: list[float]) -> None:
    one, two = ([run(samples_per_second=speed) for speed in speeds] for speeds in (a, b))
    there, back = resources("x", one, two).relative_speed, resources("x", two, one).relative_speed
    assert there.value == pytest.approx(1 / back.value)
    if a != b:
        assert there.low * back.high == pytest.approx(1)
