"""Verdicts: worked examples, properties, and calibration by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.benches.verdicts import measure, with_goal
from optbench.errors import ConfigError
from optbench.reports.statistics import verdicts as module
from optbench.reports.statistics.difference import Arm, difference
from optbench.reports.statistics.improvement import probability_of_improvement
from optbench.reports.statistics.multiplicity import holm
from optbench.reports.statistics.selection import selection_variance
from optbench.reports.statistics.verdicts import Margin, parse_margin, verdicts

NONE = Margin(0.0, relative=False)
VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


def one(a: Arm, b: Arm, margin: Margin = NONE, **how: float) -> module.Pair:
    return verdicts([a, b], margin, **how)[0]


def test_a_large_difference_is_better_and_reversed_worse() -> None:
    high, low = Arm("high", (5.0, 5.1, 4.9)), Arm("low", (1.0, 1.1, 0.9))
    assert (one(high, low).verdict, one(low, high).verdict) == ("better", "worse")
    found = one(high, low)
    assert found.difference.value == pytest.approx(4.0)
    assert found.sentence == "high is better than low by 4"
    assert found.effect == pytest.approx(40 * (1 - 3 / 15))  # 4 / 0.1, Hedges' correction for 4 degrees of freedom
    assert found.improvement.value == 1.0


@settings(deadline=None)
@given(VALUES, VALUES)
def test_without_tuning_it_is_welchs_test(a: list[float], b: list[float]) -> None:
    from scipy.stats import ttest_ind

    if min(np.std(a), np.std(b)) < 1e-6:  # SciPy warns of a loss of precision
        return
    found = one(Arm("a", tuple(a)), Arm("b", tuple(b)))
    assert found.p == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue, rel=1e-6, abs=1e-12)


def test_losses_come_back_in_their_own_unit() -> None:
    found = one(Arm("a", (-1.0, -1.1, -0.9)), Arm("b", (-3.0, -3.1, -2.9)), sign=-1.0)
    assert found.verdict == "better"
    assert found.difference.value == pytest.approx(-2.0) and found.difference.low < -2.0 < found.difference.high


def test_a_tie_needs_a_margin_that_the_interval_fits_in() -> None:
    a, b = Arm("a", (1.0, 1.01, 0.99, 1.0, 1.0)), Arm("b", (1.0, 1.01, 0.99, 1.002, 0.998))
    assert one(a, b, Margin(0.1, relative=False)).verdict == "tie"
    assert one(a, b, Margin(0.001, relative=False)).verdict == "undecided"
    assert one(a, b, Margin(0.1, relative=True)).margin == pytest.approx(0.1)


def test_more_seeds_would_decide_and_do() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(1, 1, 4), random.normal(0, 1, 4)
    found = one(Arm("a", tuple(a)), Arm("b", tuple(b)))
    assert found.verdict == "undecided" and found.more_seeds
    size, spread = (
        difference(Arm("a", tuple(a)), Arm("b", tuple(b))).value,
        np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2),
    )
    seeds = 4 + found.more_seeds
    draws = random.normal(0, spread, (4000, 2, seeds)) + np.array([size, 0.0])[:, None]
    t = (draws[:, 0].mean(1) - draws[:, 1].mean(1)) / np.sqrt(draws.var(2, ddof=1).sum(1) / seeds)
    from scipy.special import stdtrit

    assert (t > stdtrit(2 * (seeds - 1), 0.975)).mean() == pytest.approx(0.8, abs=0.05)


def test_one_seed_decides_nothing() -> None:
    found = one(Arm("a", (2.0,)), Arm("b", (1.0,)))
    assert (found.verdict, found.p, found.difference.value, found.difference.low) == ("undecided", None, 1.0, None)


def test_failed_seeds_count_against_a_contender() -> None:
    good, dead = Arm("good", (1.0, 1.1, 0.9, 1.0, 1.0)), Arm("dead", (), failed=5)
    assert one(good, dead).verdict == "better"  # Fisher: 2 / 252
    assert one(Arm("good", (1.0, 1.1)), Arm("dead", (), failed=2)).verdict == "undecided"
    lucky = Arm("lucky", (9.0, 9.1, 8.9), failed=2)
    assert one(lucky, good).verdict == "undecided"  # its survivors cannot outweigh its failures
    weak = Arm("weak", (0.1, 0.2, 0.15), failed=2)
    assert one(good, weak).verdict == "better"


def test_without_any_noise_a_difference_is_sure() -> None:
    assert one(Arm("a", (2.0, 2.0)), Arm("b", (1.0, 1.0))).verdict == "better"
    assert one(Arm("a", (1.0, 1.0)), Arm("b", (1.0, 1.0)), Margin(0.01, relative=True)).verdict == "tie"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_closed_test_of_bonferroni(ps: list[float]) -> None:
    def closed(index: int) -> float:
        sets = [s for k in range(1, len(ps) + 1) for s in itertools.combinations(range(len(ps)), k) if index in s]
        return max(min(1.0, len(s) * min(ps[i] for i in s)) for s in sets)

    assert holm(ps) == pytest.approx([closed(i) for i in range(len(ps))])
    assert holm([0.01, None, 0.02]) == [0.02, None, 0.02]


@settings(deadline=None)
@given(VALUES, VALUES)
def test_improvement_is_the_share_of_won_pairs(a: list[float], b: list[float]) -> None:
    from scipy.stats import mannwhitneyu

    found = probability_of_improvement(a, b)
    assert found.value == pytest.approx(mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    assert found.low <= found.value <= found.high
    other = probability_of_improvement(b, a)
    assert (other.low, other.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


def test_selection_adds_nothing_where_the_winner_is_clear_and_much_where_it_is_not() -> None:
    clear = selection_variance([0.0, 100.0, 50.0], 1, 100.0, 5, 1.0)
    close = selection_variance([99.0, 100.0, 50.0], 1, 100.0, 5, 1.0)
    lucky = selection_variance([99.0, 100.0, 50.0], 1, 95.0, 5, 1.0)  # its fresh seeds say that it was luck
    assert clear == 0.0 < close < lucky
    assert selection_variance([1.0], 0, 1.0, 5, 1.0) == selection_variance([None, 1.0], 1, 1.0, 5, 1.0) == 0.0


@pytest.mark.parametrize(
    ("text", "margin"), [("1%", Margin(0.01, True)), ("0.005", Margin(0.005, False)), (" 2 %", Margin(0.02, True))]
)
def test_a_margin_is_a_share_or_a_number(text: str, margin: Margin) -> None:
    assert parse_margin(text) == margin


@pytest.mark.parametrize("text", ["", "x", "-1%", "nan", "inf", "%"])
def test_a_malformed_margin_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--margin"):
        parse_margin(text)


def test_a_small_simulation_has_more_false_verdicts_without_the_selection() -> None:
    found = measure(None, studies=60)
    rows = found["rows"]
    assert sum(row["wrong"] for row in rows) < sum(row["plain_wrong"] for row in rows)
    assert all(row["found"] > 0.4 for row in rows)


def test_the_simulation_refuses_verdicts_that_are_always_undecided_or_too_bold() -> None:
    row = {"errors": "normal", "seeds": 5, "wrong": 0.0, "covered": 0.95, "found": 0.9}
    assert with_goal([row], 2000)["goal_holds"]
    assert not with_goal([{**row, "found": 0.0}], 2000)["goal_holds"]  # always undecided
    assert not with_goal([{**row, "wrong": 0.08}], 2000)["goal_holds"]
    assert not with_goal([{**row, "covered": 0.9}], 2000)["goal_holds"]


@pytest.mark.slow
def test_verdicts_are_calibrated() -> None:
    found = measure(None)
    assert found["goal_holds"], found["broken"]
