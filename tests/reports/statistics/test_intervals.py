"""Intervals for few values, against worked examples, SciPy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.intervals import (
    mean_interval,
    median_depth,
    median_interval,
    ratio_interval,
    share_interval,
)
from optbench.reports.statistics.scale import Scale

FINITE = st.floats(-1e6, 1e6)


def test_a_mean_has_students_interval() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.value == 2.0 and found.n == 3
    assert found.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # t table, 2 degrees of freedom
    assert (mean_interval([5.0]).low, mean_interval([5.0]).value, mean_interval([]).value) == (None, 5.0, None)


@settings(deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=12), st.floats(0.5, 0.99))
def test_it_is_scipys(values: list[float], level: float) -> None:
    from scipy import stats

    spread = np.std(values, ddof=1) / math.sqrt(len(values))
    low, high = stats.t.interval(level, len(values) - 1, np.mean(values), spread or 1e-300)
    found = mean_interval(values, level)
    assert found.low == pytest.approx(low, rel=1e-9, abs=1e-6)
    assert found.high == pytest.approx(high, rel=1e-9, abs=1e-6)


def test_five_values_have_no_interval_for_the_median_and_six_do() -> None:
    five, six = median_interval([1, 2, 3, 4, 5]), median_interval([1, 2, 3, 4, 5, 6])
    assert (five.value, five.low, five.high) == (3, None, None)
    assert (six.value, six.low, six.high) == (3.5, 1, 6)  # covers with 1 - 2/2**6 = 0.969


def test_a_median_on_censored_values_is_not_known() -> None:
    assert median_interval([1.0, 2.0], censored=1).value == 2.0
    assert median_interval([1.0], censored=2).value is None
    found = median_interval([1, 2, 3, 4, 5], censored=1)
    assert (found.value, found.low, found.high, found.n) == (3.5, 1, None, 6)


@settings(deadline=None)
@given(st.integers(1, 40), st.floats(0.5, 0.999))
def test_the_depth_covers_and_one_deeper_does_not(n: int, level: float) -> None:
    def coverage(depth: int) -> float:
        return 1 - 2 * sum(math.comb(n, k) for k in range(depth)) / 2**n

    depth = median_depth(n, level)
    assert depth == 0 or coverage(depth) >= level
    assert 2 * (depth + 1) > n or coverage(depth + 1) < level


@settings(deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_has_the_exact_binomial_interval(kn: tuple[int, int]) -> None:
    from scipy.stats import binomtest

    k, n = kn
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    found = share_interval(k, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_ratio_is_of_geometric_means() -> None:
    found = ratio_interval([2.0, 8.0], [1.0, 4.0])
    assert found.value == pytest.approx(2.0)
    assert found.low < 2.0 < found.high and found.low * found.high == pytest.approx(4.0)
    assert ratio_interval([1.0, -1.0], [1.0]).value is None


def test_an_interval_of_shares_is_inside_0_and_1_and_never_a_point() -> None:
    scale = Scale("share", 360)
    low = mean_interval([1.0, 0.2, 0.9], scale=scale)  # Student's t says [-0.4, 1.8]
    assert 0 <= low.low < 0.3 and 0.9 < low.high <= 1
    perfect = mean_interval([1.0] * 3, scale=scale)
    assert perfect.high == 1.0 and perfect.low == pytest.approx(1 / (1 + 3.84 / 1080), abs=0.002)
    alike = mean_interval([0.5] * 3, scale=scale)
    assert alike.high - alike.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(1080), rel=0.02)


@given(st.lists(st.integers(0, 360), min_size=2, max_size=8), st.floats(0.5, 0.99))
def test_shares_of_any_kind_stay_inside(counts: list[int], level: float) -> None:
    found = mean_interval([k / 360 for k in counts], level, Scale("share", 360))
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.low < found.high


@given(st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=8))
def test_an_interval_of_positive_values_is_positive(values: list[float]) -> None:
    found = mean_interval(values, scale=Scale("positive"))
    assert 0 <= found.low <= found.value <= found.high


@pytest.mark.parametrize("accuracy", [0.9, 0.99, 0.997])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_an_accuracy_covers_it_even_near_1(accuracy: float, seeds: int) -> None:
    random, hits, studies = np.random.default_rng(seeds), 0, 300
    spread = 0.003  # of the accuracy over seeds, beside the binomial noise of 360 samples
    size = accuracy * (1 - accuracy) / spread**2 - 1
    for _ in range(studies):
        true = random.beta(accuracy * size, (1 - accuracy) * size, seeds)
        found = mean_interval((random.binomial(360, true) / 360).tolist(), scale=Scale("share", 360))
        hits += found.low <= accuracy <= found.high
        assert found.low >= 0 and found.high <= 1
    assert hits / studies >= 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_skewed_positive_values_covers_more_than_students(seeds: int) -> None:
    random, hits, plain, studies = np.random.default_rng(seeds), 0, 0, 500
    for _ in range(studies):
        values = random.exponential(1, seeds).tolist()
        found, students = mean_interval(values, scale=Scale("positive")), mean_interval(values)
        hits += found.low <= 1 <= found.high
        plain += students.low <= 1 <= students.high
    assert hits / studies >= 0.9 and hits > plain
