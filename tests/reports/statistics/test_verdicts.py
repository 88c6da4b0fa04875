"""Verdicts: worked examples, properties, and calibration by simulation."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.benches.verdicts import goal_lines, measure, with_goal
from optbench.errors import ConfigError
from optbench.reports.statistics import verdicts as module
from optbench.reports.statistics.difference import Arm, cached_selection, difference
from optbench.reports.statistics.evidence import uncovered
from optbench.reports.statistics.improvement import probability_of_improvement
from optbench.reports.statistics.multiplicity import holm
from optbench.reports.statistics.points import points_variance
from optbench.reports.statistics.scale import Scale
from optbench.reports.statistics.selection import selection_variance
from optbench.reports.statistics.verdicts import Margin, parse_margin, verdicts

NONE = Margin(0.0, relative=False)
VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


def one(a: Arm, b: Arm, margin: Margin = NONE, **how: Any) -> module.Pair:
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
    ones, twos = Arm("ones", (1.0,) * 3), Arm("twos", (2.0,) * 3)
    found = one(twos, ones)
    assert found.verdict == "better" and 0 < found.p < 1e-9 and found.difference.low < 1 < found.difference.high
    assert found.effect is None
    assert one(ones, replace(ones, name="b"), Margin(0.01, relative=True)).verdict == "tie"
    assert one(Arm("a", (0.0,) * 3), Arm("b", (0.0,) * 3)).p == 1.0


def test_two_seeds_show_no_equality() -> None:
    found = one(Arm("a", (1.0, 1.0)), Arm("b", (1.0, 1.0)), Margin(0.01, relative=True))
    assert (found.verdict, found.tie_p) == ("undecided", None)


def share_arm(name: str, *values: float, samples: int = 360, **how: Any) -> Arm:
    return Arm(name, values, floor=Scale("share", samples).least_sd(float(np.mean(values))), **how)


def test_equal_accuracies_of_three_seeds_are_not_certain() -> None:
    a, b = share_arm("a", 0.5, 0.5, 0.5), share_arm("b", 0.5, 0.5, 0.5)
    found = one(a, b, Margin(0.01, relative=True), scale=Scale("share", 360))
    assert found.verdict == "undecided" and found.tie_p > 0.2
    assert found.difference.high == pytest.approx(1.96 * math.sqrt(2 * 0.25 / 360 / 3), rel=0.01)
    assert any("360 samples" in line for line in found.evidence)
    close = one(share_arm("a", *[349 / 360] * 3), share_arm("b", *[348 / 360] * 3))
    assert close.verdict == "undecided" and close.p > 0.5


def test_a_difference_of_shares_stays_where_shares_can_be() -> None:
    a, b = share_arm("a", 0.99, 0.2, 0.9), share_arm("b", 0.05, 0.6, 0.1)
    found = one(a, b, scale=Scale("share", 360)).difference
    assert -1 <= found.low < found.value < found.high <= 1
    losses = one(
        Arm("a", (-0.1, -3.0, -0.2)), Arm("b", (-0.1, -0.2, -0.1)), sign=-1.0, scale=Scale("positive")
    ).difference
    assert losses.low > -1 and losses.high > 3


def test_common_seeds_are_compared_in_pairs_where_the_design_says_so() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 5)
    a, b = (
        Arm(name, tuple(float(x) for x in mean + noise + extra), seeds=(0, 1, 2, 3, 4))
        for name, mean, extra in (("a", 0.5, np.array([0.1, 0, -0.1, 0, 0.1])), ("b", 0.0, np.zeros(5)))
    )
    assert one(a, b).verdict == "undecided"
    found = one(a, b, paired=True)
    from scipy.stats import ttest_rel

    assert found.verdict == "better" and found.p == pytest.approx(ttest_rel(a.values, b.values).pvalue)
    assert "paired by seed" in found.evidence
    shorter = replace(b, values=b.values[:3], seeds=b.seeds[:3], failed=2)
    assert difference(a, shorter, paired=True).value == pytest.approx(
        np.mean(a.values[:3]) - np.mean(b.values[:3])
    )  # the failed seeds leave both sides
    others = replace(b, seeds=(5, 6, 7, 8, 9))
    assert difference(a, others, paired=True) == difference(a, others)


def test_a_constant_difference_of_shares_is_no_certainty() -> None:
    a = share_arm("a", 350 / 360, 351 / 360, 352 / 360, seeds=(0, 1, 2))
    b = share_arm("b", 349 / 360, 350 / 360, 351 / 360, seeds=(0, 1, 2))
    assert one(a, b, paired=True).p > 0.5


def test_an_undertuned_loser_is_undecided() -> None:
    high, low = Arm("high", (5.0, 5.1, 4.9)), Arm("low", (1.0, 1.1, 0.9))
    found = one(high, low, undertuned={"low"})
    assert (found.verdict, found.undertuned, found.more_seeds) == ("undecided", "low", None)
    assert "undecided (undertuned" in found.sentence
    assert one(high, low, undertuned={"high"}).verdict == "better"


def test_untrained_contenders_never_tie() -> None:
    a, b = Arm("a", (1.0,) * 5), Arm("b", (1.0,) * 5)
    wide = Margin(0.5, relative=False)
    assert one(a, b, wide).verdict == "tie"
    assert one(a, b, wide, untrained={"a"}).verdict == "undecided"
    both = one(a, b, wide, untrained={"a", "b"})
    assert both.verdict == "undecided" and "neither beats the trivial answer" in both.evidence
    assert one(Arm("c", (3.0,) * 5), b, untrained={"b"}).verdict == "better"


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
    found = measure(None, studies=60, only="normal,t3, 5")
    rows = found["rows"]
    assert sum(row["wrong"] for row in rows) < sum(row["plain_wrong"] for row in rows)
    assert all(row["found"] > 0.4 for row in rows)


def test_tuning_seeds_a_shortlist_and_pairs_give_power() -> None:
    found = measure(None, studies=60, gap=2.0, only="five tuning seeds,shortlist of three,r = 0.9")
    for row in found["rows"]:
        assert row["found"] > row["before_found"], row
        assert row["wrong"] < 0.15


def test_two_scrambles_cover_the_luck_of_the_points() -> None:
    one, two = measure(None, studies=60, only="one scramble,two scrambles, optima")["rows"][:2]
    assert one["wrong"] > 0.3 and two["before_wrong"] > 0.3
    assert two["wrong"] < 0.12


def test_accuracies_near_1_are_covered() -> None:
    for row in measure(None, studies=60, only="accuracy 0.99")["rows"]:
        assert row["covered"] > 0.88 and row["wrong"] < 0.15, row


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ConfigError, match="only=unheard-of"):
        measure(None, only="unheard-of")


def test_the_simulation_refuses_verdicts_that_are_always_undecided_or_too_bold() -> None:
    row = {"scenario": "normal, 5 seeds", "share": False, "wrong": 0.0, "covered": 0.95, "found": 0.9}
    assert with_goal([row], 2000)["goal_holds"]
    assert not with_goal([{**row, "found": 0.0}], 2000)["goal_holds"]  # always undecided
    assert not with_goal([{**row, "wrong": 0.08}], 2000)["goal_holds"]
    assert not with_goal([{**row, "covered": 0.9}], 2000)["goal_holds"]
    assert not with_goal([{**row, "covered": 0.99}], 2000)["goal_holds"]
    assert with_goal([{**row, "share": True, "covered": 0.99}], 2000)["goal_holds"]
    apart = with_goal([{**row, "scenario": "lognormal, 5 seeds"}], 2000)
    assert apart["goal_holds"] is None and "no row here is" in goal_lines(apart)[0]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_verdicts_are_calibrated() -> None:
    found = measure(None)
    assert found["goal_holds"], found["broken"]


def test_the_luck_of_the_points_is_in_the_spread_of_the_halves() -> None:
    alike = points_variance([1.0, 1.0, 0.9, 0.9], [0, 1, 0, 1], 0.0)
    apart = points_variance([1.0, 0.0, 0.9, -0.1], [0, 1, 0, 1], 0.0)
    assert apart > 10 * alike
    assert points_variance([1.0, 0.0, 0.9, -0.1], [0, 0, 0, 0], 0.0) == 0.0
    assert points_variance([1.0, 0.0, None, None], [0, 1, 0, 1], 10.0) == 0.0  # noise of the scores explains it
    assert points_variance([1.0, None, 0.9, None], [0, 1, 0, 1], 0.0) == 0.0


def test_the_sentence_of_a_verdict_names_what_it_does_not_cover() -> None:
    scores, values = (1.0, 0.5, 0.9, 0.4), (1.0, 1.1, 0.9)
    one_set = Arm("a", values, scores=scores, winner=0)
    two_sets = replace(one_set, groups=(0, 1, 0, 1), floor=0.01)
    assert uncovered([one_set]) == ("not covered: other points of the search boxes", "not covered: another test set")
    assert uncovered([two_sets]) == ()
    assert set(uncovered([one_set])) <= set(one(one_set, replace(one_set, name="b")).evidence)
    assert any("luck of the points" in line for line in one(two_sets, replace(two_sets, name="b")).evidence)


def test_more_seeds_of_a_score_mean_less_luck() -> None:
    scores = [0.0, 0.9, 1.0, 0.2]
    single = selection_variance(scores, 2, 1.0, 5, 1.0)
    several = selection_variance(scores, 2, 1.0, 5, 1.0, [5, 5, 5, 5])
    shortlist = selection_variance(scores, 2, 1.0, 5, 1.0, [1, 3, 3, 1])
    assert several < shortlist < single


def test_many_contenders_are_compared_quickly() -> None:
    random = np.random.default_rng(0)
    arms = [
        Arm(f"{i}", tuple(random.normal(0, 1, 5).tolist()), scores=tuple(random.normal(0, 2, 16).tolist()), winner=3)
        for i in range(40)
    ]
    calls = selection_calls(arms)
    assert calls < 40 * 40 / 2  # two a pair, without reuse


def selection_calls(arms: list[Arm]) -> int:
    cached_selection.cache_clear()
    verdicts(arms, NONE)
    return cached_selection.cache_info().misses
