"""Regret at defaults and after few trials, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures.regret import Tried, after, at_defaults, mean_default, regrets, scale_of

LEVEL = 0.95


def test_three_points_and_the_defaults_by_hand() -> None:
    """The best of 0.3, 0.6, 0.9 is 0.9 in two of three pairs."""
    found = regrets(Tried((0.3, 0.9, 0.6), 0.7, True), "max", LEVEL)
    assert found is not None and found.best == 0.9 and found.default.value == pytest.approx(0.2)
    assert [one.value for one in found.after] == pytest.approx([0.3, 0.1, 0.0])
    assert (found.after[0].low, found.after[0].high) == pytest.approx((0.0, 0.6))
    assert after(found, 4).value is None


def test_the_defaults_may_be_the_best() -> None:
    found = regrets(Tried((3.0, 2.0), 1.0, True), "min", LEVEL, scale=4.0)
    assert found is not None and found.best == 1.0 and found.default.value == 0.0
    assert [one.value for one in found.after] == pytest.approx([1.5 / 4, 1.0 / 4])


def test_failures() -> None:
    found = regrets(Tried((None, 0.5, 0.7), None, True), "max", LEVEL)
    assert found is not None and found.default.value is None
    assert found.after[0].value is None and found.after[1].value == pytest.approx((0.2 + 0 + 0) / 3)
    assert regrets(Tried((None, None)), "max", LEVEL) is None


def test_decades_are_logarithms() -> None:
    found = regrets(Tried((100.0, 1.0), 10.0, True), "min", LEVEL, decades=True, scale=math.log(1000))
    assert found is not None and found.default.value == pytest.approx(1 / 3)
    assert found.after[0].value == pytest.approx(1 / 3) and found.after[1].value == 0.0


def test_a_share_is_of_the_way_from_the_trivial_answer_to_the_best_of_all() -> None:
    tried = {"a": Tried((0.3, 0.6)), "b": Tried((0.2, None), 0.9, True)}
    assert scale_of(tried, 0.1, "max") == pytest.approx(0.8)
    assert scale_of(tried, 1.0, "max") is None and scale_of(tried, None, "max") is None
    assert scale_of({"a": Tried((2.0, 1.0))}, 4.0, "min") == 3.0
    assert scale_of({"a": Tried((2.0, 1.0))}, 4.0, "min", decades=True) == pytest.approx(math.log(4))


def test_the_mean_over_workloads_needs_all() -> None:
    assert mean_default([0.1, 0.3]) == pytest.approx(0.2)
    assert mean_default([0.1, None]) is None and mean_default([]) is None


def test_at_defaults_the_final_seeds_are_compared_with_the_own_values_by_hand() -> None:
    """Finals of 0.9 and 1.0 vary by 0.005; two runs of the own values score 0.8. Student's t has one degree."""
    finals = (0.9, 1.0)
    tried = Tried((0.3, 0.9), 0.8, True, 2, Arm("a", finals))
    half = 12.706 * math.sqrt(0.005 * (1 / 2 + 1 / 2))
    found = at_defaults(tried, 1.0, LEVEL, scale=2.0)
    assert found is not None and found.value == pytest.approx(0.075)
    assert (found.low, found.high) == pytest.approx(((0.15 - half) / 2, (0.15 + half) / 2), rel=1e-4)
    losses = at_defaults(Tried((0.3, 0.9), 1.3, True, 2, Arm("a", (-0.9, -1.0))), -1.0, LEVEL)
    assert losses is not None and losses.value == pytest.approx(0.35), "less is better"
    own = at_defaults(Tried((0.3, 0.7), 0.8, True, 1, Arm("a", finals), default_won=True), 1.0, LEVEL)
    assert own is not None and own.value == 0.0 and own.low is not None and own.low < 0 < (own.high or 0)
    assert at_defaults(Tried((0.3, 0.7), 0.8, True), 1.0, LEVEL) is None
    assert at_defaults(Tried((0.3, 0.7), 0.8, True, 1, Arm("a", (0.9,))), 1.0, LEVEL) is None


def test_its_interval_covers_the_truth() -> None:
    """Eight points of a parabola, own values away from its top, one run each: 400 searches with eight final seeds."""
    random, sd, seeds = np.random.default_rng(0), 0.1, 8
    true = np.append(-(np.linspace(-0.8, 0.8, 8) ** 2), -0.3)  # the last one: own values
    winners, found = [], []
    for _ in range(400):
        scores = random.normal(true, sd)
        winner = int(scores.argmax())
        finals = tuple(random.normal(true[winner], sd, seeds))
        arm = Arm("a", finals, scores=tuple(scores), winner=winner)
        winners.append(true[winner])
        found.append(at_defaults(Tried(tuple(scores[:-1]), scores[-1], True, 1, arm), 1.0, LEVEL))
    truth = np.mean(winners) + 0.3
    covered = np.mean([one is not None and one.low <= truth <= one.high for one in found])  # type: ignore[operator]
    assert 0.93 <= covered <= 0.99
