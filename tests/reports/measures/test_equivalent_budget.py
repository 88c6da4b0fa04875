"""Reference-equivalent budgets: by hand, and the coverage of their intervals by simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from optbench.reports.model.rows import Estimate
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures.equivalent_budget import (
    AT_LEAST,
    AT_MOST,
    Equivalent,
    equivalent,
    geometric_mean,
    inverse,
    isotonic,
    ladders,
    summary,
    without_curve,
)

LEVEL = 0.95
BUDGETS = (0.25, 0.5, 1.0)
SEEDS = (-0.01, 0.0, 0.01)


def arms(levels: Mapping[str, Sequence[float]], seeds: Sequence[float] = SEEDS) -> dict[str, dict[float, Arm]]:
    """Return contenders by budget, with seeds around their levels."""
    return {
        name: {b: Arm(name, tuple(mean + seed for seed in seeds)) for b, mean in zip(BUDGETS, means, strict=True)}
        for name, means in levels.items()
    }


def ratios(
    levels: Mapping[str, Sequence[float]], seeds: Sequence[float] = SEEDS, decades: bool = False
) -> dict[float, Equivalent]:
    """Return contender `c` against reference `r` by budget."""
    rungs = ladders(arms(levels, seeds), decades)
    return {rung.budget: equivalent(rung, rungs["r"], LEVEL) for rung in rungs["c"]}


def test_the_budget_at_which_the_reference_reaches_the_same() -> None:
    """The reference gains 0.4 and 0.2 in two doublings. 0.5 at half the budget is 0.7 at half way of the last one."""
    found = ratios({"r": (0.0, 0.4, 0.6), "c": (0.2, 0.5, 0.4)})
    assert [one.ratio.value for one in found.values()] == pytest.approx([2**0.5, 2**0.5, 0.5])
    assert all(one.bound == "" for one in found.values()) and summary(found) == 1.0
    one = found[0.5].ratio
    assert one.low is not None and one.high is not None and one.low < 2**0.5 < one.high and one.n == 3


def test_beyond_the_ladder_there_are_bounds_only() -> None:
    found = ratios({"r": (0.0, 0.4, 0.6), "c": (-0.5, 0.9, 0.9)})
    assert [(one.bound, one.ratio.value) for one in found.values()] == [
        (AT_MOST, 1.0),
        (AT_LEAST, 2.0),
        (AT_LEAST, 1.0),
    ]
    assert found[0.25].ratio.low == 0.0 and found[0.5].ratio.high == math.inf == found[1.0].ratio.high
    assert summary(found) == 1.0  # all are bounds
    ahead = ratios({"r": (0.0, 0.4, 0.6), "c": (0.2, 0.5, 0.9)})
    assert summary(ahead) == 0.5 and ahead[1.0].bound == AT_LEAST
    assert summary({}) is None


def test_a_metric_over_decades_is_compared_by_its_logarithm() -> None:
    levels = {"r": (-100.0, -10.0, -1.0), "c": (-(10**1.5), -5.0, -1.0)}
    assert ratios(levels, (0.0, 0.0), decades=True)[0.25].ratio.value == pytest.approx(2**0.5)
    assert ratios(levels, (0.0, 0.0))[0.25].ratio.value == pytest.approx(2 ** ((100 - 10**1.5) / 90))


def test_a_flat_ladder_has_no_curve() -> None:
    rungs = ladders(arms({"flat": (0.5, 0.52, 0.505), "falls": (0.9, 0.5, 0.1), "rises": (0.1, 0.2, 0.3)}))
    assert "flat within noise: 1 of the budget is not shown to be better than 0.25" in without_curve(
        rungs["flat"], LEVEL
    )
    assert "flat within noise" in without_curve(rungs["falls"], LEVEL)
    assert without_curve(rungs["rises"], LEVEL) == ""
    assert without_curve(rungs["rises"][:1], LEVEL) == "it has a single budget"
    single = ladders(arms({"r": (0.1, 0.2, 0.3)}, (0.0,)))["r"]
    assert "fewer than two seeds" in without_curve(single, LEVEL)


def test_a_failed_seed_counts_as_the_trivial_answer() -> None:
    r = arms({"r": (0.0, 0.4, 0.8)}, (0.0, 0.0))
    c = {0.5: Arm("c", (0.8,), failed=1, trivial=0.0), 1.0: Arm("c", ())}
    (rung,) = ladders({**r, "c": c})["c"]  # nothing ran at the whole budget
    assert equivalent(rung, ladders({**r, "c": c})["r"], LEVEL).ratio.value == pytest.approx(1.0)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 9)), min_size=2, max_size=6))
def test_the_fit_is_isotonic_regression(points: list[tuple[float, int]]) -> None:
    means, weights = (np.array(column, float) for column in zip(*points, strict=True))
    assert isotonic(means[None], weights)[0] == pytest.approx(isotonic_regression(means, weights=weights).x, abs=1e-9)


def test_the_inverse_is_the_smallest_place() -> None:
    x, curve = np.array([0.0, 1.0, 2.0]), np.array([[0.0, 0.5, 0.5]])
    places = [float(inverse(x, curve, np.array([y]))[0]) for y in (-0.1, 0.0, 0.25, 0.5, 0.6)]
    assert places == [-math.inf, 0.0, 0.5, 1.0, math.inf]


def test_the_mean_over_workloads_is_geometric_and_a_bound_makes_it_one() -> None:
    two, eight = Equivalent(Estimate(2.0, 1.0, 4.0, 3)), Equivalent(Estimate(8.0, 4.0, math.inf, 3))
    both = geometric_mean([two, eight])
    assert both is not None and both.ratio.value == pytest.approx(4.0) and both.ratio.high == math.inf
    assert both.ratio.low == pytest.approx(4.0 / 2 ** (2**0.5 / 2)) and both.bound == ""
    bounded = geometric_mean([two, Equivalent(Estimate(2.0, 1.0, math.inf, 3), AT_LEAST)])
    assert bounded is not None and bounded.bound == AT_LEAST and bounded.ratio.value == pytest.approx(2.0)
    assert geometric_mean([Equivalent(Estimate(1.0), AT_LEAST), Equivalent(Estimate(1.0), AT_MOST)]) is None
    assert geometric_mean([]) is None


# -- coverage ----------------------------------------------------------------------------------------------------------


def tuned(random: np.random.Generator, level: float, sd: float, seeds: int, trials: int = 8) -> Arm:
    """Return a contender that chose among trials near the best."""
    true = level - 2 * sd * np.linspace(0, 1, trials) ** 2
    scores = true + sd * random.standard_normal(trials)
    winner = int(scores.argmax())
    values = true[winner] + sd * random.standard_normal(seeds)
    return Arm("", tuple(values), scores=tuple(scores), winner=winner)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 4, 8])
@pytest.mark.parametrize("curve", [(0.0, 0.5, 0.8), (0.0, 0.45, 0.5), (0.0, 0.05, 0.5)])
def test_intervals_cover(seeds: int, curve: tuple[float, float, float]) -> None:
    """The truth is the ratio of the true means; beyond the ladder it is an open end."""
    random, sd, hits = np.random.default_rng(seeds), 0.05, []
    x, true = np.log(BUDGETS), (0.2 * curve[2], 0.7 * curve[2], curve[2])
    for _ in range(300):
        noisy = {
            name: {
                b: Arm(name, tuple(m + sd * random.standard_normal(seeds))) for b, m in zip(BUDGETS, of, strict=True)
            }
            for name, of in (("r", curve), ("c", true))
        }
        rungs = ladders(noisy)
        if without_curve(rungs["r"], LEVEL):
            continue
        for rung, mean in zip(rungs["c"], true, strict=True):
            place = float(inverse(x, np.array([curve]), np.array([mean]))[0])
            found = equivalent(rung, rungs["r"], LEVEL).ratio
            assert found.low is not None and found.high is not None
            hits.append(found.low * 0.999 <= math.exp(place) / rung.budget <= found.high * 1.001)
    assert 0.93 <= float(np.mean(hits)) <= 0.995


@pytest.mark.slow
def test_the_reference_against_itself_is_rarely_different() -> None:
    """Both are tuned by eight trials of nearly the same quality, whose choice is the larger part of the noise."""
    random, sd, studies, false = np.random.default_rng(0), 0.03, 300, 0
    for _ in range(studies):
        noisy = {
            name: {b: tuned(random, m, sd, 4) for b, m in zip(BUDGETS, (0.0, 0.4, 0.6), strict=True)} for name in "rc"
        }
        rungs = ladders(noisy)
        found = {rung.budget: equivalent(rung, rungs["r"], LEVEL) for rung in rungs["c"]}
        stands = found[summary(found) or 1.0].ratio
        assert stands.low is not None and stands.high is not None
        false += not stands.low <= 1.0 <= stands.high
    assert false / studies <= 0.05
