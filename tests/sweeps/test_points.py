"""Points of the unit cube."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.config import Dimension
from optbench.errors import ConfigError
from optbench.sweeps.search.points import COORDINATES, grid, prime_factors, unit_points
from optbench.sweeps.search.search import make_search
from optbench.sweeps.search.sobol import direction_table
from optbench.sweeps.study.space import Box

ONE = Box((Dimension("a", 0.0, 1.0),))
TWO = Box((Dimension("a", 0.0, 1.0), Dimension("b", 1e-4, 1.0, log=True)))
THREE = Box((*TWO.dimensions, Dimension("c", 1, 8, integer=True)))
WITH_A_LIST = Box((Dimension("a", 0.0, 1.0), Dimension("e", values=(1, 2, 3))))
KINDS = ("sobol", "halton", "random")


@pytest.mark.parametrize("sampler", KINDS)
def test_the_same_seed_gives_the_same_points_and_another_others(sampler: str) -> None:
    points = make_search(sampler, TWO, 16, 0).ask()
    assert points == make_search(sampler, TWO, 16, 0).ask()
    assert points != make_search(sampler, TWO, 16, 1).ask()
    assert all(0 <= u < 1 for point in points for u in point)
    assert len({tuple(point) for point in points}) == 16


@pytest.mark.parametrize("seed", [0, (0, 0), (7, 1)])
@pytest.mark.parametrize("coordinates", [1, 2, COORDINATES])
@pytest.mark.parametrize("count", [0, 1, 3, 16, 1000])
@pytest.mark.filterwarnings("ignore:The balance properties")
def test_sobol_points_are_scipys(seed: int | tuple[int, int], coordinates: int, count: int) -> None:
    from scipy.stats import qmc

    sampler = qmc.Sobol(coordinates, scramble=True, seed=numpy.random.default_rng(seed))
    assert unit_points("sobol", coordinates, count, seed) == sampler.random(count).tolist()


def test_a_scipy_with_its_table_elsewhere_gives_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    found = unit_points("sobol", COORDINATES, 12, 5)
    monkeypatch.setattr("optbench.sweeps.search.sobol.DIRECTIONS", "stats/elsewhere.npz")
    assert direction_table() is None
    assert unit_points("sobol", COORDINATES, 12, 5) == found


@pytest.mark.parametrize("sampler", KINDS)
def test_more_trials_begin_with_those_of_fewer(sampler: str) -> None:
    assert make_search(sampler, TWO, 32, 0).ask()[:16] == make_search(sampler, TWO, 16, 0).ask()
    assert make_search(sampler, TWO, 16, 0, first=16).ask() == make_search(sampler, TWO, 32, 0).ask()[16:]


@pytest.mark.parametrize("sampler", KINDS)
def test_every_optimizer_sees_the_same_points_whatever_its_box(sampler: str) -> None:
    points = {box: make_search(sampler, box, 8, 0).ask() for box in (ONE, TWO, THREE)}
    assert points[ONE] == points[TWO] == points[THREE]


def test_points_are_returned_once() -> None:
    search = make_search("sobol", TWO, 4, 0)
    assert len(search.ask()) == 4
    search.tell([1.0, None, 2.0, 3.0])
    assert search.ask() == []


def test_a_box_of_more_dimensions_than_coordinates_gets_as_many() -> None:
    wide = Box(tuple(Dimension(f"k{i}", 0.0, 1.0) for i in range(COORDINATES + 4)))
    assert {len(point) for point in make_search("sobol", wide, 4, 0).ask()} == {COORDINATES + 4}


@pytest.mark.parametrize("sampler", ["sobol", "halton"])
def test_quasi_random_points_are_spread_better_than_random_ones(sampler: str) -> None:
    from scipy.stats import qmc

    def discrepancy(kind: str) -> float:
        found = [qmc.discrepancy([p[:2] for p in unit_points(kind, COORDINATES, 64, seed)]) for seed in range(8)]
        return sum(found) / len(found)

    assert discrepancy(sampler) < 0.3 * discrepancy("random")


@pytest.mark.parametrize("coordinate", range(4))
def test_sixteen_sobol_points_lie_one_in_each_sixteenth_of_every_dimension(coordinate: int) -> None:
    points = unit_points("sobol", COORDINATES, 16, 0)
    assert sorted(int(16 * point[coordinate]) for point in points) == list(range(16))


# -- the grid ----------------------------------------------------------------------------------------------------------


def levels(points: list[list[float]], dimensions: int) -> list[int]:
    return [len({point[i] for point in points}) for i in range(dimensions)]


@pytest.mark.parametrize(
    ("box", "trials", "expected"),
    [
        (TWO, 16, [4, 4]),
        (TWO, 12, [3, 4]),
        (TWO, 7, [7, 1]),
        (THREE, 8, [2, 2, 2]),
        (THREE, 30, [5, 3, 2]),
        (WITH_A_LIST, 12, [4, 3]),
        (WITH_A_LIST, 3, [1, 3]),
    ],
)
def test_grids_by_hand(box: Box, trials: int, expected: list[int]) -> None:
    points = grid(box, trials)
    assert levels(points, len(box)) == expected
    assert math.prod(expected) == trials


@given(st.integers(1, 200), st.sampled_from([ONE, TWO, THREE]))
def test_a_grid_has_exactly_the_requested_trials_in_any_box(trials: int, box: Box) -> None:
    points = grid(box, trials)
    assert len(points) == len({tuple(point) for point in points}) == trials
    assert all(0 < u < 1 for point in points for u in point)


def test_a_grid_hits_no_edge_and_every_value_of_a_list() -> None:
    points = [WITH_A_LIST.at(point) for point in grid(WITH_A_LIST, 6)]
    assert sorted((p["a"], p["e"]) for p in points) == [(a, e) for a in (0.25, 0.75) for e in (1, 2, 3)]


LIST_ALONE = Box((WITH_A_LIST.dimensions[1],))


@pytest.mark.parametrize(
    ("box", "trials", "message", "hint"),
    [
        (WITH_A_LIST, 16, "--sampler grid: 16 trials are not a multiple of the 3 listed values", "Say --trials 15"),
        (WITH_A_LIST, 2, "--sampler grid: 2 trials are not a multiple of the 3 listed values", "Say --trials 3"),
        (LIST_ALONE, 6, "--sampler grid: the listed values make 3 trials, not 6", "Say --trials 3"),
        (LIST_ALONE, 4, "--sampler grid: the listed values make 3 trials, not 4", "Say --trials 3"),
    ],
)
def test_a_grid_that_does_not_fit_says_which_number_does(box: Box, trials: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        grid(box, trials)
    assert caught.value.args[0] == message
    assert caught.value.hint == hint


def test_an_unknown_sampler() -> None:
    with pytest.raises(ConfigError, match="--sampler sobl: unknown sampler"):
        make_search("sobl", TWO, 4, 0)


@given(st.integers(1, 100_000))
def test_prime_factors(number: int) -> None:
    factors = prime_factors(number)
    assert math.prod(factors) == number
    assert all(factor % divisor for factor in factors for divisor in range(2, math.isqrt(factor) + 1))
