"""Measures along an axis: the span of the means, and the cost of a learning rate that was tuned elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.reports.model.rows import Estimate
from optbench.reports.statistics.difference import Arm, difference
from optbench.reports.statistics.measures.axis_span import axis_span
from optbench.reports.statistics.measures.equivalent_budget import equivalent, ladders, log
from optbench.reports.statistics.measures.equivalent_trend import ratio_trend, trend
from optbench.reports.statistics.measures.rate_transfer import (
    Curve,
    best_between,
    cost,
    difference_of_costs,
    shift,
    transferred,
)

LEVEL = 0.95
RATES = (1e-4, 1e-3, 1e-2, 1e-1)
QUIET = (0.9, 0.9 + 1e-6, 0.9 - 1e-6)


def arm(*values: float, **more: float) -> Arm:
    return Arm("adamw", values, **more)


def curve(
    *means: float, finals: tuple[float, ...] = QUIET, rates: tuple[float, ...] = RATES, floor: float = 0.0
) -> Curve:
    return Curve(rates, tuple((mean,) for mean in means), finals, floor)


# -- span --------------------------------------------------------------------------------------------------------------


def test_span_of_two_values_is_their_difference_with_its_interval() -> None:
    a, b = arm(0.9, 0.91, 0.92), arm(0.8, 0.81, 0.82)
    found, pair = axis_span([a, b], LEVEL), difference(a, b)
    assert pair is not None and found.value == pytest.approx(0.1) and found.n == 3
    assert found.low == pytest.approx(0.1 - pair.half_width(LEVEL))
    assert found.high == pytest.approx(0.1 + pair.half_width(LEVEL))


def test_span_takes_the_outermost_means_and_corrects_its_lower_end() -> None:
    arms = [arm(0.9, 0.91, 0.92), arm(0.85, 0.86, 0.87), arm(0.8, 0.81, 0.82)]
    found, pair = axis_span(arms, LEVEL), difference(arms[0], arms[2])
    assert pair is not None and found.value == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1 + pair.half_width(LEVEL))
    assert found.low == pytest.approx(0.1 - pair.half_width(1 - 0.05 / 3))


def test_span_is_not_below_zero_and_needs_two_seeds_without_failures() -> None:
    assert axis_span([arm(0.9, 0.8), arm(0.8, 0.9)], LEVEL).low == 0.0
    assert axis_span([arm(0.9, 0.8), arm(0.8)], LEVEL).high is None
    assert axis_span([arm(0.9, 0.8), arm(0.8, 0.9, failed=1)], LEVEL).high is None
    assert axis_span([arm(0.9, 0.8), arm()], LEVEL).value is None


@pytest.mark.slow
@pytest.mark.parametrize("means", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.5, 1.0, 1.5), (0.0, 0.0, 0.0, 3.0), (0.0, 1.0)])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_of_spans_cover(means: tuple[float, ...], seeds: int) -> None:
    random, true = np.random.default_rng(0), max(means) - min(means)
    studies, missed = 1500, 0
    for _ in range(studies):
        found = axis_span([arm(*(mean + random.standard_normal(seeds)).tolist()) for mean in means], LEVEL)
        assert found.low is not None and found.high is not None
        missed += not found.low <= true <= found.high
    assert missed / studies <= 0.07


# -- rate transfer -----------------------------------------------------------------------------------------------------


def test_cost_is_read_off_the_other_curve_at_the_bases_best_rate() -> None:
    base, other = curve(0.5, 0.9, 0.8, 0.3), curve(0.4, 0.7, 0.9, 0.2)
    assert transferred(base, other) == 0.7
    found = cost(base, other, LEVEL)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2, abs=1e-4), pytest.approx(0.2, abs=1e-4))
    same = cost(base, base, LEVEL)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_rates_between_those_tried_are_linear_in_their_logarithm() -> None:
    base = curve(0.5, 0.9, 0.8, rates=(1e-4, 10**-2.5, 1e-2))
    assert transferred(base, curve(0.4, 0.6, 0.9, 0.2)) == pytest.approx(0.75)
    assert transferred(base, curve(0.4, 0.9, rates=(1e-2, 1e-1))) is None
    assert cost(base, curve(0.4, 0.9, rates=(1e-2, 1e-1)), LEVEL).value is None


def test_a_failed_rate_counts_as_the_trivial_answer() -> None:
    other = Curve(RATES, ((0.8,), (0.7,), (), (0.05,)), QUIET, 0.1)
    assert other.means == (0.8, 0.7, 0.1, 0.1)
    assert cost(curve(0.1, 0.2, 0.9, 0.3), other, LEVEL).value == pytest.approx(0.7)


def test_one_final_seed_gives_no_interval() -> None:
    found = cost(curve(0.5, 0.9, 0.8, 0.3, finals=(0.9,)), curve(0.4, 0.7, 0.9, 0.2), LEVEL)
    assert (found.value, found.low, found.high, found.n) == (pytest.approx(0.2), None, None, 1)


def test_noise_that_swaps_the_best_rates_reaches_down_to_no_cost() -> None:
    noisy = (0.85, 0.9, 0.95)
    found = cost(curve(0.5, 0.9, 0.89, 0.3, finals=noisy), curve(0.4, 0.88, 0.9, 0.2, finals=noisy), LEVEL)
    assert found.low == 0.0 and found.high is not None and found.high > 0.05


def test_difference_of_costs_is_theirs() -> None:
    base = curve(0.5, 0.9, 0.8, 0.3)
    found = difference_of_costs((base, curve(0.4, 0.7, 0.9, 0.2)), (base, curve(0.4, 0.85, 0.9, 0.2)), LEVEL)
    assert found.value == pytest.approx(0.15) and found.low == pytest.approx(0.15, abs=1e-4)


def test_best_rate_lies_between_its_neighbours_and_shifts_by_decades_a_doubling() -> None:
    assert best_between(curve(0.5, 0.9, 0.8, 0.3), LEVEL) == (1e-4, 1e-2)
    assert best_between(curve(0.9, 0.5, 0.4, 0.3), LEVEL) == (1e-4, 1e-3)
    assert curve(0.9, 0.5, 0.4, 0.3).edge == "low" and curve(0.5, 0.9, 0.8, 0.3).edge == ""
    assert shift([32, 64, 128], [1e-1, 1e-2, 1e-3]) == pytest.approx(-1.0)
    assert shift([32], [1e-1]) is None


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0.0, 0.2, 0.4, 0.8])
@pytest.mark.parametrize("sd", [0.001, 0.004, 0.012])
@pytest.mark.parametrize(("tuned", "finals"), [(1, 5), (3, 5), (2, 10)])
def test_intervals_of_costs_cover(moved: float, sd: float, tuned: int, finals: int) -> None:
    """Over random positions of smooth curves between eight rates of three decades; the winner alone has final seeds."""
    random, at = np.random.default_rng(1), np.linspace(-1.5, 1.5, 8)
    studies, covered, width = 300, 0, 0.0
    for _ in range(studies):
        place, true, found = random.uniform(-0.3, 0.3), [], []
        for best in (place, place + moved):
            off = at - best
            means = 0.9 - 0.02 * off**2 - 0.1 * np.maximum(off - 0.3, 0) ** 2
            runs = [(mean + sd * random.standard_normal(tuned)).tolist() for mean in means]
            winner = int(np.argmax([np.mean(tried) for tried in runs]))
            fresh = (means[winner] + sd * random.standard_normal(finals)).tolist()
            runs[winner] += fresh
            true.append(means)
            found.append(Curve(tuple(10.0**at), tuple(map(tuple, runs)), tuple(fresh), 0.0))
        lost = true[1].max() - true[1][true[0].argmax()]
        interval = cost(found[0], found[1], LEVEL)
        assert interval.low is not None and interval.high is not None
        covered += interval.low - 1e-12 <= lost <= interval.high + 1e-12
        width += (interval.high - interval.low) / studies
    assert covered / studies >= 0.92  # 0.947 to 1 in 300 studies each
    assert width <= 16 * sd


@pytest.mark.slow
def test_an_optimizer_against_itself_costs_the_same() -> None:
    random, at = np.random.default_rng(2), np.linspace(-1.5, 1.5, 8)
    studies, wrong = 300, 0

    def made(best: float) -> Curve:
        means = 0.9 - 0.02 * (at - best) ** 2
        runs = [(mean + 0.004 * random.standard_normal(2)).tolist() for mean in means]
        winner = int(np.argmax([np.mean(tried) for tried in runs]))
        fresh = tuple((means[winner] + 0.004 * random.standard_normal(5)).tolist())
        return Curve(tuple(10.0**at), tuple(map(tuple, runs)), fresh, 0.0)

    for _ in range(studies):
        place = random.uniform(-0.3, 0.3)
        first, second = ((made(place), made(place + 0.4)) for _ in range(2))
        found = difference_of_costs(first, second, LEVEL)
        assert found.low is not None and found.high is not None
        wrong += not found.low <= 0 <= found.high
    assert wrong / studies <= 0.05


# -- trend of an equivalent budget -------------------------------------------------------------------------------------


def test_trend_is_the_ratio_of_ratios_with_recovered_variances() -> None:
    found = ratio_trend(Estimate(2.0, 1.5, 2.5, 5), Estimate(1.0, 0.8, 1.3, 4))
    assert found.value == pytest.approx(0.5) and found.n == 4
    assert found.low == pytest.approx(math.exp(math.log(0.5) - math.hypot(math.log(1 / 0.8), math.log(2.5 / 2))))
    assert found.high == pytest.approx(math.exp(math.log(0.5) + math.hypot(math.log(1.3), math.log(2 / 1.5))))


def test_trend_of_open_intervals_is_open_and_as_wide_as_their_ends() -> None:
    found = ratio_trend(Estimate(2.0, 1.5, None, 5), Estimate(1.0, 0.8, 1.2, 5))
    assert found.low is None and found.high == pytest.approx(1.2 / 1.5)
    assert ratio_trend(Estimate(2.0, n=1), Estimate(1.0, 0.8, 1.2, 5)).low is None


@pytest.mark.slow
@pytest.mark.parametrize("lead", [1.0, 1.3])
@pytest.mark.parametrize("sd", [0.02, 0.08])
@pytest.mark.parametrize("seeds", [4, 8])
def test_intervals_of_trends_cover(lead: float, sd: float, seeds: int) -> None:
    """The reference's metric is log2 of the budget; the contender has 1.2 times the data, and `lead` times that."""
    random, budgets = np.random.default_rng(3), (0.25, 0.5, 1.0)
    studies, covered = 300, 0

    def logarithm(ratio: float) -> Estimate:
        true = {"reference": 1.0, "own": ratio}
        arms = {
            name: {b: arm(*(math.log2(b * data) + sd * random.standard_normal(seeds)).tolist()) for b in budgets}
            for name, data in true.items()
        }
        rungs = ladders(arms)
        found = equivalent(rungs["own"][1], rungs["reference"], LEVEL).ratio
        return Estimate(*(log(end) for end in (found.value, found.low, found.high)), found.n)

    for _ in range(studies):
        found = trend(logarithm(1.2), logarithm(1.2 * lead))
        assert found.low is not None and found.high is not None
        covered += found.low <= math.log(lead) <= found.high
    assert covered / studies >= 0.92
