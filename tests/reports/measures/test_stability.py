"""Failures and loss spikes, against a loop over the records."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.stability import (
    DEVIATIONS,
    LEAST,
    SCALE,
    WINDOW,
    judged,
    spike_rate,
    spikes,
    stability,
)

QUARTERS = st.integers(-12, 12).map(lambda n: n / 4)
WILD = st.sampled_from([50.0, -50.0, math.nan, math.inf, -math.inf])
SERIES = st.lists(st.one_of(QUARTERS, QUARTERS, QUARTERS, WILD), max_size=80)


def by_hand(losses: list[float]) -> int:
    """Count spikes record by record."""
    before: list[float] = []
    found = 0
    for loss in losses:
        if not math.isfinite(loss):
            found += 1
            continue
        if len(before) >= WINDOW:
            window = before[-WINDOW:]
            middle = statistics.median(window)
            deviation = SCALE * statistics.median([abs(value - middle) for value in window])
            found += loss > middle + max(DEVIATIONS * deviation, DEVIATIONS * LEAST * abs(middle))
        before.append(loss)
    return found


def wavy(n: int) -> list[float]:
    return [2.0 + 0.1 * (-1) ** i for i in range(n)]


def test_a_constant_loss_has_none() -> None:
    assert spikes([0.7] * 100) == spikes([0.0] * 100) == spikes([]) == 0


def test_the_least_bump_that_counts_after_a_constant_loss_is_five_hundredths_of_it() -> None:
    assert spikes([*[1.0] * 30, 1.04]) == 0 and spikes([*[1.0] * 30, 1.06]) == 1
    assert spikes([*[-1.0] * 30, -0.96]) == 0 and spikes([*[-1.0] * 30, -0.94]) == 1  # a critic's loss may be negative


def test_one_jump_is_one_spike() -> None:
    assert spikes([*wavy(50), 9.0, *wavy(50)]) == 1
    assert spikes([*wavy(50), 2.6, *wavy(50)]) == 0  # five scaled deviations of .1 are .74
    assert spikes([*wavy(50), -9.0, *wavy(50)]) == 0  # downward is no spike
    assert spikes([9.0, *wavy(50)]) == 0  # nothing before it to judge it by


def test_a_loss_that_stays_high_counts_until_the_window_has_followed() -> None:
    assert spikes([1.0] * 40 + [9.0] * 40) == WINDOW // 2  # the median of the window is then between the two levels


def test_nonfinite_losses_are_always_spikes() -> None:
    assert spikes([math.nan, *wavy(50), math.inf, *wavy(50)]) == 2
    assert spikes([None, 1.0]) == 1


def test_nan_does_not_hide_a_spike_behind_it() -> None:
    assert spikes([*wavy(50), math.nan, 9.0, *wavy(5)]) == 2


@settings(deadline=None)
@given(SERIES)
def test_spikes_equal_a_loop(losses: list[float]) -> None:
    assert spikes(losses) == by_hand(losses)


@settings(deadline=None)
@given(st.lists(QUARTERS, min_size=WINDOW + 1, max_size=60), st.data())
def test_a_great_jump_is_always_found(losses: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(WINDOW, len(losses) - 1))
    assert spikes([*losses[:at], 1000.0, *losses[at:]]) >= 1


def test_normal_noise_makes_few() -> None:
    """Expect about 0.4 false spikes in 1,000 records; t3 noise, whose tails are heavy, has some 6."""
    import numpy as np

    noise = np.random.default_rng(0).normal(size=200_000)
    assert spikes(list(50 + noise)) / 200 < 1.0


def test_the_row_of_a_contender() -> None:
    losses = [[*wavy(70), 9.0, *wavy(49)], wavy(120), []]
    found = stability("lion", [False, True, False, False], losses)
    assert (found.contender, found.runs, found.failed) == ("lion", 4, 1)
    assert found.share.value == 0.25 and found.share.low == pytest.approx(0.0063, abs=1e-4)  # Clopper-Pearson, 1 of 4
    assert (found.spikes.value, found.spikes.n) == (5.0, 2)  # 10 and 0 in 1,000; a run without records has no rate
    assert found.spikes.low == 0.0  # no rate is less


def test_a_run_too_short_to_be_judged_has_no_rate() -> None:
    assert stability("lion", [], [wavy(20), wavy(5)]).spikes.value is None
    assert stability("lion", [], [wavy(20), wavy(21)]).spikes.n == 1
    assert stability("lion", [], [[math.nan, 1.0]]).spikes.value == 1000.0
    assert [judged(series) for series in ([], wavy(20), wavy(25), [math.nan] * 3)] == [0, 0, 5, 3]


def test_no_spike_in_few_records_does_not_mean_there_are_none() -> None:
    found = stability("lion", [], [wavy(120)] * 3).spikes
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1000 * 3.6889 / 300, rel=1e-4)  # Garwood's table, none found, 97.5 %


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(30, 500)), min_size=2, max_size=6))
def test_the_interval_is_no_narrower_than_poissons(counts: list[tuple[int, int]]) -> None:
    from scipy import stats

    found = spike_rate(counts, 0.95)
    k, n = sum(c for c, _ in counts), sum(n for _, n in counts)
    assert 0 <= found.low <= found.value + 1e-9 and found.value <= found.high + 1e-9
    assert found.low <= (stats.chi2.ppf(0.025, 2 * k) / 2 if k else 0) * 1000 / n + 1e-9
    assert found.high >= stats.chi2.ppf(0.975, 2 * k + 2) / 2 * 1000 / n - 1e-9


def test_without_runs_there_is_nothing() -> None:
    found = stability("lion", [], [])
    assert (found.runs, found.share.value, found.spikes.value) == (0, None, None)
