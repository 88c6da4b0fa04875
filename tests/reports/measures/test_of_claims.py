"""Statistics of claims: by hand, against scipy, and by the coverage of their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optbench.reports.model.content import Estimate
from optbench.reports.statistics.measures.ladder import Rung, cost_distribution, cost_ratio
from optbench.reports.statistics.measures.paired_intervals import difference_of, paired_share_difference, wilson
from optbench.reports.statistics.measures.separability import separability, separability_difference
from optbench.reports.statistics.measures.spread import sd_against, sd_ratio, trial_sd_ratio

# -- shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 12), (12, 12), (56, 70)])
def test_wilson_is_scipy_s(k: int, n: int) -> None:
    known = stats.binomtest(k, n).proportion_ci(method="wilson")
    found = wilson(k, n)
    assert (found.value, found.n) == (k / n, n)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)


def test_the_difference_of_shares_is_newcombe_s() -> None:
    # Newcombe 1998, table II, method 10: 56/70 against 48/80, and 0/10 against 0/20
    found = difference_of(wilson(56, 70), wilson(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert (difference_of(wilson(10, 10), wilson(0, 20)).low) == pytest.approx(0.6791, abs=5e-5)


def test_unknown_estimates_stay_unknown() -> None:
    assert difference_of(Estimate(None), wilson(1, 2)) == Estimate(None)
    assert difference_of(Estimate(1.0, n=1), Estimate(0.5, 0.1, 0.7, 3)) == Estimate(0.5, n=1)
    assert wilson(0, 0) == Estimate(None)


def test_a_paired_difference_of_shares_by_hand() -> None:
    a, b = [True] * 48 + [False] * 2, [True] * 36 + [False] * 12 + [True] * 2
    found = paired_share_difference(a, b)
    # 36 both, 12 and 2 alone: phi = -24 / sqrt(48 * 2 * 38 * 12); Wilson: [0.8654, 0.9890] and [0.6259, 0.8570]
    below = math.sqrt(0.0946**2 + 2 * 0.1147 * 0.0946 * 0.0970 + 0.0970**2)
    above = math.sqrt(0.0290**2 + 2 * 0.1147 * 0.0290 * 0.1341 + 0.1341**2)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - below, 0.2 + above), abs=5e-4)


def test_pairs_narrow_the_difference_of_shares_and_cover() -> None:
    random, hits, narrower = np.random.default_rng(2), 0, 0
    for _ in range(400):
        hard = random.random(32) < 0.3
        a, b = (hard ^ (random.random(32) < p) for p in (0.05, 0.15))
        found, apart = (
            paired_share_difference(a.tolist(), b.tolist()),
            difference_of(wilson(a.sum(), 32), wilson(b.sum(), 32)),
        )
        hits += found.low <= 0.4 * (0.05 - 0.15) <= found.high
        narrower += found.high - found.low < apart.high - apart.low
    assert hits / 400 >= 0.92 and narrower > 390
    assert paired_share_difference([], []) == Estimate(None)
    assert paired_share_difference([True] * 4, [False] * 4).low > 0


# -- spread ------------------------------------------------------------------------------------------------------------


def collapsing(random: np.random.Generator, n: int) -> np.ndarray:
    """Runs of which a tenth learns nothing."""
    return random.normal(0, 1, n) - 15 * (random.random(n) < 0.1)


NOISES = {
    "normal": lambda random, n: random.normal(0, 1, n),
    "t3": lambda random, n: random.standard_t(3, n),
    "lognormal": lambda random, n: random.lognormal(0, 0.75, n),
    "collapses": collapsing,
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [5, 10])
def test_equal_spreads_are_seldom_called_different_whatever_the_noise(noise: str, n: int) -> None:
    random, false, studies = np.random.default_rng(0), 0, 400
    for _ in range(studies):
        found = sd_ratio(NOISES[noise](random, n).tolist(), NOISES[noise](random, n).tolist())
        false += found.low is not None and not found.low <= 1.0 <= found.high
    assert false / studies <= 0.08  # 5 % and the error of the simulation; the F interval: 4, 16 to 51 %


def test_the_ratio_of_standard_deviations_covers_and_finds() -> None:
    random, hits, known, found_different = np.random.default_rng(0), 0, 0, 0
    for _ in range(400):
        a, b = random.normal(0, 4, 10).tolist(), random.normal(5, 1, 8).tolist()
        found, alone = sd_ratio(a, b), sd_against(a, 8.0)
        hits += found.low <= 4.0 <= found.high
        known += alone.low <= 0.5 <= alone.high
        found_different += found.low > 1
    assert min(hits, known) / 400 >= 0.93 and found_different / 400 > 0.6
    forth = sd_ratio([1.0, 2.0, 4.0, 8.0, 9.0], [1.0, 2.0, 3.0, 2.0])
    back = sd_ratio([1.0, 2.0, 3.0, 2.0], [1.0, 2.0, 4.0, 8.0, 9.0])
    assert (forth.value, forth.low, forth.high) == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


def test_few_values_have_a_ratio_and_no_interval() -> None:
    found = sd_ratio([1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0])
    assert found.value and found.low is None
    assert sd_against([1.0, 2.0, 3.0], 1.0).low is None


def test_no_spread_no_ratio() -> None:
    assert sd_ratio([1.0, 1.0], [1.0, 2.0]) == Estimate(None, n=2)
    assert sd_ratio([1.0], [1.0, 2.0]).value is None and sd_against([1.0, 2.0], 0.0).value is None
    assert trial_sd_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]).value is None


def test_the_spread_over_trials_is_paired() -> None:
    a = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4]
    half = [value / 2 for value in a]
    found = trial_sd_ratio(half, a)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.5, 0.5, 0.5)
    )  # the same trials are left out of both
    apart = trial_sd_ratio(half, a, paired=False)
    assert apart.low < 0.45 and apart.high > 0.55
    assert trial_sd_ratio([1.0, 1.0, 1.0, 1.0, 1.0, 2.0], a[:6]).value is None  # it hangs on one trial


@pytest.mark.parametrize("paired", [True, False])
def test_the_spread_over_trials_covers(paired: bool) -> None:
    random, hits = np.random.default_rng(3), 0
    for _ in range(400):
        shared = random.exponential(size=12) if paired else 0.0  # much the same surface, skewed
        a, b = (shared + 0.5 * random.normal(size=12) for _ in range(2))
        found = trial_sd_ratio(a.tolist(), b.tolist(), paired=paired)
        hits += found.low <= 1.0 <= found.high
    assert 0.91 <= hits / 400 <= 0.98, hits


# -- separability ------------------------------------------------------------------------------------------------------


def grid(slope: float, noise: float = 0.0, n: int = 6) -> list[tuple[float, float, float]]:
    """Return a bowl whose best y moves by `slope` for each decade of x."""
    random = np.random.default_rng(int(100 * slope))
    axis = np.linspace(-1, 1, n)
    return [
        (10.0**x, 10.0**y, -((x - 0.1) ** 2) - (y - slope * x) ** 2 + noise * float(random.normal()))
        for x in axis
        for y in axis
    ]


def test_a_separable_surface_and_a_ridge() -> None:
    assert separability(grid(0.0)).value > 0.99
    ridge = [(x, y, -((math.log10(x) + math.log10(y)) ** 2)) for x, y, _ in grid(0.0)]
    assert separability(ridge).value < 0.2


def test_separability_falls_as_the_best_decay_moves_with_the_rate() -> None:
    values = [separability(grid(slope, 0.05)).value for slope in (0.0, 0.5, 1.0)]
    assert values[0] > 0.95 > values[1] > values[2]
    found = separability_difference(grid(0.0, 0.05), grid(1.0, 0.05))
    assert found.low > 0 and found.n == 36
    same = separability_difference(grid(1.0, 0.05), grid(1.0, 0.05))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_separability_is_of_ranks() -> None:
    points = grid(0.5)
    diverged = [(x, y, value if value > -1.5 else -1e6 + value) for x, y, value in points]
    assert separability(diverged).value == pytest.approx(separability(points).value)


def test_too_few_trials_and_flat_surfaces_have_none() -> None:
    assert separability(grid(0.5)[:11]).value is None
    assert separability([(x, y, 1.0) for x, y, _ in grid(0.5)]).value is None
    assert separability([(1.0, y, value) for _, y, value in grid(0.5)]).value is None


# -- ladders -----------------------------------------------------------------------------------------------------------


def test_one_rung_is_jeffreys() -> None:
    (cost, enough), (never, other) = cost_distribution([Rung(10.0, 4, 5)])
    assert (cost, never) == (10.0, math.inf)
    assert enough == pytest.approx(stats.beta(4.5, 1.5).sf(0.5), abs=1e-9) and enough + other == pytest.approx(1)


def test_each_rung_is_judged_by_its_own_seeds() -> None:
    first, second = stats.beta(1.5, 4.5).sf(0.5), stats.beta(3.5, 2.5).sf(0.5)
    found = cost_distribution([Rung(20.0, 3, 5), Rung(10.0, 1, 5)])
    assert [cost for cost, _ in found] == [10.0, 20.0, math.inf]
    assert [share for _, share in found] == pytest.approx([first, second - first, 1 - second], abs=1e-9)
    fell = cost_distribution(
        [Rung(10.0, 5, 5), Rung(20.0, 0, 5)]
    )  # the least that is enough is the first, whatever follows
    assert fell[0][1] > 0.99 and fell[1][1] == 0.0


def test_a_ratio_of_costs() -> None:
    fast = [Rung(25, 5, 5), Rung(50, 5, 5), Rung(100, 5, 5)]
    slow = [Rung(25, 0, 5), Rung(50, 0, 5), Rung(100, 5, 5)]
    never = [Rung(25, 0, 5), Rung(50, 0, 5), Rung(100, 0, 5)]
    assert cost_ratio(fast, slow) == Estimate(0.25, 0.25, 0.25, 5)
    assert cost_ratio(slow, never).value == 0.0 and cost_ratio(slow, never).high < 1
    assert cost_ratio(never, slow).high == math.inf and cost_ratio(never, slow).low > 1
    both = cost_ratio(never, never)
    assert both.value is None and (both.low, both.high) == (0.0, math.inf)
    assert cost_ratio(fast, 50.0) == Estimate(0.5, 0.5, 0.5, 5)


def test_few_seeds_leave_a_ladder_open() -> None:
    fast, slow = [Rung(50, 1, 1), Rung(100, 1, 1)], [Rung(50, 0, 1), Rung(100, 1, 1)]
    found = cost_ratio(fast, slow)
    assert found.value == 0.5 and found.low < 0.5 < 1 <= found.high
